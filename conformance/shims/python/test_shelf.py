"""The cloud as a replica (spec/sync.md section 4.10), with a cloud that is a dictionary: what forks and lies do to a device."""

import json
import os
import types
import unittest

import sealed
import states
import test_forks
import test_sync
from cloud import Answer, Problem
from crypto import draw
from test_sync import card, contents

DOCUMENT = {"links": {name: "/" + name for name in ("states", "states_sync", "heads", "media", "entries")}}


class Shelf:
    """In place of a graph.Graph: keeps what is put, and says so. `nodes`: path -> [body, number of its last change]."""

    def __init__(self):
        self.cloud, self.nodes, self.number = types.SimpleNamespace(root="the shelf"), {}, 0

    def request(self, method, path, body=None, headers=()):
        known = self.nodes.get(path)
        if method == "PUT":
            if known and not path.startswith("/media") and dict(headers).get("If-Match") != str(known[1]):
                raise Problem(412 if "If-Match" in headers else 428, {}, {})
            self.number += 1
            known = self.nodes[path] = [body, self.number]
        if known is None:
            raise Problem(404, {}, {})
        return Answer(200, {"ETag": str(known[1])}, known[0])

    def below(self, prefix, key, since=0):
        return [{key: path.rpartition("/")[2], "etag": str(number), **body} for path, (body, number) in self.nodes.items()
                if path.startswith(prefix + "/") and number > since]

    def items(self, path):
        return self.below(path, "device")

    def delta_of(self, path, since=None):
        return self.below("/states", "entry", since or 0), self.number

    def entries(self, document):
        return []

    def put_entry(self, document, entry, etag):
        pass

    def head_of(self, device):
        return self.nodes.get("/heads/" + device.id.hex())


class OnTheShelf(unittest.TestCase):
    copied = test_forks.Forks.copied

    def setUp(self):
        test_forks.Forks.setUp(self)
        self.shelf = Shelf()
        for device in (self.a, self.b, self.c):
            self.equip(device)

    def equip(self, device):
        """The cards of all, and somebody who listens."""
        for other in (self.a, self.b, self.c):
            device.folder.writers.learn(*card(other.folder))
        device.told = []
        device.folder.log = lambda *words: device.told.append(words[0])

    def sync(self, device, ring=None):
        states.CloudReplica(self.shelf, DOCUMENT, device.folder, ring=ring).sync()

    def path_of(self, name):
        return next("/states/" + e.id.hex() for e in self.b.folder.replica.entries.values() if e.name == name)

    def test_devices_that_never_meet(self):
        self.b.write("d/g", b"g")
        for device in (self.a, self.b, self.a, self.c):
            self.sync(device)
        test_sync.Sync.same(self, self.a, self.b, self.c)
        self.assertEqual(self.a.told + self.b.told + self.c.told, [])

    def test_a_state_that_forks_stays_and_the_head_of_who_left_it_out(self):
        """Section 4.10, step 4: the head is put unless it counts what is not there."""
        self.copied()
        self.sync(self.b)
        theirs = self.shelf.nodes[self.path_of("f")]
        self.c.write("of c", b"c")
        self.sync(self.c)
        self.assertEqual(self.shelf.nodes[self.path_of("f")], theirs)
        self.assertEqual(contents(self.c.root), {"f": b"two", "of c": b"c"})
        self.assertIn(self.a.id, self.c.folder.writers.forks)
        before = self.shelf.head_of(self.c)
        self.assertIsNotNone(before)                                # it counts "of c", which is there
        self.c.write("f", b"of c, too")
        self.sync(self.c)
        self.assertEqual(self.shelf.nodes[self.path_of("f")], theirs)
        self.assertEqual(self.shelf.head_of(self.c), before)        # it would count the edit

    def test_who_sees_a_fork_of_its_own_begins_anew(self):
        """SYN-110: once, and then all is well."""
        self.copied()
        self.sync(self.b)
        born = self.a.folder.replica.born
        self.sync(self.a)
        again = self.a.folder.replica.born
        self.assertGreater(again, born)
        for device in (self.b, self.a, self.b, self.a):
            self.sync(device)
        self.assertEqual(self.a.folder.replica.born, again)
        test_sync.Sync.same(self, self.a, self.b)

    def test_a_lost_past(self):
        """Step 1: its own head tells a device that nobody else could tell."""
        self.sync(self.a)
        old = self.a.copy()
        self.a.write("g", b"g")
        self.sync(self.a)
        os.unlink(os.path.join(self.a.root, "g"))
        self.a.restore(old)
        self.equip(self.a)
        self.assertEqual(len(self.a.folder.replica.entries), 1)
        self.a.write("h", b"h")
        self.sync(self.a)
        self.assertFalse(self.a.folder.replica.claims)
        self.assertEqual(contents(self.a.root), {"f": b"f", "g": b"g", "h": b"h"})
        self.sync(self.b)
        test_sync.Sync.same(self, self.a, self.b)

    def test_a_folder_that_becomes_encrypted(self):
        """SYN-087, STO-079: what the cloud showed before is forgotten once, and the cloud cannot deny what it said."""
        self.sync(self.a)
        self.shelf.nodes.clear()                                    # GPH-204
        ring = sealed.Ring(self.a.folder.replica.folder, [draw(32)])
        self.sync(self.a, ring)
        self.assertEqual(self.a.told, [])
        self.shelf.nodes.clear()
        self.sync(self.a, ring)
        self.assertIn("cloud-rolled-back", self.a.told)
        with self.assertRaises(ValueError):
            self.sync(self.a)

    def test_remembered(self):
        """What is kept beside the folder outlives the program."""
        self.sync(self.a)
        with open(os.path.join(self.a.folder.state, "cloud.json")) as f:
            kept = json.load(f)
        self.assertEqual(list(kept["heads"]), [self.a.id.hex()])
        self.a.again()
        self.equip(self.a)
        del self.shelf.nodes["/heads/" + self.a.id.hex()]
        self.sync(self.a)
        self.assertEqual(self.a.told, ["cloud-rolled-back"])


if __name__ == "__main__":
    unittest.main()
