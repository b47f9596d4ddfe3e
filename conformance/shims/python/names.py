"""Portable names: spec/sync.md section 4.2, and what section 4.4 says of names: when two are the same, and those of conflicts."""

import unicodedata

from crypto import Failure

LONGEST_PATH, LONGEST = 4096, 255                                   # bytes of UTF-8
LONGEST_EXTENSION = 32
FORBIDDEN = set('\\:*?"<>|')
RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{name}{n}" for name in ("COM", "LPT") for n in range(1, 10)}


def check(data):
    """The text of a name that came as bytes, or a Failure with the first of the rules that it breaks."""
    if data in (b"", b".", b"..") or b"/" in data:
        raise Failure("path-traversal", "SYN-010", repr(data))
    if len(data) > LONGEST:
        raise Failure("path-component", "SYN-011", repr(data))
    try:
        name = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Failure("path-form", "SYN-013", repr(data))
    if any(c in FORBIDDEN or unicodedata.category(c) == "Cc" for c in name):
        raise Failure("path-character", "SYN-012", repr(name))
    if not unicodedata.is_normalized("NFC", name):
        raise Failure("path-form", "SYN-013", name)
    if name[-1] in ". " or name.split(".")[0].upper() in RESERVED:
        raise Failure("path-reserved", "SYN-014", name)
    return name


def portable(name):
    """Whether a name of this machine may be told to others."""
    try:
        check(name.encode("utf-8"))
        return True
    except (Failure, UnicodeEncodeError):
        return False


def fold(name):
    """Names are the same if these are (section 4.4, rule 4). Character by character, so that no context changes a letter."""
    upper = "".join(c.upper() for c in name)
    return unicodedata.normalize("NFC", "".join(c.lower() for c in upper))


def conflict_names(name, stamp):
    """The names that rule 5 of section 4.4 tries one after another."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > LONGEST_EXTENSION:
        stem, dot, extension = name, "", ""
    number = 1
    while True:
        more = "" if number == 1 else f" {number}"
        mark = f" (conflict {stamp.writer.hex()[:8]} {stamp.lamport}{more}){dot}{extension}"
        room, kept = LONGEST - len(mark.encode()), stem
        while len(kept.encode()) > room:
            kept = kept[:-1]
        yield kept + mark
        number += 1
