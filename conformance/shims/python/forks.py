"""Writers that signed two things under one number: spec/sync.md section 3.6, SYN-110 to SYN-113.

A Fork is two statements that contradict each other, heads or proofs; it accuses the one who signed them and nobody who passes them on.
"""

from collections import namedtuple

from crypto import Failure
from entries import FORKS, LIMIT, MESSAGE_LARGEST, Head, Reader, message, read_head, read_proof, write_head
from proofs import change_text, head_text, signed

OF_HEADS, OF_PROOFS = 1, 2


class Fork(namedtuple("Fork", "writer id first second")):
    """Of heads `id` is None; of proofs it is the entry's."""

    def encode(self):
        if self.id is None:
            return bytes([OF_HEADS]) + b"".join(write_head(self.writer, head) for head in (self.first, self.second))
        return bytes([OF_PROOFS]) + self.id + self.first.encode() + self.second.encode()

    @property
    def counter(self):
        return self.first.counter if self.id is None else self.first.stamp.counter

    def signed_by(self, folder, key):
        return all(signed(key, one.signature, self._text(folder, one)) for one in (self.first, self.second))

    def _text(self, folder, one):
        if self.id is None:
            return head_text(folder, self.writer, one.counter, one.chain)
        return change_text(folder, self.id, one)


def of_heads(writer, first, second):
    """The fork that two heads of a writer are, or None. Whether they are signed is for who asks."""
    if first.counter == second.counter and first.chain != second.chain:
        return Fork(writer, None, Head(*first), Head(*second))
    return None


def of_proofs(identifier, first, second):
    """The same of two proofs; those that differ in their signature alone say the same (SYN-054)."""
    if first.dot == second.dot and first.unsigned() != second.unsigned():
        return Fork(first.stamp.writer, identifier, first, second)
    return None


# ---- messages ----------------------------------------------------------------------------------------------------

def write_forks(folder, forks):
    """The messages with these forks; none if there are none."""
    waiting = []
    for fork in [*forks, None]:
        if waiting and (fork is None or sum(map(len, waiting)) > MESSAGE_LARGEST // 2):
            yield message(FORKS, folder, len(waiting).to_bytes(2, "big"), *waiting)
            waiting = []
        waiting += [fork.encode()] if fork else []


def read_forks(body):
    """(folder, [Fork])"""
    r = Reader(body)
    folder = r.take(16)
    found = [read_fork(r) for _ in range(r.number(2))]
    r.end()
    return folder, found


def read_fork(r):
    if r.one_of((OF_HEADS, OF_PROOFS), "the kind of a fork") == OF_HEADS:
        (writer, first), (other, second) = read_head(r), read_head(r)
        fork = of_heads(writer, first, second) if writer == other else None
    else:
        identifier, first, second = r.take(16), read_proof(r), read_proof(r)
        fork = of_proofs(identifier, first, second)
    if fork is None or not 0 < fork.counter < LIMIT:
        raise Failure("fork-forged", "SYN-113", "no contradiction")
    return fork
