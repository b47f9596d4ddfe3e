"""Whose word a change is: spec/sync.md section 4.8."""

from crypto import Failure, rsa_verify
from proofs import card_text, change_text, head_text, signed


class Writers:
    """The cards of one folder: device -> (key, the issuer's signature). `issuers`: SPKIs; `own`: (device, key)."""

    def __init__(self, folder, issuers, own):
        self.folder, self.issuers, self.own, self.cards = folder, issuers, own, {}

    def key_of(self, device):
        if device == self.own[0]:
            return self.own[1]
        return self.cards[device][0] if device in self.cards else None

    def learn(self, device, key, signature):
        if not any(rsa_verify(issuer, signature, card_text(self.folder, device, key)) for issuer in self.issuers):
            return                                                  # SYN-056
        if self.key_of(device) not in (None, key):
            raise Failure("writer-changed", "SYN-057", device.hex())
        self.cards[device] = key, signature

    def check(self, entry, own):
        """Whether all writers of an entry are known (SYN-053). `own`: what this device has of it, or None."""
        known = {p.dot: p for p in own.proofs} if own else {}
        complete = True
        for proof in entry.proofs:
            mine, key = known.get(proof.dot), self.key_of(proof.stamp.writer)
            if mine == proof:
                continue
            if key is None:
                complete = False
            elif not signed(key, proof.signature, change_text(self.folder, entry.id, proof)):
                raise Failure("change-forged", "SYN-052", proof.stamp.writer.hex())
            elif mine:
                raise Failure("writer-forked", "SYN-054", proof.stamp.writer.hex())
        return complete

    def check_heads(self, heads, known):
        """The heads of the writers that are known (SYN-060). `known`: what this device has of them."""
        out = {}
        for device, head in heads.items():
            key = self.key_of(device)
            if key is None:
                continue
            if not signed(key, head.signature, head_text(self.folder, device, head.counter, head.chain)):
                raise Failure("head-forged", "SYN-055", device.hex())
            if device in known and known[device].counter == head.counter and known[device].chain != head.chain:
                raise Failure("head-forked", "SYN-058", device.hex())
            out[device] = head
        return out
