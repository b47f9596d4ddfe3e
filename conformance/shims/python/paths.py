"""Portable paths: spec/sync.md section 4.2. A path is relative, its components joined by `/`."""

import unicodedata

from crypto import Failure

LARGEST, COMPONENT = 4096, 255                                      # bytes of UTF-8
FORBIDDEN = set('\\:*?"<>|')
RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{name}{n}" for name in ("COM", "LPT") for n in range(1, 10)}


def check(data):
    """The text of a path that came as bytes, or a Failure with the first of the rules that it breaks."""
    try:
        path = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Failure("sync-malformed", "SYN-003", "no UTF-8")
    components = path.split("/")
    if len(data) > LARGEST or any(c in ("", ".", "..") for c in components):
        raise Failure("path-traversal", "SYN-010", path)
    if any(len(c.encode()) > COMPONENT for c in components):
        raise Failure("path-component", "SYN-011", path)
    if any(c in FORBIDDEN or unicodedata.category(c) == "Cc" for c in path):
        raise Failure("path-character", "SYN-012", repr(path))
    if not unicodedata.is_normalized("NFC", path):
        raise Failure("path-form", "SYN-013", path)
    for c in components:
        if c[-1] in ". " or c.split(".")[0].upper() in RESERVED:
            raise Failure("path-reserved", "SYN-014", path)
    return path


def portable(path):
    """Whether a name of this machine may be told to others."""
    try:
        check(path.encode("utf-8"))
        return True
    except (Failure, UnicodeEncodeError):
        return False


def conflict_copy(path, writer, lamport):
    """SYN-021: the name of a losing file: ` (conflict <first 8 digits of its writer> <lamport>)` before the last dot of the last
    component. Of a name that gets too long the stem is shortened, at a character, until it is portable."""
    parent, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    mark = f" (conflict {writer[:8]} {lamport}){dot}{extension}"
    while stem and not portable(f"{parent}{slash}{stem}{mark}"):
        stem = stem[:-1]
    return f"{parent}{slash}{stem}{mark}"
