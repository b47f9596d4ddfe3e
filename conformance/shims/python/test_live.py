"""Both roles against each other over TCP: python3 -m unittest"""

import contextlib
import socket
import threading
import time
import types
import unittest
import unittest.mock
import warnings

import channel
import handshake
import peer
import relay
import ticket as tickets
from bench import ISSUER, X, Y, key
from crypto import Failure, draw, public_spki
from guard import Memory

FOLDER = "f01de400000000000000000000000001"


class Live(unittest.TestCase):
    def setUp(self):
        peer.log = lambda *words: None
        warnings.simplefilter("ignore", ResourceWarning)           # sockets that a test leaves to the collector
        self.memory, self.channels = Memory(), []
        self.listener = peer.Listener(key("device-y"), Y, {ISSUER: [public_spki(key("issuer-a"))]}, self.application,
                                      memory=self.memory).start()
        self.addCleanup(self.listener.sock.close)

    def application(self, open_channel, responder):
        self.channels.append((open_channel, responder))
        peer.echo(open_channel, responder)

    def ticket(self, folders=(FOLDER,), lifetime=600, ago=0):
        """One of so many seconds ago."""
        with unittest.mock.patch("peer.time", types.SimpleNamespace(time=lambda: time.time() - ago)):
            return peer.write_pair_ticket(ISSUER, key("issuer-a"), X, public_spki(key("device-x")), Y, public_spki(key("device-y")),
                                          folders=folders, lifetime=lifetime)

    def dial(self, ticket=None, **more):
        host, port = self.listener.address[:2]
        return peer.dial(host, port, key("device-x"), X, Y, public_spki(key("device-y")), ticket or self.ticket(), **more)

    def echoes(self, c, data=b"one"):
        c.send(data)
        got = b""
        while len(got) < len(data):
            got += c.receive()
        self.assertEqual(got, data)

    def test_every_suite(self):
        for suite in handshake.SUITES[::-1]:
            c = self.dial(suites=[suite])
            self.assertEqual(c.suite, suite)
            self.echoes(c)
            c.finish()
            self.assertIsNone(c.receive())
            c.close()

    def test_strongest_suite_is_chosen_and_remembered(self):
        c = self.dial()
        self.assertEqual(c.suite, handshake.SUITES[0])
        self.echoes(c)                                              # the responder has read M3
        with self.assertRaises(Failure) as caught:                  # HSK-045
            self.dial(suites=[handshake.RSA])
        self.assertEqual(caught.exception.code, handshake.NOT_AUTHORISED)

    def test_retry(self):
        self.memory.always_retry = True
        c = self.dial()
        self.assertTrue(c.retried)
        self.echoes(c)
        c.close()

    def test_no_common_suite(self):
        self.listener.suites = [handshake.RSA]
        with self.assertRaises(Failure) as caught:
            self.dial(suites=[handshake.X25519])
        self.assertEqual(caught.exception.requirement, "HSK-037")

    def test_expired_ticket_is_refused_with_code_2(self):
        ticket = self.ticket(lifetime=60, ago=60)
        with self.assertRaises(Failure) as caught:
            self.dial(ticket)
        self.assertEqual(caught.exception.code, handshake.TICKET_EXPIRED)

    def test_replay_is_silent(self):
        frames = []
        for _ in range(2):
            with socket.create_connection(self.listener.address[:2]) as s:
                initiator = frames[0] if frames else handshake.Initiator(
                    key("device-x"), X, Y, public_spki(key("device-y")), self.ticket(), int(time.time()))
                frames = [initiator]
                s.sendall(initiator.m1)
                s.settimeout(5)
                first = s.recv(1)
        self.assertEqual(first, b"")                                # HSK-051

    def test_much_data_with_padding_and_key_updates(self):
        c = self.dial()
        c.pad_to = 1024
        for _ in range(5):
            self.echoes(c, draw(300000))
            c.key_update()
        c.close()

    def test_renewal(self):
        c = self.dial(self.ticket(lifetime=100))
        self.echoes(c)
        for lifetime in (600, 300):                                 # HSK-055: the last one, not the one that ends last
            ticket = self.ticket(lifetime=lifetime)
            c.renew(ticket)
            self.echoes(c)
            self.assertEqual([self.channels[-1][0].ends, c.ends], [tickets.parse(ticket).not_on_or_after] * 2)

    def test_narrowed_renewal_ends_the_channel(self):
        c = self.dial()
        self.echoes(c)
        c.renew(self.ticket(folders=()))                            # HSK-057
        self.assertIsNone(c.receive())

    def test_channel_ends_with_its_ticket(self):
        ticket = self.ticket()
        c = self.dial(ticket)
        self.echoes(c)
        other = self.channels[-1][0]
        self.assertEqual([c.ends, other.ends], [tickets.parse(ticket).not_on_or_after] * 2)
        other.clock = lambda: other.ends                            # HSK-042
        self.assertIsNone(c.receive())
        other.over.wait()
        self.assertEqual((other.reason.reason, other.reason.requirement), ("ticket-ended", "HSK-042"))

    def test_keep_alive_and_silence(self):
        later = [0]
        clock = types.SimpleNamespace(monotonic=lambda: time.monotonic() + later[0], time=time.time)
        with unittest.mock.patch("channel.time", clock):
            c = self.dial()
            self.echoes(c)
            both = c, self.channels[-1][0]
            for _ in range(4):                                      # longer than silence is borne, but nobody is silent
                later[0] += channel.SEND_EVERY - 1
                while any(clock.monotonic() - one.sent > 10 for one in both):
                    both[0].over.wait(0.01)
                self.echoes(c)
            with unittest.mock.patch("channel.SEND_EVERY", 1e9):
                while not both[1].waiting:
                    both[0].over.wait(0.01)
                later[0] += channel.SILENT_AFTER
                with self.assertRaises(Failure):
                    c.receive()
                both[1].over.wait()
                self.assertEqual(both[1].reason.reason, "silent")

    def test_truncation(self):
        c = self.dial()
        self.echoes(c)
        c.sock.shutdown(socket.SHUT_WR)
        with self.assertRaises(Failure) as caught:
            while c.receive() is not None:
                pass
        self.assertEqual(caught.exception.reason, "truncated")      # REC-016: the other side closed without a byte

    def test_wrong_bytes_get_no_answer(self):
        for data in (b"GET / HTTP/1.1\r\n\r\n", bytes([1, 0, 96, 1]), bytes([1, 0, 0, 0])):
            with socket.create_connection(self.listener.address[:2]) as s:
                s.sendall(data)
                s.settimeout(5)
                self.assertEqual(s.recv(1), b"")                    # HSK-006


def forward(a, b):
    """RLY-003, RLY-015: every byte, and the end after the last."""
    with contextlib.suppress(OSError):                              # one of them is gone
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)


class SmallRelay:
    """As much of a relay as it takes to try a device's side: relay.Relay with sockets."""

    def __init__(self, secret):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "%s:%d" % self.server.getsockname()[:2]
        self.state, self.waiting = relay.Relay([secret], self.address), {}
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock = self.server.accept()[0]
            except OSError:
                return
            data, said = b"", "nothing"
            while said in ("nothing", "pong"):
                data += sock.recv(76 - len(data))
                try:
                    said = self.state.answer(data, int(time.time()))
                except Failure as failure:
                    sock.sendall(bytes([relay.REFUSED, failure.answer["refused"]]))
                    break
                if said == "pong":
                    sock.sendall(bytes([relay.PONG]) + data[3:11])
                    data = b""
            if said == "waiting":
                sock.sendall(bytes([relay.WAITING]))
                self.waiting[data[3:19]] = sock
            elif said == "joined":
                other = self.waiting.pop(data[3:19])
                for a, b in ((sock, other), (other, sock)):
                    a.sendall(bytes([relay.JOINED]))
                    threading.Thread(target=forward, args=(a, b), daemon=True).start()


class Relayed(Live):
    """A channel through a relay, both sides of it; of Live only what a relay could change."""

    def setUp(self):
        super().setUp()
        self.secret = draw(32)
        self.relay = SmallRelay(self.secret)
        self.addCleanup(self.relay.server.close)

    def token(self, circuit, side, lifetime=60):
        return relay.make_pass(self.secret, self.relay.address, circuit, side, int(time.time()) + lifetime, X.hex())

    def dial(self, ticket=None, rdv_token=b"r" * 16, expected=b"r" * 16, **more):
        circuit = draw(16)

        def called():
            sock = relay.join(relay.dial(self.relay.address), self.token(circuit, 1))
            self.listener.serve(sock, "circuit " + circuit.hex(), expected)

        sock = relay.dial(self.relay.address)
        self.assertTrue(relay.ping(sock))
        waited = []
        relay.join(sock, self.token(circuit, 0),
                   lambda: (waited.append(True), threading.Thread(target=called, daemon=True).start()))
        self.assertTrue(waited)
        return peer.meet(sock, peer.prepare(key("device-x"), X, Y, public_spki(key("device-y")), ticket or self.ticket(),
                                            rdv_token=rdv_token, **more))

    def test_wrong_token(self):
        with self.assertRaises(Failure) as caught:                  # HSK-053: silence
            self.dial(rdv_token=bytes(16))
        self.assertEqual(caught.exception.reason, "truncated")

    def test_pass_twice_and_late(self):
        token = self.token(draw(16), 0)
        sock = relay.dial(self.relay.address)
        sock.sendall(relay.VERSION + bytes([relay.JOIN]) + token)
        self.assertEqual(sock.recv(1), bytes([relay.WAITING]))
        for late, reason in ((token, "join-taken"), (self.token(draw(16), 0, 0), "join-expired"), (draw(73), "join-unknown")):
            with self.assertRaises(Failure) as caught:
                relay.join(relay.dial(self.relay.address), late)
            self.assertEqual(caught.exception.reason, reason)
        sock.close()

    test_wrong_bytes_get_no_answer = test_replay_is_silent = test_keep_alive_and_silence = None
    test_channel_ends_with_its_ticket = None


class Passes(unittest.TestCase):
    def test_a_pass_opens_for_its_address_only(self):
        secret, circuit = draw(32), draw(16)
        token = relay.make_pass(secret, "relay:1", circuit, 1, 99, X.hex())
        self.assertEqual(relay.open_pass(secret, "relay:1", token)[:3], (circuit, 1, 99))
        self.assertIsNone(relay.open_pass(secret, "relay:2", token))
