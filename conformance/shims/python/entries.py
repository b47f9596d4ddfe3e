"""Entries, contexts and messages as bytes: spec/sync.md sections 3 and 4.1.

What comes from a peer is checked while it is read; the Failure names the sentence. An Entry that exists is well formed, and its
proofs say what it says; whether they are signed is for writers.py.
"""

import struct
from collections import namedtuple

import names
from blake3 import blake3
from crypto import Failure, H
from fields import Fields, counted
from proofs import PLACE, CONTENT, Proof, content_hash, needed, place_hash

FILE, DIRECTORY, LINK = 1, 2, 3
ROOT = bytes(16)                        # the folder itself, as a parent
NOTHING = bytes(32)                     # the hash of a directory
EMPTY = blake3(b"")                     # the hash of a file of no bytes
MOST_CONTENTS, MOST_DEVICES, MOST_IN_CONTEXT = 16, 64, 4096
LIMIT = 1 << 48                         # of lamports and counters
LONGEST_TARGET = 4096
MESSAGE_LARGEST = 1048576               # SYN-002

HELLO, INDEX, REQUEST, BLOCK, DONE, BYE, MANIFEST_REQUEST, MANIFEST = range(1, 9)
STATE, WRITERS, FORKS = 16, 17, 18
TYPES = {HELLO, INDEX, REQUEST, BLOCK, DONE, BYE, MANIFEST_REQUEST, MANIFEST, STATE, WRITERS, FORKS}


class Stamp(namedtuple("Stamp", "lamport writer counter")):
    """Which change it was, and when: compared by lamport, then writer, then counter, as a tuple is."""

    def encode(self):
        return struct.pack(">Q16sQ", *self)

    @property
    def dot(self):
        return self.writer, self.counter

    def seen_in(self, counters):
        """Whether a version or context has this dot."""
        return counters.get(self.writer, 0) >= self.counter


class Content(namedtuple("Content", "stamp gone kind mode mtime size hash")):
    def encode(self):
        return self.stamp.encode() + bytes([self.gone]) + self.encode_from_kind()

    def encode_from_kind(self):
        return struct.pack(">BHQQ32s", *self[2:])

    def same_bytes(self, other):
        return (self.kind, self.size, self.hash) == (other.kind, other.size, other.hash)


class Entry(namedtuple("Entry", "id parent name stamp gone contents version proofs", defaults=[()])):
    """`name` is text, `contents` a tuple ascending by stamp, `version` a dictionary device -> counter, `proofs` a tuple ascending by
    dot."""

    def encode(self):
        return (self.id + self.parent + counted(2, self.name.encode()) + self.stamp.encode()
                + bytes([self.gone, len(self.contents)]) + b"".join(c.encode() for c in self.contents)
                + encode_counters(self.version) + bytes([len(self.proofs)]) + b"".join(p.encode() for p in self.proofs))

    @property
    def tombstone(self):
        """Section 3.1: the place and all contents are gone."""
        return bool(self.gone) and all(c.gone for c in self.contents)

    def living_contents(self):
        """Those that are not gone; if only a place keeps the entry, they count as if they were not (SYN-022)."""
        living = [c for c in self.contents if not c.gone]
        return living or ([] if self.gone else list(self.contents))


# How far a writer has come: the counter of its last change, the chain over all, its signature (section 3.5).
Head = namedtuple("Head", "counter chain signature")


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

class Reader(Fields):
    reason, requirement = "sync-malformed", "SYN-003"

    def one_of(self, values, what):
        value = self.number(1)
        if value not in values:
            self.refuse(f"{value} for {what}")
        return value

    def flag(self):
        return self.one_of((0, 1), "a flag")


def _ascending(items):
    return all(a < b for a, b in zip(items, items[1:]))


def _version(r):
    n = r.number(2)
    pairs = [(r.take(16), r.number(8)) for _ in range(n)]
    if not 1 <= n <= MOST_DEVICES or not _ascending([d for d, _ in pairs]) or any(not 0 < c < LIMIT for _, c in pairs):
        raise Failure("sync-version", "SYN-008")
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
    if content.kind == FILE and not content.size and content.hash != EMPTY:
        raise Failure("sync-entry", "SYN-007", "a file of no bytes that has another hash than they have")
    if content.kind == LINK and not 1 <= content.size <= LONGEST_TARGET:
        raise Failure("sync-entry", "SYN-007", "the length of a link")
    return content


def read_entry(r):
    identifier, parent = r.take(16), r.take(16)
    if identifier in (ROOT, parent):
        raise Failure("sync-identity", "SYN-024")
    name = names.check(r.counted(2))
    stamp, gone = _stamp(r), r.flag()
    contents = [_content(r) for _ in range(r.number(1))]
    if not 1 <= len(contents) <= MOST_CONTENTS or not _ascending([c.stamp for c in contents]):
        raise Failure("sync-contents", "SYN-026")
    version = _version(r)
    if any(not s.counter or not s.seen_in(version) for s in (stamp, *(c.stamp for c in contents))):
        raise Failure("sync-stamp", "SYN-025")
    entry = Entry(identifier, parent, name, stamp, gone, tuple(contents), version, tuple(read_proof(r) for _ in range(r.number(1))))
    _check_proofs(entry)
    return entry


def read_proof(r):
    stamp, place, content = _stamp(r), r.take(32), r.take(32)
    deleted = tuple((r.one_of((PLACE, CONTENT), "a part"), r.take(16), r.number(8)) for _ in range(r.number(1)))
    return Proof(stamp, place, content, deleted, r.take(64))


def _check_proofs(entry):
    if (not _ascending([p.dot for p in entry.proofs]) or not all(_ascending(p.deleted) for p in entry.proofs)
            or needed(entry, entry.proofs) != entry.proofs):
        raise Failure("sync-proofs", "SYN-050")
    said = {p.dot: p for p in entry.proofs}
    deleted = {d for p in entry.proofs for d in p.deleted}
    place = said.get(entry.stamp.dot)
    proven = place and place.stamp == entry.stamp and place.place == place_hash(entry.parent, entry.name)
    proven = proven and (not entry.gone or (PLACE, *entry.stamp.dot) in deleted)
    for content in entry.contents:
        proof = said.get(content.stamp.dot)
        proven = proven and proof and proof.stamp == content.stamp and proof.content == content_hash(content)
        proven = proven and (not content.gone or (CONTENT, *content.stamp.dot) in deleted)
    if not proven or any(dot not in said for dot in entry.version.items()):
        raise Failure("change-unproven", "SYN-051")


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


def write_state(folder, complete, heads, digests):
    """`digests`: 256 of them, by the first byte of the identifiers."""
    return message(STATE, folder, bytes([complete]), len(heads).to_bytes(2, "big"),
                   *(write_head(device, head) for device, head in sorted(heads.items())), *digests)


def write_head(device, head):
    return device + struct.pack(">Q32s64s", *head)


def read_head(r):
    """(device, Head)"""
    return r.take(16), Head(*struct.unpack(">Q32s64s", r.take(104)))


def read_state(body):
    """(folder, complete, heads, digests)"""
    r = Reader(body)
    folder, complete = r.take(16), r.flag()
    heads = [read_head(r) for _ in range(r.number(2))]
    if len(heads) > MOST_IN_CONTEXT or not _ascending([d for d, _ in heads]) or any(not 0 < h.counter < LIMIT for _, h in heads):
        raise Failure("sync-context", "SYN-028")
    digests = [r.take(16) for _ in range(256)]
    r.end()
    return folder, complete, dict(heads), digests


def write_writers(folder, cards, piece=1024):
    """The messages with these cards, device -> (key, signature): one at least, each of `piece` cards at most."""
    texts = [device + key + counted(2, signature) for device, (key, signature) in sorted(cards.items())]
    for at in range(0, max(len(texts), 1), piece):
        some = texts[at:at + piece]
        yield message(WRITERS, folder, len(some).to_bytes(2, "big"), *some)


def read_card(r):
    """(device, key, signature)"""
    return r.take(16), r.take(32), r.counted(2)


def read_writers(body):
    """(folder, [(device, key, signature)])"""
    r = Reader(body)
    folder = r.take(16)
    cards = [read_card(r) for _ in range(r.number(2))]
    r.end()
    return folder, cards


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

_DIGESTS = {}                           # SHA-256 of the entries of a bucket -> its digest


def digest(entries):
    """Of one bucket, whose entries ascend."""
    data = b"".join(e.encode() for e in entries)
    if not data:
        return bytes(16)
    known = H(data)                                                 # BLAKE3 in Python is slow, and most buckets stay as they were
    if known not in _DIGESTS:
        if len(_DIGESTS) >= 1 << 16:
            _DIGESTS.clear()
        _DIGESTS[known] = blake3(b"meshproof entries" + data)[:16]
    return _DIGESTS[known]


def digests(entries):
    """All 256 of them."""
    buckets = [[] for _ in range(256)]
    for entry in sorted(entries, key=lambda e: e.id):
        buckets[entry.id[0]].append(entry)
    return [digest(bucket) for bucket in buckets]
