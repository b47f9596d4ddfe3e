"""Relays: spec/relay.md. Passes (section 3), the relay's answer to JOIN (4.1), and a device's side of it."""

import socket

from crypto import HMAC, Failure, draw, etm_open, etm_seal, expand

VERSION = b"\0\1"
JOIN, PING = 1, 2
JOINED, WAITING, PONG, REFUSED = 1, 2, 3, 4
PASS = 73
ACCOUNT_LARGEST = 64                    # RLY-008

CODES = {1: "join-unknown", 2: "join-expired", 3: "join-taken", 4: "relay-busy", 5: "relay-draining", 6: "relay-quota",
         7: "join-alone"}


# ---- passes (what the graph service makes) -----------------------------------------------------------------------

def account_of(key, user):
    """`user` is an identifier, that is 16 bytes; its text is for texts (README.md, "Conventions")."""
    return HMAC(key, b"meshrelay/1 account", bytes.fromhex(user))[:16]


def _k48(key, circuit, side, address):
    return expand(key, b"meshrelay/1 pass" + circuit + bytes([side]) + address.encode("ascii"), 48)


def make_pass(key, address, circuit, side, expires, user):
    box = etm_seal(_k48(key, circuit, side, address), b"", expires.to_bytes(8, "big") + account_of(key, user))
    return circuit + bytes([side]) + box


def open_pass(key, address, token):
    """(circuit, side, expires, account), or None if the relay key did not make it for this address."""
    circuit, side, box = token[:16], token[16], token[17:]
    plaintext = etm_open(_k48(key, circuit, side, address), b"", box)
    if plaintext is None or side > 1:
        return None
    return circuit, side, int.from_bytes(plaintext[:8], "big"), plaintext[8:]


# ---- the relay's begin of a connection ---------------------------------------------------------------------------

class Relay:
    """What a relay remembers, as far as the answer to JOIN depends on it."""

    def __init__(self, keys, address):
        self.keys, self.address = keys, address
        self.taken = {}                 # (circuit, side) -> when it may be forgotten, RLY-004
        self.waiting = {}               # circuit -> side
        self.accounts = {}              # account -> connections that wait or are joined

    def answer(self, data, now):
        """The last answer to `data`, all that came on a connection: `nothing` while more bytes are needed, `silent` for a
        close without a byte, `pong`, `waiting`, `joined`, or a Failure with `answer` = {"refused": code}."""
        said = "nothing"
        while True:
            if data[:2] != VERSION[:len(data[:2])] or (len(data) > 2 and data[2] not in (JOIN, PING)):
                raise Failure("join-malformed", "RLY-001")
            if len(data) > 2 and data[2] == PING and len(data) >= 11:
                said, data = "pong", data[11:]
                continue
            if len(data) > 2 and data[2] == JOIN and len(data) >= 3 + PASS:
                return self._join(bytes(data[3:3 + PASS]), now)
            return said

    def _join(self, token, now):
        opened = next((o for o in (open_pass(k, self.address, token) for k in self.keys) if o), None)
        if opened is None:
            raise _refused(1, "RLY-002")
        circuit, side, expires, account = opened
        if expires <= now:
            raise _refused(2, "RLY-007")
        if (circuit, side) in self.taken:
            raise _refused(3, "RLY-004")
        if self.accounts.get(account, 0) >= ACCOUNT_LARGEST:
            raise _refused(4, "RLY-008")
        self.taken[circuit, side] = expires
        self.accounts[account] = self.accounts.get(account, 0) + 1
        if circuit in self.waiting:
            del self.waiting[circuit]
            return "joined"
        self.waiting[circuit] = side
        return "waiting"


def _refused(code, requirement):
    return Failure(CODES[code], requirement, answer={"refused": code})


# ---- a device's side ---------------------------------------------------------------------------------------------

def _exactly(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        if not piece:
            raise Failure("truncated", "REC-016", "the relay closed")
        data += piece
    return data


def dial(address, timeout=35):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def ping(sock):
    """RLY-006: whether the relay answers with the same nonce."""
    nonce = draw(8)
    sock.sendall(VERSION + bytes([PING]) + nonce)
    return _exactly(sock, 9) == bytes([PONG]) + nonce


def join(sock, token, waiting=lambda: None):
    """Show the pass and wait for JOINED. Afterwards all bytes on `sock` are those of the other device. `waiting` is called
    when the other side is not there yet."""
    sock.sendall(VERSION + bytes([JOIN]) + token)
    while True:
        kind = _exactly(sock, 1)[0]
        if kind == JOINED:
            return sock
        if kind == WAITING:
            waiting()
        elif kind == REFUSED:
            code = _exactly(sock, 1)[0]
            raise Failure(CODES.get(code, CODES[4]), "RLY-012", f"code {code}")      # an unknown code counts as 4
        else:
            raise Failure("relay-protocol", "RLY-012", f"byte {kind}")
