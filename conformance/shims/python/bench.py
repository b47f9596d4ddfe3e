"""The op `bench` of ../README.md: how fast this implementation is. It was written to be read, and the figures say so."""

import os
import time

from crypto import HMAC, aes_ctr, load_private_pem, modulus_of_device_key, oaep_decrypt, oaep_encrypt, public_spki
from guard import Memory
from handshake import SUITES, Initiator
from peer import write_pair_ticket
from record import CONTENT, Opener, Sealer
from responder import Responder

KEYS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../vectors/keys")
RUN = 65536                             # bytes between two readings of the clock
ISSUER = "https://account.mesh.example/"
X, Y = bytes.fromhex("0d00000000000000000000000000000a"), bytes.fromhex("0d00000000000000000000000000000b")


def repeat(seconds, count, run):
    """Calls `run`, which does `count` bytes or operations and returns nanoseconds, for about so long; at least once."""
    done = took = 0
    end = time.monotonic() + 3 * seconds                # what is prepared between the readings counts for who waits
    while not done or took < seconds * 1e9 and time.monotonic() < end:
        took += run()
        done += count
    return done, max(took, 1)


def timed(work):
    began = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - began


def pieces(seconds, size, work):
    """`work` on pieces of so many bytes."""
    piece, number = bytes(size), max(RUN // size, 1)
    return repeat(seconds, number * size, lambda: timed(lambda: [work(piece) for _ in range(number)]))


def opened(seconds, size):
    """Records that are sealed outside of the measured time."""
    sealer, opener = Sealer(bytes(32)), Opener(bytes(32))
    number = max(RUN // size, 1)

    def run():
        records = [sealer.data(bytes(size)) for _ in range(number)]
        return timed(lambda: [opener.feed(record) for record in records])
    return repeat(seconds, number * size, run)


def decryptions(seconds):
    x = key("device-x")
    ciphertext = oaep_encrypt(modulus_of_device_key(public_spki(x)), b"label", bytes(32), bytes(32))
    return repeat(seconds, 1, lambda: timed(lambda: oaep_decrypt(x, b"label", ciphertext)))


def handshakes(seconds, suite):
    """Whole ones, the work of both sides, without a connection."""
    x, y, issuer, now = key("device-x"), key("device-y"), key("issuer-a"), int(time.time())
    ticket = write_pair_ticket(ISSUER, issuer, X, public_spki(x), Y, public_spki(y), lifetime=600)
    trusted, memory = {ISSUER: [public_spki(issuer)]}, Memory(limited=False)

    def meet():
        initiator = Initiator(x, X, Y, public_spki(y), ticket, now, [suite])
        responder = Responder(y, Y, trusted, memory, [suite])
        _, m3 = initiator.read(responder.read_m1(initiator.m1, now))
        if responder.read_m3(m3) != (initiator.traffic_i, initiator.traffic_r):
            raise ValueError("the two sides have other keys")
    return repeat(seconds, 1, lambda: timed(meet))


def key(name):
    return load_private_pem(os.path.join(KEYS, name + ".pem"))


def measure(work, size, seconds):
    """The output of the op, or None if it is not measured."""
    suite = int(work[10:], 16) if work.startswith("handshake-") else None
    if 1 <= size <= CONTENT and work in ("aes-128-ctr", "hmac-sha256", "seal", "open"):
        if work == "open":
            done = opened(seconds, size)
        elif work == "seal":
            done = pieces(seconds, size, Sealer(bytes(32)).data)
        elif work == "hmac-sha256":
            done = pieces(seconds, size, lambda piece: HMAC(bytes(32), piece))
        else:
            done = pieces(seconds, size, lambda piece: aes_ctr(bytes(16), bytes(16), piece))
        return {"bytes": done[0], "nanoseconds": done[1]}
    if size != 2048 or work != "rsa-oaep-decrypt" and suite not in SUITES:
        return None
    done = handshakes(seconds, suite) if suite else decryptions(seconds)
    return {"operations": done[0], "nanoseconds": done[1]}
