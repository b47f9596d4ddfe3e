"""What a device knows of one folder, without its files: spec/sync.md sections 3.1 (changes), 3.2, 4.5 and 4.6."""

import time

from blake3 import blake3
from entries import LIMIT, MOST_CONTENTS, MOST_DEVICES, ROOT, Content, Entry, Head, Stamp, covers, digests, entry_of, join
from merge import merge
from proofs import MOST, NONE, chain, change_text, head_text, needed, statement


MOST_ENTRIES = 1_000_000


class Uncountable(Exception):
    """A change that this device cannot count, for the entry's version is full or has it already (note under SYN-016)."""


def first_counter():
    """More than a device can have used that lost what it knew, and no more than half of all numbers (section 3.1)."""
    return min(int(time.time()) << 16, LIMIT >> 1)


def identifiers(parent, name):
    """SYN-035: the identifiers for a new entry, the second and later ones for when those before are taken."""
    data = b"meshproof entry" + parent + name.encode()
    yield blake3(data)[:16]
    attempt = 1
    while True:
        yield blake3(data + b"\0" + attempt.to_bytes(8, "big"))[:16]
        attempt += 1


class Replica:
    """`entries` by identifier; `heads` of the other writers, which make this device's context; `contexts` what others said that they
    have. `folder` is the identifier, `signer` a proofs.Signer; `forked` the writers of whom a fork is known, who are in no context
    (SYN-111)."""

    def __init__(self, device, folder, signer, counter=None, forked=()):
        self.device, self.folder, self.signer, self.forked = device, folder, signer, forked
        self.counter, self.lamport = first_counter() if counter is None else counter, 0
        self.entries, self.heads, self.contexts = {}, {}, {}
        self.last, self.chain = 0, NONE                             # of its own changes
        self.chains, self.born = {}, self.counter                   # counter -> chain; what is before was in another life
        self.full = False                                           # whether entries of others were ignored for want of room
        self.claims = True                                          # whether its own counter is in its context
        self.waits = False                                          # whether it may make no change yet (SYN-140)

    def lost_past(self, head):
        """Section 4.6, SYN-058: whether somebody has seen a change by this device, under its signature, that it does not know of.
        A device without a past may have had one; one that began anew has had it."""
        return bool(head) and self.chains.get(head.counter) != head.chain and self.before_now(head.counter)

    def before_now(self, counter):
        """Whether what was wrong with this number has not been answered by beginning anew since (SYN-113)."""
        return counter > self.born or self.claims

    def begin_anew(self, counter):
        """What this device made and does not know of, it must not claim to have seen, or the others would forget it: from now on its
        own counter stays out of its context (section 4.6). It makes no change before it has what others have (SYN-140)."""
        self.__init__(self.device, self.folder, self.signer, max(self.counter + 1, counter, first_counter()), self.forked)
        self.claims, self.waits = False, True

    def known_heads(self):
        """The heads in a STATE, its own among them."""
        own = {self.device: self.own_head(self.last)} if self.last and self.claims else {}
        return self._without_forked({**self.heads, **own})

    def own_head(self, counter):
        text = head_text(self.folder, self.device, counter, self.chains[counter])
        return Head(counter, self.chains[counter], self.signer.sign(text))

    @property
    def context(self):
        own = {self.device: self.last} if self.last and self.claims else {}
        return self._without_forked({**counters_of(self.heads), **own})

    def _without_forked(self, by_device):
        return {device: value for device, value in by_device.items() if device not in self.forked}

    # ---- changes (section 3.1) ----

    def _write(self, old, make):
        """One change of `old`, an entry or None; `make` is given its stamp and returns the new entry but for version and proofs."""
        stamp = Stamp(min(self.lamport + 1, LIMIT - 1), self.device, self.counter + 1)
        before = old.version if old else {}
        entry = make(stamp)._replace(version=join(before, {self.device: stamp.counter}))
        proof = statement(stamp, old, entry)
        text = change_text(self.folder, entry.id, proof)
        proofs = sorted([*(old.proofs if old else ()), proof._replace(signature=self.signer.sign(text))], key=lambda p: p.dot)
        entry = entry._replace(proofs=needed(entry, proofs))
        if (stamp.seen_in(before) or stamp.counter >= LIMIT or len(entry.version) > MOST_DEVICES
                or len(entry.contents) > MOST_CONTENTS or len(entry.proofs) > MOST):
            raise Uncountable(entry.name)
        self.counter = self.last = stamp.counter
        self.lamport, self.chain = stamp.lamport, chain(self.chain, text)
        self.chains[self.last] = self.chain
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

    def take(self, peer, received, mine, complete, heads, theirs, ignored=()):
        """Merge what a peer has, or the cloud (`peer` is None). `mine`, `theirs`: the digests of both STATEs; `complete` and `heads`
        are of the peer's; `ignored`: the identifiers of entries that came and are not among `received`."""
        own_context = self.context
        context = self._without_forked(counters_of(heads))
        late, all_taken = {}, not ignored
        for entry in received:
            own = self.entries.get(entry.id)
            if own is None and len(self.entries) >= MOST_ENTRIES:   # SYN-116
                self.full, all_taken = True, False
                continue
            if own is None and covers(own_context, entry.version):
                late[entry.id] = entry
                continue
            merged = merge(own, entry, own_context, context) if own else entry
            if merged is None:                                      # SYN-016
                all_taken = False
                continue
            self.entries[entry.id] = merged
        self._take_holders(late)
        if complete:                                                # SYN-048
            self._forget({*ignored, *(e.id for e in received)}, mine, context, theirs)
            if all_taken:
                self._join(heads)
        if all_taken and (complete or peer is None):                # all that the peer has, or all that the cloud shows
            self.waits = False
        if peer is not None:                                        # not the cloud
            self.contexts[peer] = context
        seen = [s.lamport for e in received for s in (e.stamp, *(c.stamp for c in e.contents))]
        self.lamport = max([self.lamport, *seen])

    def _join(self, heads):
        for device, head in heads.items():
            if device != self.device:
                self.heads[device] = max(head, self.heads.get(device, head), key=lambda h: h.counter)

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
        seen = [self.context, *(self._without_forked(self.contexts.get(d, {})) for d in devices)]
        doomed = {i for i, e in self.entries.items() if e.tombstone and all(covers(c, e.version) for c in seen)}
        for i in self._without_living(doomed):
            del self.entries[i]

    # ---- kept in a file ----

    def to_json(self):
        return {"counter": self.counter, "last": self.last, "chain": self.chain.hex(), "lamport": self.lamport,
                "chains": [[c, h.hex()] for c, h in self.chains.items()], "born": self.born,
                "claims": self.claims, "waits": self.waits, "contexts": {d.hex(): hex_of(c) for d, c in self.contexts.items()},
                "heads": {d.hex(): [h.counter, h.chain.hex(), h.signature.hex()] for d, h in self.heads.items()},
                "entries": [e.encode().hex() for e in self.entries.values()]}

    def load(self, data):
        self.counter, self.last, self.chain = data["counter"], data["last"], bytes.fromhex(data["chain"])
        self.lamport, self.born, self.claims = data["lamport"], data["born"], data["claims"]
        self.waits = data["waits"]
        self.chains = {c: bytes.fromhex(h) for c, h in data["chains"]}
        self.contexts = {bytes.fromhex(d): unhex(c) for d, c in data["contexts"].items()}
        self.heads = {bytes.fromhex(d): Head(c, bytes.fromhex(chained), bytes.fromhex(signature))
                      for d, (c, chained, signature) in data["heads"].items()}
        self.entries = {e.id: e for e in (entry_of(bytes.fromhex(text)) for text in data["entries"])}
        # After this program was away: whatever it had counted that it does not know of, from here on it counts higher.
        self.counter = max(self.counter, first_counter())


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


def counters_of(heads):
    return {device: head.counter for device, head in heads.items()}


def hex_of(counters):
    return {d.hex(): c for d, c in counters.items()}


def unhex(counters):
    return {bytes.fromhex(d): c for d, c in counters.items()}
