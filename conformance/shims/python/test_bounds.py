"""What one may not take from others: HSK-051, HSK-067, SYN-115, SYN-116, SYN-117."""

import os
import random
import types
import unittest
import unittest.mock

import chunks
import peer
import test_sync
from blake3 import blake3
from crypto import Failure
from entries import FILE, Content, Stamp
from guard import REPLAY, Memory
from room import Room
from test_sync import contents, meet
from transfer import Fetch


class Bounds(unittest.TestCase):
    def test_an_m1_that_is_being_looked_at(self):
        memory = Memory()

        def again(now):
            with memory.first(b"m1", now):
                pass
        with memory.first(b"m1", 0):
            self.assertRaises(Failure, again, 0)
        again(1)                                                    # nobody answered it
        memory.answered(b"m1", b"", 1)
        self.assertRaises(Failure, again, 601)
        again(1 + REPLAY)

    def test_places(self):
        places, inside = peer.Places(8), []

        def come(user, own=False):
            place = places.place(types.SimpleNamespace(user=user if own else None, owner=user, initiator="0d"))
            place.__enter__()
            inside.append(place)
        come("ann")
        come("ann")
        self.assertRaises(Failure, come, "ann")
        for user in ("bob", "bob", "cid", "cid"):
            come(user)
        self.assertRaises(Failure, come, "dee")
        come("me", own=True)
        come("me", own=True)
        self.assertRaises(Failure, come, "me", own=True)
        for place in inside:
            place.__exit__(None, None, None)
        self.assertEqual(places.taken.total(), 0)

    def test_room(self):
        room, gone = Room(100), []
        sessions = {}
        for name in "abc":
            sessions[name] = type("S", (), {"evicted": lambda self, name=name: gone.append(name)})()
        room.take(sessions["a"], "ann", 40)
        room.take(sessions["b"], "ann", 30)
        room.take(sessions["c"], "bob", 30)
        room.take(sessions["c"], "bob", 10)                         # ann holds more, and of hers the larger goes
        self.assertEqual(gone, ["a"])
        self.assertRaises(Failure, room.take, sessions["b"], "ann", 50)
        room.free(sessions["c"])
        self.assertEqual(room.held, {})

    def test_entries(self):
        """Those above the bound are ignored, and the context does not say that they were seen."""
        test_sync.Sync.setUp(self)
        for name in "abc":
            self.a.write(name, name.encode())
        with unittest.mock.patch("replica.MOST_ENTRIES", 2):
            self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual((len(contents(self.b.root)), self.b.folder.replica.context), (2, {}))
        self.assertEqual(len(contents(self.a.root)), 3)
        self.assertEqual(meet(self.a, self.b), [])
        test_sync.Sync.same(self, self.a, self.b)

    def test_led_astray(self):
        """SYN-115: a manifest of another content undoes nothing."""
        test_sync.Sync.setUp(self)
        draws = random.Random(5)
        folder, data = self.a.folder, draws.randbytes(2_000_000)
        content = Content(Stamp(1, self.b.id, 1), 0, FILE, 0o644, 0, len(data), blake3(data))
        with open(folder.partial(content.hash), "wb") as f:
            f.write(data[:1_500_000])
        other = draws.randbytes(len(data))
        fetch = Fetch(folder, content, None)
        fetch.plan(chunks.cut(other))
        with self.assertRaises(Failure) as caught:
            while fetch.next:
                offset, length = fetch.take()
                if fetch.block(offset, length, other[offset:offset + length]):
                    fetch.finish()
        self.assertEqual(caught.exception.reason, "content-hash")
        with open(folder.partial(content.hash), "rb") as f:
            self.assertEqual(f.read(), data[:1_500_000])
        fetch, asked = Fetch(folder, content, None), 0
        fetch.plan(chunks.cut(data))
        while fetch.next:
            offset, length = fetch.take()
            asked += length
            if fetch.block(offset, length, data[offset:offset + length]):
                fetch.finish()
        self.assertLess(asked, 1_000_000)
        self.assertEqual(os.listdir(os.path.join(folder.state, "partial")), [])
