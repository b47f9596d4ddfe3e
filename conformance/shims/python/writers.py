"""Whose word a change is: spec/sync.md section 4.9."""

import forks
from crypto import Failure, rsa_verify
from proofs import card_text, change_text, head_text, signed

MOST_CARDS = 4095                       # of other devices: a STATE has room for 4,096 heads


class Writers:
    """The cards of one folder: device -> (key, the issuer's signature), and of each writer that forked one Fork. `issuers`: SPKIs;
    `own`: (device, key)."""

    def __init__(self, folder, issuers, own):
        self.folder, self.issuers, self.own, self.cards, self.forks = folder, issuers, own, {}, {}
        self.full = False                                           # whether a card was ignored for want of room

    def key_of(self, device):
        if device == self.own[0]:
            return self.own[1]
        return self.cards[device][0] if device in self.cards else None

    def learn(self, device, key, signature):
        if not any(rsa_verify(issuer, signature, card_text(self.folder, device, key)) for issuer in self.issuers):
            return                                                  # SYN-056
        if self.key_of(device) not in (None, key):
            raise Failure("writer-changed", "SYN-057", device.hex())
        if device not in self.cards and len(self.cards.keys() - {self.own[0]}) >= MOST_CARDS and device != self.own[0]:
            self.full = True                                        # SYN-130
            return
        self.cards[device] = key, signature

    def learn_all(self, cards):
        """SYN-057: the good ones before a Failure because of another."""
        failure = None
        for card in cards:
            try:
                self.learn(*card)
            except Failure as caught:
                failure = caught
        if failure:
            raise failure

    def learn_fork(self, fork):
        """SYN-113: what a peer says of a writer. True if this device knew of no fork of it."""
        key = self.key_of(fork.writer)
        if key is None:
            return False
        if not fork.signed_by(self.folder, key):
            raise Failure("fork-forged", "SYN-113", fork.writer.hex())
        return self._remember(fork)

    def _remember(self, fork):
        new = fork.writer not in self.forks
        self.forks.setdefault(fork.writer, fork)
        return new

    def check(self, entry, own, peer=None):
        """Whether an entry may be taken: all of its writers are known (SYN-053), and none says here what it did not say before
        (SYN-110). `own`: what this device has of it, or None. Who forks itself is answered with a Failure, once: `peer`."""
        known = {p.dot: p for p in own.proofs} if own else {}
        complete = True
        for proof in entry.proofs:
            mine, key = known.get(proof.dot), self.key_of(proof.stamp.writer)
            if mine == proof:
                continue
            if key is None:
                complete = False
                continue
            if not signed(key, proof.signature, change_text(self.folder, entry.id, proof)):
                raise Failure("change-forged", "SYN-052", proof.stamp.writer.hex())
            fork = mine and forks.of_proofs(entry.id, mine, proof)
            if fork:
                if self._remember(fork) and fork.writer == peer:
                    raise Failure("writer-forked", "SYN-054", peer.hex())
                complete = False
        return complete

    def check_heads(self, heads, known, peer=None):
        """The heads of the writers that are known (SYN-060), but for those that contradict what this device has of them: `known`,
        and for those of who is known to have forked (SYN-111). Of its own it has to hear in any case."""
        out = {}
        for device, head in heads.items():
            key = self.key_of(device)
            if key is None:
                continue
            if not signed(key, head.signature, head_text(self.folder, device, head.counter, head.chain)):
                raise Failure("head-forged", "SYN-055", device.hex())
            fork = device not in self.forks and device in known and forks.of_heads(device, known[device], head)
            if fork:
                self._remember(fork)
                if device == peer:
                    raise Failure("head-forked", "SYN-058", device.hex())
            if device not in self.forks or device == self.own[0]:
                out[device] = head
        return out

    def own_fork(self):
        """That of this device itself, or None."""
        return self.forks.get(self.own[0])
