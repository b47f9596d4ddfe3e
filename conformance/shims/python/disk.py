"""What a device remembers of a path on its disk, and files of its own, for folder.py, changes.py and placing.py."""

import contextlib
import itertools
import os
import stat
import time
from dataclasses import dataclass

from entries import DIRECTORY, FILE, LINK

PERMISSIONS = 0o777                     # SYN-161
WITH_BYTES = FILE, LINK                 # the kinds of entries whose content is bytes


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
    """(inode, size, time, permissions) of a file or a link, the inode of a directory. All but the last tell whether it has the bytes
    that it had."""
    if stat.S_ISDIR(found.st_mode):
        return (found.st_ino,)
    return found.st_ino, found.st_size, found.st_mtime_ns, stat.S_IMODE(found.st_mode) & PERMISSIONS


def kind_of(found):
    """Of a stat: the kind of the entry, None of what is none."""
    return next((kind for is_kind, kind in ((stat.S_ISREG, FILE), (stat.S_ISDIR, DIRECTORY), (stat.S_ISLNK, LINK))
                 if is_kind(found.st_mode)), None)


def leads_out(path, target):
    """SYN-042: whether a link with this target, as bytes, would lead out of the folder at this path: it is absolute, has a zero, at
    which a system may end it, more `..` than the link is in directories, or a `..` behind something else; `.` and what is between
    two `/` count for nothing."""
    steps = [step for step in target.split(b"/") if step not in (b"", b".")]
    up = next((n for n, step in enumerate(steps) if step != b".."), len(steps))
    return target.startswith(b"/") or b"\0" in target or up > path.count("/") or b".." in steps[up:]


def same_place_outside(old, new, target):
    """SYN-042: whether a link with this target leads to one place out of the folder from two paths."""
    up = itertools.dropwhile(lambda step: step == b"..", (step for step in target.split(b"/") if step not in (b"", b".")))
    if b".." in up and split(old)[0] != split(new)[0]:              # behind something that may be a link
        return False
    if b"\0" in target:                                              # nobody made it
        return False
    there = [os.path.normpath(os.path.join(os.fsencode(split(path)[0]), target)) for path in (old, new)]
    return leads_out(old, target) and there[0] == there[1]


def dress(at, content):
    """SYN-162: the permissions, and of a file the time, that a content says. Its owner, this device, goes on with it."""
    if content.kind == DIRECTORY:
        os.chmod(at, content.mode & PERMISSIONS | 0o700)
        return
    os.chmod(at, content.mode & PERMISSIONS | 0o600)
    with contextlib.suppress(OverflowError, OSError):               # a time that no system has
        os.utime(at, ns=(time.time_ns(), content.mtime))


def split(path):
    parent, _, name = path.rpartition("/")
    return parent, name


def by_depth(paths):
    return sorted(paths, key=lambda path: path.count("/"))


def write_whole(path, data, mode=0o666):
    """A file of this device's own, whole or not at all, also when the power fails."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".new", path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)
