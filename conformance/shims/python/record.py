"""Records: spec/record.md. Each direction of a channel has a Sealer at one end and an Opener at the other."""

from crypto import HMAC, Failure, aes_ctr, equal, expand

DATA, CLOSE_NOTIFY, KEY_UPDATE, TICKET = 1, 2, 3, 4
LARGEST = 65536                         # bytes of c, REC-010
CONTENT = LARGEST - 1                   # one byte is the type

EPOCH_RECORDS = 2 ** 24                 # REC-001: an epoch ends before it has sealed so many records,
EPOCH_BYTES = 2 ** 36                   # so many bytes,
EPOCH_SECONDS = 3600                    # or has lasted so long
SEND_EVERY = 25                         # REC-003
SILENT_AFTER = 90                       # REC-019


class _Direction:
    """The keys of one direction and its place in the sequence (record.md section 3)."""

    def __init__(self, traffic):
        self._begin(traffic)

    def _begin(self, traffic):
        self.traffic = traffic
        keys = expand(traffic, b"rec", 52)
        self.enc, self.mac, self.salt = keys[:16], keys[16:48], keys[48:]
        self.seq = 0

    def _update(self):
        self._begin(expand(self.traffic, b"upd", 32))

    def _crypt(self, data):
        return aes_ctr(self.enc, self.salt + self.seq.to_bytes(8, "big") + bytes(4), data)

    def _tag(self, c):
        return HMAC(self.mac, self.seq.to_bytes(8, "big"), len(c).to_bytes(3, "big"), c)


class Sealer(_Direction):
    """Writes records. `now` gives the time of the epoch limit of REC-001; without it only the counts matter."""

    def __init__(self, traffic, now=lambda: 0.0):
        super().__init__(traffic)
        self.now, self.closed = now, False
        self.sealed, self.began = 0, now()

    def _record(self, content, kind, zeros=0):
        plaintext = content + bytes([kind]) + bytes(zeros)
        c = self._crypt(plaintext)
        record = len(c).to_bytes(3, "big") + c + self._tag(c)
        self.seq += 1
        self.sealed += len(c)
        return record

    def _room(self, size):
        """A key_update, if this record would be one too many for the epoch (REC-001)."""
        due = (self.seq + 2 >= EPOCH_RECORDS or self.sealed + size >= EPOCH_BYTES
               or self.now() - self.began >= EPOCH_SECONDS)
        return self.key_update() if due else b""

    def data(self, content, pad_to=0):
        """Data records of the content, several if it is long (section 4.1). With `pad_to` zeros are appended until the
        plaintext is a multiple of so many bytes, so that its length tells less."""
        out = []
        pieces = [content[i:i + CONTENT] for i in range(0, len(content), CONTENT)] or [b""]
        for piece in pieces:
            zeros = min(-(len(piece) + 1) % pad_to, CONTENT - len(piece)) if pad_to else 0
            out.append(self._room(len(piece)) + self._record(piece, DATA, zeros))
        return b"".join(out)

    def ticket(self, ticket):
        """A new pair ticket for the channel, from the initiator only (handshake.md section 4.6)."""
        return self._room(len(ticket)) + self._record(ticket, TICKET)

    def key_update(self):
        record = self._record(b"", KEY_UPDATE)
        self._update()
        self.sealed, self.began = 0, self.now()
        return record

    def close(self):
        """REC-002: the end of this direction."""
        self.closed = True
        return self._record(b"", CLOSE_NOTIFY)


class Opener(_Direction):
    """Reads records from a stream of bytes, however it is cut.

    `from_initiator`: the sender is the initiator, who alone may send ticket records (REC-013).
    After a Failure nothing more is accepted (REC-018).
    """

    def __init__(self, traffic, from_initiator=False):
        super().__init__(traffic)
        self.from_initiator = from_initiator
        self.buffer, self.closed, self.dead = b"", False, None

    def feed(self, data):
        """The records that are complete now, as (type, content). key_update is dealt with here and not shown."""
        records = []
        if self.dead:
            raise Failure("dead", "REC-018")
        self.buffer += data
        try:
            while (record := self._next()) is not None:
                if record[0] != KEY_UPDATE:
                    records.append(record)
        except Failure as failure:
            self.dead = failure
            failure.before = records    # what was good before it stays good
            raise
        return records

    def end(self):
        """The TCP stream has ended. REC-016."""
        if not self.dead and not self.closed:
            self.dead = Failure("truncated", "REC-016")
            raise self.dead

    def _next(self):
        if self.closed:
            if self.buffer:
                raise Failure("after-close", "REC-017")
            return None
        if len(self.buffer) < 3:
            return None
        size = int.from_bytes(self.buffer[:3], "big")
        if not 1 <= size <= LARGEST:
            raise Failure("record-length", "REC-010")
        if len(self.buffer) < 3 + size + 32:
            return None
        c, tag = self.buffer[3:3 + size], self.buffer[3 + size:35 + size]
        self.buffer = self.buffer[35 + size:]
        return self._open(c, tag)

    def _open(self, c, tag):
        if not equal(self._tag(c), tag):
            raise Failure("record-mac", "REC-011")
        plaintext = self._crypt(c).rstrip(b"\0")
        self.seq += 1
        if not plaintext:
            raise Failure("record-padding", "REC-012")
        content, kind = plaintext[:-1], plaintext[-1]
        if kind not in (DATA, CLOSE_NOTIFY, KEY_UPDATE) and not (kind == TICKET and self.from_initiator):
            raise Failure("record-type", "REC-013", f"type {kind}")
        if kind in (CLOSE_NOTIFY, KEY_UPDATE) and content:
            raise Failure("record-content", "REC-014")
        if kind == KEY_UPDATE:
            self._update()
        if kind == CLOSE_NOTIFY:
            self.closed = True
        return kind, content
