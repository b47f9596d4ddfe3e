"""What is ignored: spec/sync.md section 4.8. The patterns are lines of the file `.meshignore` in the folder itself."""

import re

NAME = ".meshignore"
COUNTS = 65536                          # bytes of the file


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
        text = line.decode("utf-8").rstrip(" \t\n\v\f\r")
    except UnicodeDecodeError:
        return None
    if not text or text.startswith("#"):
        return None
    ignores = not text.startswith("!")
    text = text if ignores else text[1:]
    only_directories = text.endswith("/")
    text = text[:-1] if only_directories else text
    by_name = "/" not in text                                       # also one that is in a class
    pattern = _regex(text.removeprefix("/"))
    return pattern and (ignores, only_directories, by_name, pattern)


def _regex(text):
    """None of a line that counts for nothing."""
    out, at = "", 0
    while at < len(text):
        c, alone = text[at], at == 0 or text[at - 1] == "/"         # whether a name begins here
        stars = len(text) - at - len(text[at:].lstrip("*"))
        if stars > 1 and alone and text[at + stars:at + stars + 1] == "/":
            out, at = out + "(?:.*/)?", at + stars + 1
        elif stars > 1 and alone and at and at + stars == len(text):
            out, at = out + ".+", at + stars
        elif stars:
            out, at = out + "[^/]*", at + stars
        elif c == "?":
            out, at = out + "[^/]", at + 1
        elif c == "[":
            found = _class(text, at + 1)
            if not found:
                return None
            out, at = out + found[0], found[1]
        else:
            at += c == "\\"
            if at == len(text):
                return None
            out, at = out + re.escape(text[at]), at + 1
    return re.compile(out, re.DOTALL) if out else None


def _class(text, at):
    """(regex, where it ends) of a class whose `[` is before `at`; None if it is not closed, or has a name in it."""
    negated = text[at:at + 1] in ("!", "^")
    begin = at = at + negated
    members = ""

    def one():
        """The character here, and the place behind it."""
        escaped = text[at] == "\\" and at + 1 < len(text)
        return text[at + escaped], at + escaped + 1
    while at < len(text) and (text[at] != "]" or at == begin):
        if text.startswith("[:", at):
            return None
        first, at = one()
        last = first
        if text[at:at + 1] == "-" and text[at + 1:at + 2] not in ("", "]"):
            at += 1
            last, at = one()
        members += f"{re.escape(first)}-{re.escape(max(first, last))}" if first <= last else re.escape(first)
    if at >= len(text):
        return None
    return f"(?!/)[{'^' * negated}{members}]", at + 1
