"""The responder of a handshake: spec/handshake.md sections 4.2, 4.3, 4.5 and the tickets of 4.6. What it remembers beyond one
connection is in guard.py.
"""

import ticket as tickets
from crypto import (HMAC, Failure, H, draw, equal, etm_open, etm_seal, expand, mlkem_encapsulate, mlkem_key_is_canonical,
                    modulus_of_device_key, oaep_decrypt, oaep_encrypt, public_spki, x25519_public, x25519_shared)
from fields import counted
from handshake import (CLOCK, HYBRID, LABEL_I, LABEL_R, M2, NO_COMMON_SUITE, NOT_AUTHORISED, REFUSE, RETRY, RSA, SUITES,
                       TICKET_EXPIRED, Box1, M1Message, Secrets, chain2, frame, key1, key_refuse, mac1_of, padded, tag_i, traffic)


class Responder:
    """One connection. `memory` (guard.Memory) is what all connections of the device share: cookies, answered M1s, allowances,
    remembered suites. `rdv_token` is that of the relayed connection, None on a direct one."""

    def __init__(self, key, device, issuers, memory, suites=SUITES, rdv_token=None, source=b"", entropy=draw, params=b""):
        self.key, self.device, self.spki = key, device, public_spki(key)
        self.issuers, self.memory, self.suites = issuers, memory, suites
        self.rdv_token, self.source, self.entropy, self.params = rdv_token, source, entropy, params
        self.retried, self.suite, self.grounds, self.ticket = False, None, None, None

    def read_m1(self, data, now):
        """The frame to answer with: M2 or RETRY. A Failure's `answer` is "silent", "no-common-suite" or {"refuse": code}, and
        its `frame` are the bytes of that answer."""
        try:
            return self._read_m1(data, now)
        except Failure as failure:
            failure.frame = getattr(failure, "frame", b"")
            raise

    def _read_m1(self, data, now):
        m1 = M1Message(data)
        if not equal(mac1_of(self.spki, m1.covered), m1.mac1):
            raise Failure("mac1", "HSK-014")
        common = set(m1.suites) & set(self.suites)
        if not common:
            failure = Failure("no-common-suite", "HSK-015", answer="no-common-suite")
            failure.frame = frame(NO_COMMON_SUITE, b"")
            raise failure
        self.suite = max(common)                                    # HSK-016
        if m1.cookie:
            self.memory.check_cookie(m1.cookie, self.source, m1.head, now)          # HSK-050
        with self.memory.first(data, now):                          # HSK-051
            return self._decide(m1, data, now)

    def _decide(self, m1, data, now):
        retry = self.memory.spend(self.source, now)                 # HSK-052
        if retry and not m1.cookie:                                 # HSK-080
            if self.retried:
                raise Failure("busy", "HSK-052", "no cookie after RETRY")
            self.retried = True
            self.memory.give_back(self.source)
            return frame(RETRY, self.memory.make_cookie(self.source, m1.head, now))
        if self.rdv_token is not None and m1.rdv_token != self.rdv_token:
            raise Failure("rdv-token", "HSK-053")
        k_r = oaep_decrypt(self.key, LABEL_R, m1.ct)                # the only RSA private operation, HSK-017
        if k_r is None or len(k_r) != 32:
            k_r = HMAC(self.memory.device_secret, m1.ct)
        plaintext = etm_open(key1(k_r, m1.prefix), H(m1.prefix), m1.box)
        if plaintext is None:
            raise Failure("box1", "HSK-018")
        box = Box1(plaintext)
        try:
            self._admit(box, now)
        except Failure as failure:
            code = TICKET_EXPIRED if failure.requirement == "HSK-022" else NOT_AUTHORISED
            failure.answer = {"refuse": code}
            failure.frame = frame(REFUSE, etm_seal(key_refuse(k_r, data), H(data), code.to_bytes(2, "big") + bytes(30)))
            raise
        answer = self._write_m2(m1, k_r)
        self.memory.answered(data, self.source, now)
        return answer

    def _admit(self, box, now):
        """HSK-019 to HSK-024, then HSK-029 and HSK-045: who is it, and may it talk to me?"""
        if abs(box.time - now) > CLOCK:
            raise Failure("clock", "HSK-019")
        if modulus_of_device_key(box.spki) is None:
            raise Failure("peer-key", "HSK-020")
        if box.spki == self.spki:
            raise Failure("self-connection", "HSK-021")
        self.peer_spki = box.spki
        self.ticket, self.grounds = self.check_ticket(box.ticket, now)
        if self.ticket.confirmation != box.spki:
            raise Failure("ticket-key", "HSK-024")
        if self.grounds.initiator == self.device.hex():
            raise Failure("self-connection", "HSK-029")
        if self.suite < self.memory.suite_of(self.grounds.initiator):
            raise Failure("suite-remembered", "HSK-045")

    def check_ticket(self, data, now):
        """HSK-022, HSK-023: ticket.md sections 4.2, 4.3 and 4.5 without TKT-025."""
        try:
            t = tickets.verify(data, now, tickets.DEVICE + self.device.hex(), self.issuers, possession=False)
            return t, tickets.relate(t, self.device.hex(), self.spki)
        except Failure as failure:
            if failure.reason == "ticket-expired":
                raise Failure("ticket-expired", "HSK-022") from failure
            raise Failure("ticket", "HSK-023", str(failure)) from failure

    def _write_m2(self, m1, k_r):
        nonce, k_i, seed = self.entropy(32), self.entropy(32), self.entropy(32)      # HSK-025
        share, ss_e = b"", bytes(32)
        if self.suite != RSA:
            secret = self.entropy(32)
            share, ss_e = x25519_public(secret), x25519_shared(secret, m1.share[-32:])
            if ss_e == bytes(32):
                raise Failure("share", "HSK-043")
        if self.suite == HYBRID:
            if not mlkem_key_is_canonical(m1.share[:1184]):
                raise Failure("share", "HSK-044")
            kem_secret, kem_ct = mlkem_encapsulate(m1.share[:1184])
            share, ss_e = kem_ct + share, kem_secret + ss_e
        ct = oaep_encrypt(modulus_of_device_key(self.peer_spki), LABEL_I, k_i, seed)
        box = padded(counted(2, ct) + counted(2, self.params))
        head = self.suite.to_bytes(2, "big") + nonce + counted(2, share) + (len(box) + 32).to_bytes(3, "big")
        prefix = bytes([M2]) + (len(head) + len(box) + 64).to_bytes(3, "big") + head
        ck2, digest = chain2(k_r, ss_e), H(m1.frame, prefix)
        covered = prefix + etm_seal(expand(ck2, b"m2" + digest, 48), digest, box)
        dev_i = bytes.fromhex(self.grounds.initiator)
        s = Secrets(ck2, k_i, dev_i, self.device, self.peer_spki, self.spki, m1.frame, covered)
        self.state = (s.ck3, s.th2)                                 # section 4.3, step 2: nothing else is kept
        return covered + s.tag_r

    def read_m3(self, data):
        """(traffic_I, traffic_R); only now the initiator is present (HSK-041)."""
        result = read_m3(data, *self.state)
        if self.grounds:
            self.memory.established(self.grounds.initiator, self.suite)
        return result

    def renew(self, data, now):
        """A ticket record (HSK-054, HSK-057): the same initiator and key, and no less than before."""
        t, grounds = self.check_ticket(data, now)
        if grounds.initiator != self.grounds.initiator or t.confirmation != self.peer_spki:
            raise Failure("ticket", "HSK-054")
        if not grounds.permits_all_of(self.grounds):
            raise Failure("ticket-narrowed", "HSK-057")
        self.ticket, self.grounds = t, grounds


def read_m3(data, ck3, th2):
    """HSK-040, from what section 4.3 remembers."""
    if len(data) != 36:
        raise Failure("malformed", "HSK-003")
    if not equal(tag_i(ck3, th2), data[4:]):
        raise Failure("confirm", "HSK-040")
    return traffic(ck3, th2)
