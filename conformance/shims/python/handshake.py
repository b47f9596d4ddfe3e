"""The handshake: spec/handshake.md. What both sides share, and the initiator; the responder is in responder.py.

The two are state machines without sockets or clocks: frames go in, frames come out, and a Failure says what was wrong, which
sentence demands it, and what a responder answers.
"""

import struct

import ticket as tickets
from crypto import (HAVE_MLKEM, HMAC, Failure, H, draw, equal, etm_open, etm_seal, expand, extract, mlkem_decapsulate,
                    mlkem_encapsulation_key, mlkem_from_seed, modulus_of_device_key, oaep_decrypt, oaep_encrypt, public_spki,
                    x25519_public, x25519_shared)
from fields import Fields, counted

VERSION = 1                                                         # HSK-010
M1, M2, M3, RETRY, REFUSE, NO_COMMON_SUITE = 1, 2, 3, 4, 5, 6
LARGEST = {M1: 24576, M2: 24576, M3: 32, RETRY: 40, REFUSE: 64, NO_COMMON_SUITE: 0}

RSA, X25519, HYBRID = 0x0101, 0x0201, 0x0301
SUITES = ([HYBRID] if HAVE_MLKEM else []) + [X25519, RSA]           # the strongest first
SHARE_I = {HYBRID: 1216, X25519: 32, RSA: 0}
SHARE_R = {HYBRID: 1120, X25519: 32, RSA: 0}

NOT_AUTHORISED, TICKET_EXPIRED, BUSY = 1, 2, 3
CLOCK = 300                                                         # HSK-019
DEADLINE, FIRST_BYTE = 30, 5                                        # HSK-005, HSK-007
LONGEST_CHANNEL = 24 * 3600                                         # HSK-056
LABEL_R, LABEL_I = b"meshp2p/1 kR", b"meshp2p/1 kI"


# ---- frames and fields (section 3) -------------------------------------------------------------------------------

def frame(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def take_frame(data, awaited):
    """(frame, rest) of the first frame in `data`, or None while it is not complete. HSK-001 is decided by the first byte,
    HSK-002 by the first four."""
    if not data:
        return None
    if data[0] not in awaited:
        raise Failure("unexpected-frame", "HSK-001", f"type {data[0]}")
    if len(data) < 4:
        return None
    size = int.from_bytes(data[1:4], "big")
    if size > LARGEST[data[0]]:
        raise Failure("frame-too-large", "HSK-002")
    return (data[:4 + size], data[4 + size:]) if len(data) >= 4 + size else None


class Reader(Fields):
    reason, requirement = "malformed", "HSK-003"


def padded(fields):
    return fields + bytes(-len(fields) % 1024)


def check_padding(f):
    """HSK-004: zeros up to the next multiple of 1,024, and no more."""
    rest = f.data[f.at:]
    if rest.strip(b"\0") or len(rest) != -f.at % 1024:
        raise Failure("padding", "HSK-004")


def check_params(params):
    """A sequence of (type, length, value); unknown types are ignored, and no type is known yet."""
    f = Reader(params)
    while f.at < len(params):
        f.number(2)
        f.counted(2)


# ---- the key schedule (section 3.1) ------------------------------------------------------------------------------

CK0 = H(b"meshp2p/1")


def mac1_of(spki_r, data):
    return HMAC(H(b"meshp2p/1 mac1", spki_r), data)[:16]


def key1(k_r, m1_prefix):
    return expand(extract(CK0, k_r), b"m1" + H(m1_prefix), 48)


def key_refuse(k_r, m1):
    return expand(extract(CK0, k_r), b"refuse" + H(m1), 48)


def chain2(k_r, ss_e):
    return extract(extract(CK0, k_r), ss_e)


class Secrets:
    """What both sides compute from ck2 and k_I once the M2 is there."""

    def __init__(self, ck2, k_i, dev_i, dev_r, spki_i, spki_r, m1, m2_body):
        self.ck3 = extract(ck2, k_i)
        th = H(b"meshp2p/1 th", dev_i, dev_r, H(spki_i), H(spki_r), m1, m2_body)
        self.tag_r = HMAC(expand(self.ck3, b"cR", 32), th)
        self.th2 = H(th, self.tag_r)


def tag_i(ck3, th2):
    return HMAC(expand(ck3, b"cI", 32), th2)


def traffic(ck3, th2):
    """(traffic_I, traffic_R)"""
    return expand(ck3, b"tI" + th2, 32), expand(ck3, b"tR" + th2, 32)


# ---- M1 as bytes -------------------------------------------------------------------------------------------------

class M1Message:
    """The fields of an M1 frame, read from its begin (section 4.2): a field that is wrong fails before what is behind it, or
    missing there (HSK-003)."""

    def __init__(self, data):
        f = Reader(data[4:])
        self.frame = data
        if f.number(2) != VERSION:
            raise Failure("version", "HSK-010")
        self.suites = self._read_suites(f)
        self.nonce, self.rdv_token = f.take(32), f.take(16)
        before, size = f.at, f.number(1)
        if size not in (0, 40):
            raise Failure("cookie", "HSK-012")
        self.cookie = f.take(size)
        after, size = f.at, f.number(2)
        if size != SHARE_I[max((s for s in self.suites if s in SHARE_I), default=RSA)]:
            raise Failure("share", "HSK-013")
        self.share, self.ct = f.take(size), f.counted(2)
        self.head = f.data[:before] + f.data[after:f.at]            # M1head of section 4.7
        size = f.number(3)
        self.prefix = data[:4 + f.at]
        self.box = f.take(size)
        self.covered = data[:4 + f.at]
        self.mac1 = f.take(16)
        f.end()

    @staticmethod
    def _read_suites(f):
        """HSK-011."""
        count, suites = f.number(1), []
        if not 1 <= count <= 8:
            raise Failure("suite-list", "HSK-011", f"{count} suites")
        for _ in range(count):
            suites.append(f.number(2))
            if suites[-1] in suites[:-1]:
                raise Failure("suite-list", "HSK-011", "a suite twice")
        return suites


class Box1:
    """The plaintext of box1: HSK-003, HSK-004."""

    def __init__(self, plaintext):
        f = Reader(plaintext)
        self.time, self.spki = f.number(8), f.counted(2)
        self.ticket = f.counted(3)
        if not 1 <= len(self.ticket) <= tickets.LARGEST:
            raise Failure("malformed", "HSK-003", "ticket length")
        check_params(f.counted(2))
        check_padding(f)


# ---- the initiator (sections 4.4) --------------------------------------------------------------------------------

class Initiator:
    """device, responder: 16 bytes. entropy: a function n -> n bytes; the order of its calls is that of vectors/README.md,
    HandshakeM2. `least` is the weakest suite that may be offered (HSK-046)."""

    def __init__(self, key, device, responder, responder_spki, ticket, now, suites=SUITES, rdv_token=bytes(16), entropy=draw,
                 params=b"", least=0, issuers=None):
        self.key, self.device, self.spki = key, device, public_spki(key)
        self.responder, self.responder_spki, self.ticket = responder, responder_spki, ticket
        self.suites = [s for s in suites if s >= least]
        self.rdv_token, self.cookie = rdv_token, b""
        if not self.suites:
            raise Failure("suite", "HSK-046", "every suite on offer is weaker than one that was used before")
        self._check_ticket(issuers, now)
        self.nonce, self.k_r, seed = entropy(32), entropy(32), entropy(32)          # HSK-038
        self.x_secret = entropy(32) if max(self.suites) >= X25519 else None
        self.kem = mlkem_from_seed(entropy(64)) if HYBRID in self.suites else None
        self.share = self._share()
        self.ct = oaep_encrypt(modulus_of_device_key(responder_spki), LABEL_R, self.k_r, seed)
        self.box1 = padded(now.to_bytes(8, "big") + counted(2, self.spki) + counted(3, ticket) + counted(2, params))
        self.m1 = self._write_m1()
        self.retried, self.suite, self.traffic_i, self.traffic_r = False, None, None, None

    def _check_ticket(self, issuers, now):
        """HSK-039: the ticket names me, my key, the responder and the responder's key. With `issuers` it is verified, too."""
        t = tickets.parse(self.ticket)
        if issuers is not None:
            tickets.verify(self.ticket, now, tickets.DEVICE + self.responder.hex(), issuers, self.spki)
        if (t.subject != tickets.DEVICE + self.device.hex() or t.confirmation != self.spki
                or t.audience != tickets.DEVICE + self.responder.hex()
                or t.attributes["key"].get(self.responder.hex()) != H(self.responder_spki).hex()):
            raise Failure("ticket", "HSK-039")

    def _share(self):
        x = x25519_public(self.x_secret) if self.x_secret else b""
        return (mlkem_encapsulation_key(self.kem) if self.kem else b"") + x

    def _write_m1(self):
        n = len(self.suites)
        head = (struct.pack(f">HB{n}H", VERSION, n, *self.suites) + self.nonce + self.rdv_token
                + counted(1, self.cookie) + counted(2, self.share) + counted(2, self.ct))
        box_size = len(self.box1) + 32
        body_size = len(head) + 3 + box_size + 16
        prefix = bytes([M1]) + body_size.to_bytes(3, "big") + head + box_size.to_bytes(3, "big")
        digest = H(prefix)
        data = prefix + etm_seal(key1(self.k_r, prefix), digest, self.box1)
        return data + mac1_of(self.responder_spki, data)

    def read(self, data):
        """Read one answer frame. Returns (M3, frame) when established, (M1, frame) after the first RETRY."""
        kind, body = data[0], data[4:]
        if kind == RETRY:
            return M1, self._read_retry(body)
        if kind == REFUSE:
            self._read_refuse(body)
        if kind == NO_COMMON_SUITE:
            raise Failure("no-common-suite", "HSK-037")             # and never a weaker offer, HSK-036
        if kind != M2:
            raise Failure("unexpected-frame", "HSK-001")
        return M3, self._read_m2(data)

    def awaited(self):
        """The first RETRY is answered, a second is a frame that is not awaited (HSK-048)."""
        return (M2, REFUSE, NO_COMMON_SUITE) if self.retried else (M2, RETRY, REFUSE, NO_COMMON_SUITE)

    def _read_retry(self, body):
        if self.retried:
            raise Failure("unexpected-frame", "HSK-048")
        if len(body) != 40:
            raise Failure("malformed", "HSK-003")
        self.retried, self.cookie = True, body
        self.m1 = self._write_m1()                                  # HSK-047: all but cookie, box1 and mac1 stays
        return self.m1

    def _read_refuse(self, body):
        plaintext = etm_open(key_refuse(self.k_r, self.m1), H(self.m1), body) if len(body) == 64 else None
        if plaintext is None:
            raise Failure("refuse", "HSK-035")
        code = int.from_bytes(plaintext[:2], "big")
        failure = Failure("refused", "HSK-035", f"code {code}")
        failure.code = code if code in (NOT_AUTHORISED, TICKET_EXPIRED, BUSY) else NOT_AUTHORISED
        raise failure

    def _read_m2(self, data):
        f = Reader(data[4:])                                        # from its begin, as an M1
        suite = f.number(2)
        if suite not in self.suites:
            raise Failure("suite", "HSK-030")
        f.take(32)
        size = f.number(2)
        if size != SHARE_R[suite]:
            raise Failure("share", "HSK-031")
        share, size = f.take(size), f.number(3)
        prefix = data[:4 + f.at]
        box = f.take(size)
        covered = data[:4 + f.at]
        tag_r = f.take(32)
        f.end()
        ck2 = chain2(self.k_r, self._shared(suite, share))
        digest = H(self.m1, prefix)
        plaintext = etm_open(expand(ck2, b"m2" + digest, 48), digest, box)
        if plaintext is None:
            raise Failure("box2", "HSK-032")
        f = Reader(plaintext)
        ct = f.counted(2)
        check_params(f.counted(2))
        check_padding(f)
        k_i = oaep_decrypt(self.key, LABEL_I, ct)
        if k_i is None or len(k_i) != 32:                           # HSK-033: the failure shows as a wrong tag_R
            k_i = draw(32)
        s = Secrets(ck2, k_i, self.device, self.responder, self.spki, self.responder_spki, self.m1, covered)
        if not equal(s.tag_r, tag_r):
            raise Failure("confirm", "HSK-034")
        self.suite = suite
        self.traffic_i, self.traffic_r = traffic(s.ck3, s.th2)
        return frame(M3, tag_i(s.ck3, s.th2))

    def _shared(self, suite, share):
        """ss_e of section 3.1."""
        if suite == RSA:
            return bytes(32)
        x = x25519_shared(self.x_secret, share[-32:])
        if x == bytes(32):
            raise Failure("share", "HSK-043")
        return x if suite == X25519 else mlkem_decapsulate(self.kem, share[:-32]) + x
