"""A channel over a TCP connection: the state machines of handshake.py and the records of record.py joined to a socket and a
clock. What the specification says about time and about the end of a connection is here.
"""

import socket
import threading
import time

import handshake
import ticket as tickets
from crypto import Failure
from record import CLOSE_NOTIFY, DATA, SEND_EVERY, SILENT_AFTER, TICKET, Opener, Sealer


class Wire:
    """Frames from a socket, with what came after the last frame kept for the records."""

    def __init__(self, sock, deadline):
        self.sock, self.deadline, self.rest = sock, deadline, b""

    def frame(self, awaited, first_byte=None):
        while True:
            taken = handshake.take_frame(self.rest, awaited)
            if taken:
                data, self.rest = taken
                return data
            limit = self.deadline - time.monotonic()
            if first_byte and not self.rest:
                limit = min(limit, first_byte)                      # HSK-007
            if limit <= 0:
                raise Failure("deadline", "HSK-005")
            self.sock.settimeout(limit)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                raise Failure("deadline", "HSK-007" if first_byte and not self.rest else "HSK-005")
            if not data:
                raise Failure("truncated", "HSK-006", "the peer closed in the handshake")
            self.rest += data


def hang_up(sock):
    """Close so that what was sent arrives: a close with bytes unread would be a reset, which takes them back."""
    try:
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(1)
        until = time.monotonic() + 1
        while time.monotonic() < until and sock.recv(65536):
            pass
    except OSError:
        pass
    sock.close()


def connect(sock, initiator):
    """The initiator's side of a handshake on a connected socket (handshake.md section 3.2). Returns a Channel."""
    wire = Wire(sock, time.monotonic() + handshake.DEADLINE)
    try:
        sock.sendall(initiator.m1)
        while True:
            kind, answer = initiator.read(wire.frame(initiator.awaited()))
            sock.sendall(answer)
            if kind == handshake.M3:
                end = tickets.parse(initiator.ticket).not_on_or_after
                return Channel(sock, initiator.traffic_i, initiator.traffic_r, end, wire.rest)
    except (Failure, OSError):
        sock.close()                                                # HSK-006
        raise


def accept(sock, responder, clock=time.time):
    """The responder's side. Whatever fails closes the connection; only REFUSE and NO_COMMON_SUITE are said (HSK-006)."""
    wire = Wire(sock, time.monotonic() + handshake.DEADLINE)
    try:
        while True:
            answer = responder.read_m1(wire.frame((handshake.M1,), handshake.FIRST_BYTE), int(clock()))
            sock.sendall(answer)
            if answer[0] == handshake.M2:
                break
        traffic_i, traffic_r = responder.read_m3(wire.frame((handshake.M3,)))
        return Channel(sock, traffic_r, traffic_i, responder.ticket.not_on_or_after, wire.rest, responder)
    except Failure as failure:
        if getattr(failure, "frame", b""):
            sock.sendall(failure.frame)
        hang_up(sock)
        raise
    except OSError:
        sock.close()
        raise


class Channel:
    """Data in both directions until close_notify. `ends` is the NotOnOrAfter of the last ticket (HSK-042, HSK-055); `responder`
    is there at the responder's end, who verifies tickets that come as records."""

    def __init__(self, sock, sending, receiving, ends, rest=b"", responder=None, clock=time.time):
        self.sock, self.responder, self.clock = sock, responder, clock
        self.sealer = Sealer(sending, time.monotonic)
        self.opener = Opener(receiving, from_initiator=responder is not None)
        self.ends, self.latest = ends, clock() + handshake.LONGEST_CHANNEL
        self.lock, self.over, self.reason = threading.Lock(), threading.Event(), None
        self.sent, self.waiting = time.monotonic(), None            # waiting: since when somebody is in receive()
        self.ready, self.rest, self.on_ticket = [], rest, None
        self.pad_to = 0
        threading.Thread(target=self._watch, daemon=True).start()

    # sending

    def _write(self, make):
        with self.lock:
            if self.sealer.closed or self.over.is_set():
                raise Failure("dead", "REC-018", "this direction has ended")
            record = make()
            self.sent = time.monotonic()
            self.sock.settimeout(SILENT_AFTER)
            self.sock.sendall(record)

    def send(self, data):
        for i in range(0, max(len(data), 1), 1 << 20):
            self._write(lambda: self.sealer.data(data[i:i + (1 << 20)], self.pad_to))

    def key_update(self):
        self._write(self.sealer.key_update)

    def renew(self, ticket):
        """The initiator sends its new ticket, and from then on the channel lives until that one ends (HSK-055), be it the sooner
        (D-128): both sides have one end."""
        ends = tickets.parse(ticket).not_on_or_after
        self._write(lambda: self.sealer.ticket(ticket))
        self.ends = ends

    # receiving

    def receive(self):
        """The content of the next data record, or None after close_notify. Empty records only keep the channel alive."""
        while True:
            while self.ready:
                kind, content = self.ready.pop(0)
                if kind == CLOSE_NOTIFY:
                    return None
                if kind == TICKET:
                    self._ticket(content)
                elif kind == DATA and content:
                    return content
            if self.opener.closed:
                return None
            self._read()

    def _read(self):
        data, self.rest = self.rest, b""
        if not data:
            self.waiting = time.monotonic()
            data = self._recv()
            self.waiting = None
        try:
            if not data:
                self.opener.end()
            self.ready += self.opener.feed(data)
        except Failure as failure:                                  # record.md section 5: no byte is sent any more
            self._die(failure)
            raise

    def _recv(self):
        while True:
            if self.over.is_set():
                raise self.reason or Failure("truncated", "REC-016")
            try:
                self.sock.settimeout(SILENT_AFTER)
                return self.sock.recv(1 << 18)
            except TimeoutError:
                continue                                            # _watch decides
            except OSError as error:
                if self.reason:
                    raise self.reason
                self._die(Failure("truncated", "REC-016", str(error)))

    def _ticket(self, data):
        """HSK-054, HSK-057: what is not good enough ends the channel with close_notify; what came before stays good."""
        try:
            self.responder.renew(data, int(self.clock()))
        except Failure as failure:
            self.close(failure)
            raise
        self.ends = self.responder.ticket.not_on_or_after
        if self.on_ticket:
            self.on_ticket()

    # the end

    def finish(self):
        """close_notify of this direction; the other goes on (REC-002)."""
        if not self.sealer.closed:
            self._write(self.sealer.close)

    def close(self, reason=None):
        """close_notify, then the end of the connection."""
        self.reason = self.reason or reason
        try:
            self.finish()
        except (Failure, OSError):
            pass
        if not self.over.is_set():
            self.over.set()
            hang_up(self.sock)

    def _die(self, failure):
        self.reason = self.reason or failure
        self.over.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def _watch(self):
        """Once a second: does something have to be said, or has the channel ended?"""
        while not self.over.wait(1):
            now, clock = time.monotonic(), self.clock()
            if clock >= min(self.ends, self.latest):
                requirement = "HSK-042" if self.ends <= self.latest else "HSK-056"
                self.close(Failure("ticket-ended", requirement))
            elif self.waiting and now - self.waiting >= SILENT_AFTER:
                self._die(Failure("silent", "REC-019"))
            elif now - self.sent >= SEND_EVERY - 5 and not self.sealer.closed:
                try:
                    self._write(lambda: self.sealer.data(b""))      # REC-003
                except (Failure, OSError):
                    pass
