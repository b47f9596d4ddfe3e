"""What a device remembers of a path on its disk, for folder.py, changes.py and placing.py."""

import stat
from dataclasses import dataclass

from blake3 import blake3

EMPTY = blake3(b"")

@dataclass(frozen=True)
class Item:
    """What this device has put, or found, at a path. `place` is the stamp of the entry's place as it was on this device, `content`
    the content, None for a directory that is only there because of what is in it; `seen` tells whether somebody touched it."""
    id: bytes
    kind: int
    place: object
    content: object
    copy: bool
    seen: tuple


def seen_of(found):
    """(inode, size, time) of a file, the inode of a directory."""
    return (found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else (found.st_ino,)


def split(path):
    parent, _, name = path.rpartition("/")
    return parent, name


def by_depth(paths):
    return sorted(paths, key=lambda path: path.count("/"))
