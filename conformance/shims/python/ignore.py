"""What is ignored: spec/sync.md section 4.8. The patterns are lines of the file `.meshignore` in the folder itself."""

import re

NAME = ".meshignore"
COUNTS = 65536                          # bytes of the file
_SPACE = " \t\r\n\f\v"


class Ignore:
    """`data`: the bytes of the file, of which the first 65,536 and one more are enough."""

    def __init__(self, data=b""):
        lines = data.split(b"\n")
        whole = data[:COUNTS].count(b"\n") if len(data) > COUNTS else len(lines)
        self.rules = [rule for line in lines[:whole] if (rule := _rule(line))]

    def __call__(self, path, directory):
        """Whether a path is ignored; what is in an ignored directory is, too."""
        if path == NAME:
            return False
        parts = path.split("/")
        return any(self._decide("/".join(parts[:n]), directory or n < len(parts)) for n in range(1, len(parts) + 1))

    def _decide(self, path, directory):
        verdict = False
        for ignores, only_directories, by_name, pattern in self.rules:
            if (directory or not only_directories) and pattern.fullmatch(path.rpartition("/")[2] if by_name else path):
                verdict = ignores
        return verdict


def _rule(line):
    """(ignores, only directories, by name, pattern) of a line, None if it has no pattern."""
    try:
        text = line.decode("utf-8").rstrip(_SPACE)
    except UnicodeDecodeError:
        return None
    if not text or text.startswith("#"):
        return None
    ignores = not text.startswith("!")
    text = text if ignores else text[1:]
    only_directories = text.endswith("/")
    text = text[:-1] if only_directories else text
    by_name = "/" not in text
    text = text.removeprefix("/")
    pattern = _regex(text)
    return pattern and (ignores, only_directories, by_name, pattern)


def _regex(text):
    out, at = "", 0
    while at < len(text):
        rest, c = text[at:], text[at]
        if rest.startswith("**/") and (at == 0 or text[at - 1] == "/"):
            out, at = out + "(?:.*/)?", at + 3
        elif rest == "**" and at and text[at - 1] == "/":
            out, at = out + ".+", at + 2
        elif c == "*":
            out, at = out + "[^/]*", at + 1
        elif c == "?":
            out, at = out + "[^/]", at + 1
        elif c == "[":
            found = _class(text, at + 1)
            if not found:
                return None
            out, at = out + found[0], found[1]
        else:
            if c == "\\" and at + 1 < len(text):
                at += 1
            out, at = out + re.escape(text[at]), at + 1
    return re.compile(out, re.DOTALL) if out else None


def _class(text, at):
    """(regex, where it ends) of a class whose `[` is before `at`; None if it is not closed. A `]` at its begin stands for itself."""
    negated = text[at:at + 1] == "!"
    begin = at = at + negated
    members = ""
    while at < len(text) and (text[at] != "]" or at == begin):
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        first = last = text[at]
        if text[at + 1:at + 2] == "-" and text[at + 2:at + 3] not in ("", "]"):
            last = text[at + 2]
            at += 2
        if first <= last:
            members += f"{re.escape(first)}-{re.escape(last)}"
        at += 1
    if at >= len(text):
        return None
    if negated:
        return f"[^/{members}]", at + 1
    return (f"(?!/)[{members}]" if members else "(?!)"), at + 1
