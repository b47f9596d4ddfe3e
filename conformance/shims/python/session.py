"""As much of spec/sync.md, version 0.2, as a device has to say that has the folders of a channel, and no files in them.

It is what the kit's checks of handshake and record talk to. It merges nothing and stores nothing: whatever the other side has is
acknowledged and forgotten, so that this is no sync.
"""

from crypto import Failure

HELLO, INDEX, REQUEST, BLOCK, DONE, BYE, MANIFEST_REQUEST, MANIFEST = range(1, 9)
STATE = 16
LARGEST = 1048576                                                   # SYN-002
READ_AT_MOST = 262144                                               # SYN-009


def message(kind, body=b""):
    return bytes([kind]) + len(body).to_bytes(4, "big") + body


class Messages:
    """Messages out of a stream of bytes; a message may span records (section 3)."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        self.buffer += data
        while self.buffer:
            if self.buffer[0] not in (*range(1, 9), STATE):
                raise Failure("sync-type", "SYN-001")
            if len(self.buffer) < 5:
                return
            size = int.from_bytes(self.buffer[1:5], "big")
            if size > LARGEST:
                raise Failure("sync-length", "SYN-002")
            if len(self.buffer) < 5 + size:
                return
            kind, body, self.buffer = self.buffer[0], self.buffer[5:5 + size], self.buffer[5 + size:]
            yield kind, body


class Session:
    """Section 3.3: HELLO; for each folder of both STATE, INDEX and DONE; BYE."""

    def __init__(self, channel, folders, permitted):
        """`folders`: those of this device; `permitted`: those that the pair ticket maps on both (SYN-005)."""
        self.channel = channel
        self.own = sorted(bytes.fromhex(f) for f in folders if f in permitted)
        self.common, self.told, self.open, self.bye = None, set(), set(), False

    def run(self):
        reader = Messages()
        self.channel.send(message(HELLO, len(self.own).to_bytes(2, "big") + b"".join(self.own)))
        try:
            while not self.bye:
                data = self.channel.receive()
                if data is None:
                    raise Failure("sync-state", "SYN-015", "close_notify before BYE")
                for kind, body in reader.feed(data):
                    if self.bye:
                        raise Failure("sync-state", "SYN-015", "something after BYE")
                    self._read(kind, body)
        finally:
            self.channel.close()                                    # section 5: an error closes with close_notify, too

    def _read(self, kind, body):
        if (kind == HELLO) != (self.common is None) or kind in (BLOCK, MANIFEST):
            raise Failure("sync-state", "SYN-015", f"message {kind}")
        if kind == HELLO:
            self._hello(body)
        elif kind == STATE:
            self._state(body)
        elif kind == INDEX:
            self._index(body)
        elif kind == MANIFEST_REQUEST:
            if len(body) != 52:
                raise Failure("sync-malformed", "SYN-003")
            self.channel.send(message(MANIFEST, body[:4] + b"\1"))  # SYN-074
        elif kind == REQUEST:
            self._request(body)
        elif kind == DONE:
            if len(body) != 16:
                raise Failure("sync-malformed", "SYN-003")
        elif kind == BYE:
            if body:
                raise Failure("sync-malformed", "SYN-003")
            self.bye = True

    def _hello(self, body):
        count = int.from_bytes(body[:2], "big")
        theirs = [body[i:i + 16] for i in range(2, len(body), 16)]
        if len(body) != 2 + 16 * count or theirs != sorted(set(theirs)):
            raise Failure("sync-malformed", "SYN-003")
        self.common = [f for f in self.own if f in theirs]
        self.open = set(self.common)
        for folder in self.common:
            # Not complete: that this device has nothing is no reason for the other to forget anything.
            self.channel.send(message(STATE, folder + b"\0" + bytes(2) + bytes(16 * 256)))
        self._end()

    def _state(self, body):
        count = int.from_bytes(body[17:19], "big")
        if len(body) != 19 + 24 * count + 16 * 256 or body[16] > 1:
            raise Failure("sync-malformed", "SYN-003")
        counters = [(body[i:i + 16], int.from_bytes(body[i + 16:i + 24], "big")) for i in range(19, 19 + 24 * count, 24)]
        devices = [device for device, _ in counters]
        if devices != sorted(set(devices)) or count > 4096 or any(not 0 < n < 1 << 48 for _, n in counters):
            raise Failure("sync-context", "SYN-028")
        if body[:16] not in self.common:
            raise Failure("sync-folder", "SYN-004")
        if body[:16] in self.told:
            raise Failure("sync-state", "SYN-015", "a second STATE")
        self.told.add(body[:16])
        self.channel.send(message(INDEX, body[:16] + b"\1" + bytes(4)))

    def _index(self, body):
        if len(body) < 21 or body[16] > 1:
            raise Failure("sync-malformed", "SYN-003")
        if body[:16] not in self.common:
            raise Failure("sync-folder", "SYN-004")
        if body[:16] not in self.open or body[:16] not in self.told:
            raise Failure("sync-state", "SYN-015", "an INDEX before the STATE or after the last")
        if body[16] == 1:
            self.open.discard(body[:16])
            self.channel.send(message(DONE, body[:16]))
            self._end()

    def _request(self, body):
        if len(body) != 64:
            raise Failure("sync-malformed", "SYN-003")
        if body[4:20] not in self.common:
            raise Failure("sync-folder", "SYN-004")
        if int.from_bytes(body[60:], "big") > READ_AT_MOST:
            raise Failure("sync-request", "SYN-009")
        self.channel.send(message(BLOCK, body[:4] + b"\1"))         # SYN-032

    def _end(self):
        if not self.open:
            self.channel.send(message(BYE))


def application(folders):
    """For peer.Listener."""
    return lambda channel, responder: Session(channel, folders, responder.grounds.folders).run()
