"""Portable names: spec/sync.md section 4.2, and what section 4.4 says of names: when two are the same, and those of conflicts."""

import functools
import re
import unicodedata

from crypto import Failure

LONGEST_PATH, LONGEST = 4096, 255                                   # bytes of UTF-8
LONGEST_EXTENSION = 32
FORBIDDEN = set('\\:*?"<>|')
RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {name + n for name in ("COM", "LPT") for n in "123456789¹²³"}
# Section 2: characters are those of Unicode 14.0. Of these, tables of 15.0 to 18.0 know a case, a composition or a place among marks.
LATER = re.compile(
    "(["
    "\u05c8-\u05c9\u0897\u1acf-\u1af0\u1c89-\u1c8a\ua7cb-\ua7cf\ua7d2\ua7d4\ua7da-\ua7dc\U000105c9"
    "\U000105e4\U00010d50-\U00010d65\U00010d69-\U00010d6d\U00010d70-\U00010d85\U00010ecb-\U00010ecf"
    "\U00010ef0-\U00010efb\U00010efd-\U00010eff\U00011383\U00011385\U0001138e\U00011391\U000113b8"
    "\U000113bb\U000113c2\U000113c5\U000113c7-\U000113c9\U000113ce-\U000113d0\U00011f41-\U00011f42"
    "\U0001611e-\U00016129\U0001612f\U00016d67-\U00016d6a\U00016ea0-\U00016eb8\U00016ebb-\U00016ed3"
    "\U0001d127-\U0001d128\U0001d250-\U0001d252\U0001d25b-\U0001d25c\U0001d25f\U0001d280-\U0001d281"
    "\U0001e08f\U0001e4ec-\U0001e4ef\U0001e5ee-\U0001e5ef\U0001e6e3\U0001e6e6\U0001e6ee-\U0001e6ef"
    "\U0001e6f5"
    "])")


def composed(text):
    """Whether it is in Normalization Form C; what came later parts what stands on its two sides."""
    return all(LATER.match(run) or unicodedata.is_normalized("NFC", run) for run in LATER.split(text))


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
    if not composed(name):
        raise Failure("path-form", "SYN-013", name)
    if name[-1] in ". " or _capitals(name.split(".")[0].rstrip(" ")) in RESERVED:
        raise Failure("path-reserved", "SYN-014", name)
    return name


def portable(name):
    """Whether a name of this machine may be told to others."""
    try:
        check(name.encode("utf-8"))
        return True
    except (Failure, UnicodeEncodeError):
        return False


@functools.lru_cache(1 << 16)
def fold(name):
    """Names are the same if these are (section 4.4, rule 4). Character by character, so that no context changes a letter."""
    return "".join(run if LATER.match(run) else _fold(run) for run in LATER.split(name))


def _fold(run):
    upper = "".join(c.upper() for c in run)
    return unicodedata.normalize("NFC", "".join(c.lower() for c in upper))


def _capitals(text):
    """A to Z only: a dotless i is no I."""
    return "".join(c.upper() if c.isascii() else c for c in text)


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
