"""What a device knows of one folder, without its files: spec/sync.md sections 3.1 (changes), 3.2, 4.5 and 4.6."""

import time

from blake3 import blake3
from entries import (LIMIT, MOST_CONTENTS, MOST_DEVICES, ROOT, Content, Entry, Stamp, covers, digests, entry_of, join)
from merge import merge


class Uncountable(Exception):
    """A change that this device cannot count, for the entry's version is full or has it already (note under SYN-016)."""


def first_counter():
    """More than a device can have used that lost what it knew (section 3.1)."""
    return int(time.time()) << 16


def identifiers(parent, name):
    """SYN-035: the identifiers for a new entry, the second and later ones for when those before are taken."""
    data = b"meshproof entry" + parent + name.encode()
    yield blake3(data)[:16]
    attempt = 1
    while True:
        yield blake3(data + b"\0" + attempt.to_bytes(8, "big"))[:16]
        attempt += 1


class Replica:
    """`entries` by identifier; `context` is what this device has seen, `contexts` what others said that they have."""

    def __init__(self, device, counter=None):
        self.device, self.counter, self.lamport = device, first_counter() if counter is None else counter, 0
        self.entries, self.context, self.contexts = {}, {}, {}
        # (after, to): counters that this device does not know to have used. A device without a past may have had one.
        self.gaps = [(0, self.counter)] if counter is None else []
        self.claims = True                                          # whether its own counter is in its context

    def begin_anew(self, context):
        """What this device made and does not know of, it must not claim to have seen, or the others would forget it: its own
        counter stays out of its context (see DISAGREEMENTS.md, D-60)."""
        self.__init__(self.device, max(self.counter, context[self.device], first_counter()))
        self.claims = False

    def start(self):
        """After this program was away: whatever it had counted that it does not know of, from here on it counts higher."""
        now = first_counter()
        if now > self.counter:
            after = self.gaps.pop()[0] if self.gaps and self.gaps[-1][1] == self.counter else self.counter
            self.gaps.append((after, now))
            self.counter = now

    def lost_past(self, context):
        """Section 4.6: whether somebody has seen a change by this device that it does not know of."""
        seen = context.get(self.device, 0)
        return seen > self.counter or any(after < seen <= to for after, to in self.gaps)

    # ---- changes (section 3.1) ----

    def _write(self, old, make):
        """One change of `old`, an entry or None; `make` is given its stamp and returns the new entry without version."""
        stamp = Stamp(min(self.lamport + 1, LIMIT - 1), self.device, self.counter + 1)
        before = old.version if old else {}
        entry = make(stamp)._replace(version=join(before, {self.device: stamp.counter}))
        if stamp.seen_in(before) or stamp.counter >= LIMIT or len(entry.version) > MOST_DEVICES or len(entry.contents) > MOST_CONTENTS:
            raise Uncountable(entry.name)
        self.counter, self.lamport = stamp.counter, stamp.lamport
        if self.claims:
            self.context[self.device] = stamp.counter
        self.entries[entry.id] = entry
        return entry

    def new(self, parent, name, **content):
        """Something new, with the fields of its content. The entry."""
        at = identifiers(parent, name)
        identifier = next(at)
        known = self.entries.get(identifier)
        if known and not known.tombstone:
            identifier = next(i for i in at if i not in self.entries)
            known = None
        return self._write(known, lambda stamp: Entry(identifier, parent, name, stamp, 0, (Content(stamp, 0, **content),), {}))

    def move(self, identifier, parent, name):
        entry = self.entries[identifier]
        return self._write(entry, lambda stamp: entry._replace(parent=parent, name=name, stamp=stamp, gone=0))

    def edit(self, identifier, was, **content):
        """`was`: the content that was on this device. The new content."""
        entry = self.entries[identifier]
        others = tuple(c for c in entry.contents if not _replaced(c, was))
        written = self._write(entry, lambda stamp: entry._replace(
            contents=tuple(sorted((*others, Content(stamp, 0, **content))))))
        return next(c for c in written.contents if c not in others)

    def delete(self, identifier, place, was):
        """`place`: the stamp of the place that it had on this device; `was`: the content, None of a directory that has none."""
        entry = self.entries[identifier]
        gone = int(entry.gone or entry.stamp == place)
        contents = tuple(c._replace(gone=int(c.gone or _replaced(c, was))) for c in entry.contents)
        if (gone, contents) == (entry.gone, entry.contents):
            return entry
        return self._write(entry, lambda _: entry._replace(gone=gone, contents=contents))

    def release(self, identifier, copy):
        """A copy is no content of the entry any more; it has become an entry of its own, or was deleted."""
        entry = self.entries[identifier]
        others = tuple(c for c in entry.contents if not _replaced(c, copy))
        if others in ((), entry.contents):
            return entry
        return self._write(entry, lambda _: entry._replace(contents=others))

    # ---- states (section 3.2) ----

    def digests(self):
        return digests(self.entries.values())

    def differing(self, mine, theirs):
        """SYN-043, SYN-044: the entries of the buckets whose digests differ, as an INDEX has them."""
        return [e for i, e in sorted(self.entries.items()) if mine[i[0]] != theirs[i[0]]]

    # ---- the INDEX of a peer (sections 4.3 and 4.6) ----

    def take(self, peer, received, mine, complete, context, theirs):
        """Merge what a peer has. `mine`, `theirs`: the digests of both STATEs; `complete` and `context` are of the peer's."""
        late, all_taken = {}, True
        for entry in received:
            own = self.entries.get(entry.id)
            if own is None and covers(self.context, entry.version):
                late[entry.id] = entry
                continue
            merged = merge(own, entry, self.context, context) if own else entry
            if merged is None:                                      # SYN-016
                all_taken = False
                continue
            self.entries[entry.id] = merged
        self._take_holders(late)
        if complete:                                                # SYN-048
            self._forget({e.id for e in received}, mine, context, theirs)
            if all_taken:
                self.context = join(self.context, context)
        self.contexts[peer] = context
        self.lamport = max([self.lamport, *(s.lamport for e in received for s in (e.stamp, *(c.stamp for c in e.contents)))])

    def _take_holders(self, late):
        """SYN-046: of what was deleted here long ago, what has a living entry in it is taken back."""
        known = {**late, **self.entries}
        for entry in list(self.entries.values()) if late else ():
            if not entry.tombstone:
                self.entries |= {i: late[i] for i in _above(entry, known) if i in late}

    def _forget(self, received, mine, context, theirs):
        """SYN-045."""
        doomed = {i for i, e in self.entries.items()
                  if i not in received and mine[i[0]] != theirs[i[0]] and covers(context, e.version)}
        for i in self._without_living(doomed):
            del self.entries[i]

    def _without_living(self, doomed):
        """Of `doomed` those that have no living entry in them but doomed ones."""
        while True:
            kept = {above for i, e in self.entries.items() if i not in doomed and not e.tombstone
                    for above in _above(e, self.entries)}
            if not doomed & kept:
                return doomed
            doomed = doomed - kept

    def collect(self, devices):
        """SYN-047: forget the tombstones that all have seen. `devices`: the others on which the folder is mapped."""
        seen = [self.context, *(self.contexts.get(d, {}) for d in devices)]
        doomed = {i for i, e in self.entries.items() if e.tombstone and all(covers(c, e.version) for c in seen)}
        for i in self._without_living(doomed):
            del self.entries[i]

    # ---- kept in a file ----

    def to_json(self):
        return {"counter": self.counter, "lamport": self.lamport, "context": _hex(self.context),
                "gaps": self.gaps, "claims": self.claims, "contexts": {d.hex(): _hex(c) for d, c in self.contexts.items()},
                "entries": [e.encode().hex() for e in self.entries.values()]}

    @classmethod
    def from_json(cls, device, data):
        self = cls(device, data["counter"])
        self.lamport, self.context, self.gaps = data["lamport"], _unhex(data["context"]), [tuple(g) for g in data["gaps"]]
        self.contexts = {bytes.fromhex(d): _unhex(c) for d, c in data["contexts"].items()}
        self.claims = data["claims"]
        self.entries = {e.id: e for e in (entry_of(bytes.fromhex(text)) for text in data["entries"])}
        self.start()
        return self


def _replaced(content, was):
    """What an edit replaces and a deletion deletes: the content that was on this device, and those of the same bytes."""
    return was is not None and (content.stamp == was.stamp or content.same_bytes(was))


def _above(entry, entries):
    """The directories that an entry is in, by the parents as they are: where they run in a circle, all of the circle. Who
    forgot one of a circle would leave what is in the others without a way to the folder."""
    seen, i = set(), entry.parent
    while i != ROOT and i in entries and i not in seen:
        seen.add(i)
        i = entries[i].parent
    return seen


def _hex(counters):
    return {d.hex(): c for d, c in counters.items()}


def _unhex(counters):
    return {bytes.fromhex(d): c for d, c in counters.items()}
