"""Entries, contexts and messages as bytes: spec/sync.md sections 3 and 4.1.

What comes from a peer is checked while it is read; the Failure names the sentence. An Entry that exists is well formed.
"""

import struct
from collections import namedtuple

import names
from blake3 import blake3
from crypto import Failure

FILE, DIRECTORY, LINK = 1, 2, 3
ROOT = bytes(16)                        # the folder itself, as a parent
NOTHING = bytes(32)                     # the hash of a directory
MOST_CONTENTS, MOST_DEVICES, MOST_IN_CONTEXT = 16, 64, 4096
LIMIT = 1 << 48                         # of lamports and counters
LONGEST_TARGET = 4096
MESSAGE_LARGEST = 1048576               # SYN-002

HELLO, INDEX, REQUEST, BLOCK, DONE, BYE, MANIFEST_REQUEST, MANIFEST = range(1, 9)
STATE = 16
TYPES = {HELLO, INDEX, REQUEST, BLOCK, DONE, BYE, MANIFEST_REQUEST, MANIFEST, STATE}


class Stamp(namedtuple("Stamp", "lamport writer counter")):
    """Which change it was, and when: compared by lamport, then writer, then counter, as a tuple is."""

    def encode(self):
        return struct.pack(">Q16sQ", *self)

    def seen_in(self, counters):
        """Whether a version or context has this dot."""
        return counters.get(self.writer, 0) >= self.counter


class Content(namedtuple("Content", "stamp gone kind mode mtime size hash")):
    def encode(self):
        return self.stamp.encode() + struct.pack(">BBHQQ32s", *self[1:])

    def same_bytes(self, other):
        return (self.kind, self.size, self.hash) == (other.kind, other.size, other.hash)


class Entry(namedtuple("Entry", "id parent name stamp gone contents version")):
    """`name` is text, `contents` a tuple ascending by stamp, `version` a dictionary device -> counter."""

    def encode(self):
        name = self.name.encode()
        return (self.id + self.parent + len(name).to_bytes(2, "big") + name + self.stamp.encode()
                + bytes([self.gone, len(self.contents)]) + b"".join(c.encode() for c in self.contents)
                + encode_counters(self.version))

    @property
    def tombstone(self):
        """Section 3.1: the place and all contents are gone."""
        return bool(self.gone) and all(c.gone for c in self.contents)

    def living_contents(self):
        """Those that are not gone; if only a place keeps the entry, they count as if they were not (SYN-022)."""
        living = [c for c in self.contents if not c.gone]
        return living or ([] if self.gone else list(self.contents))


def join(*counters):
    """The least upper bound of versions or contexts."""
    out = {}
    for one in counters:
        for device, counter in one.items():
            out[device] = max(counter, out.get(device, 0))
    return out


def covers(counters, version):
    """Whether all of `version` is in `counters`."""
    return all(counters.get(device, 0) >= counter for device, counter in version.items())


def encode_counters(counters):
    return len(counters).to_bytes(2, "big") + b"".join(d + c.to_bytes(8, "big") for d, c in sorted(counters.items()))


# ---- read --------------------------------------------------------------------------------------------------------

class Reader:
    """Reads fields one after another; what does not fit is SYN-003."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Failure("sync-malformed", "SYN-003", "too short")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def flag(self):
        value = self.number(1)
        if value > 1:
            raise Failure("sync-malformed", "SYN-003", f"{value} for a flag")
        return value

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        if self.at != len(self.data):
            raise Failure("sync-malformed", "SYN-003", "too long")


def _ascending(items):
    return all(a < b for a, b in zip(items, items[1:]))


def _counters(r, most, least, failure):
    """A version (SYN-008) or a context (SYN-028), which differ in how long they may be."""
    n = r.number(2)
    pairs = [(r.take(16), r.number(8)) for _ in range(n)]
    if not least <= n <= most or not _ascending([d for d, _ in pairs]) or any(not 0 < c < LIMIT for _, c in pairs):
        raise failure
    return dict(pairs)


def _stamp(r):
    stamp = Stamp(*struct.unpack(">Q16sQ", r.take(32)))
    if stamp.lamport >= LIMIT:
        raise Failure("sync-entry", "SYN-007", "lamport")
    return stamp


def _content(r):
    stamp, gone = _stamp(r), r.flag()
    content = Content(stamp, gone, *struct.unpack(">BHQQ32s", r.take(51)))
    if content.kind not in (FILE, DIRECTORY, LINK):
        raise Failure("sync-entry", "SYN-007", f"kind {content.kind}")
    if content.kind == DIRECTORY and (content.size or content.hash != NOTHING):
        raise Failure("sync-entry", "SYN-007", "a directory with bytes")
    if content.kind == LINK and not 1 <= content.size <= LONGEST_TARGET:
        raise Failure("sync-entry", "SYN-007", "the length of a link")
    return content


def read_entry(r):
    identifier, parent = r.take(16), r.take(16)
    if identifier in (ROOT, parent):
        raise Failure("sync-identity", "SYN-024")
    name = names.check(r.take(r.number(2)))
    stamp, gone = _stamp(r), r.flag()
    contents = [_content(r) for _ in range(r.number(1))]
    if not 1 <= len(contents) <= MOST_CONTENTS or not _ascending([c.stamp for c in contents]):
        raise Failure("sync-contents", "SYN-026")
    version = _counters(r, MOST_DEVICES, 1, Failure("sync-version", "SYN-008"))
    if any(not s.counter or not s.seen_in(version) for s in (stamp, *(c.stamp for c in contents))):
        raise Failure("sync-stamp", "SYN-025")
    return Entry(identifier, parent, name, stamp, gone, tuple(contents), version)


def entry_of(data):
    """One entry that is all of `data`."""
    r = Reader(data)
    entry = read_entry(r)
    r.end()
    return entry


# ---- messages ----------------------------------------------------------------------------------------------------

def message(kind, *parts):
    body = b"".join(parts)
    return bytes([kind]) + len(body).to_bytes(4, "big") + body


class Messages:
    """Messages out of a stream of bytes; a message may span records."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        while self.buffer:
            if self.buffer[0] not in TYPES:
                raise Failure("sync-type", "SYN-001", str(self.buffer[0]))
            if len(self.buffer) < 5:
                return
            size = int.from_bytes(self.buffer[1:5], "big")
            if size > MESSAGE_LARGEST:
                raise Failure("sync-length", "SYN-002")
            if len(self.buffer) < 5 + size:
                return
            kind, body = self.buffer[0], bytes(self.buffer[5:5 + size])
            del self.buffer[:5 + size]
            yield kind, body


def read_hello(body):
    r = Reader(body)
    folders = [r.take(16) for _ in range(r.number(2))]
    r.end()
    if not _ascending(folders):
        raise Failure("sync-malformed", "SYN-003", "folders out of order")
    return folders


def write_state(folder, complete, context, digests):
    """`digests`: 256 of them, by the first byte of the identifiers."""
    return message(STATE, folder, bytes([complete]), encode_counters(context), *digests)


def read_state(body):
    """(folder, complete, context, digests)"""
    r = Reader(body)
    folder, complete = r.take(16), r.flag()
    context = _counters(r, MOST_IN_CONTEXT, 0, Failure("sync-context", "SYN-028"))
    digests = [r.take(16) for _ in range(256)]
    r.end()
    return folder, complete, context, digests


def write_index(folder, entries, piece=1 << 19):
    """The messages of an INDEX; `entries` ascend. Each is full at about `piece` bytes."""
    waiting, size = [], 0
    for data in (e.encode() for e in entries):
        if size + len(data) > piece:
            yield message(INDEX, folder, b"\0", len(waiting).to_bytes(4, "big"), *waiting)
            waiting, size = [], 0
        waiting.append(data)
        size += len(data)
    yield message(INDEX, folder, b"\1", len(waiting).to_bytes(4, "big"), *waiting)


def read_index(body, after=ROOT):
    """(folder, last, entries). `after` is the last identifier of the message before, for the order goes over all (SYN-006)."""
    r = Reader(body)
    folder, last, count = r.take(16), r.flag(), r.number(4)
    entries = []
    for _ in range(count):
        entry = read_entry(r)
        if entry.id <= after:
            raise Failure("sync-order", "SYN-006")
        entries.append(entry)
        after = entry.id
    r.end()
    return folder, last, entries


# ---- digests (section 3.2) ---------------------------------------------------------------------------------------

def digest(entries):
    """Of one bucket, whose entries ascend."""
    data = b"".join(e.encode() for e in entries)
    return blake3(b"meshproof entries" + data)[:16] if data else bytes(16)


def digests(entries):
    """All 256 of them."""
    buckets = [[] for _ in range(256)]
    for entry in sorted(entries, key=lambda e: e.id):
        buckets[entry.id[0]].append(entry)
    return [digest(bucket) for bucket in buckets]
