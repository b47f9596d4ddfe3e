"""Writers that fork, between devices of this implementation: spec/sync.md section 3.6, SYN-110 to SYN-113."""

import dataclasses
import json
import shutil
import unittest
import unittest.mock

import entries
import forks
import test_sync
from crypto import Failure, draw
from entries import FORKS, Head
from proofs import NONE, Signer, change_text, head_text
from test_sync import F, contents, meet


class Forks(unittest.TestCase):
    def setUp(self):
        test_sync.Sync.setUp(self)
        self.a.write("f", b"f")
        self.a.folder.scan()

    def copied(self):
        """What a program does that was restored from a copy: a tells b `one`, forgets it, and tells c `two` under the same number."""
        meet(self.a, self.b)
        meet(self.a, self.c)
        old = shutil.copytree(self.a.folder.state, self.a.folder.state + ".old")
        self.a.write("f", b"one")
        meet(self.a, self.b)
        with open(old + "/state.json") as f:
            state = json.load(f)["replica"]
        with unittest.mock.patch("replica.first_counter", lambda: 0):
            self.a.folder.replica.load(state)
        content = next(e for e in self.a.folder.replica.entries.values() if e.name == "f").contents[0]
        self.a.folder.items = {p: dataclasses.replace(i, content=content, seen=(0, 0, 0)) for p, i in self.a.folder.items.items()}
        self.a.write("f", b"two")
        with unittest.mock.patch.object(self.a.folder, "lost_past", lambda heads: False):
            self.assertEqual(meet(self.a, self.c), [])

    def test_who_passes_it_on_is_not_to_blame(self):
        """SYN-110, SYN-111: b and c go on with each other, about all but the entry."""
        self.copied()
        self.b.write("of b", b"b")
        self.c.write("of c", b"c")
        self.assertEqual(meet(self.b, self.c), [])
        for device, text in ((self.b, b"one"), (self.c, b"two")):
            self.assertEqual(contents(device.root), {"f": text, "of b": b"b", "of c": b"c"})
            self.assertIn(self.a.id, device.folder.writers.forks)
            self.assertNotIn(self.a.id, device.folder.replica.context)
            self.assertNotIn(self.a.id, device.folder.replica.known_heads())
        self.b.again()                                              # it remembers
        self.assertIn(self.a.id, self.b.folder.writers.forks)

    def test_who_forked_begins_anew_and_all_is_well(self):
        """SYN-112, SYN-113."""
        self.test_who_passes_it_on_is_not_to_blame()
        born = self.a.folder.replica.born
        for _ in range(2):
            for pair in ((self.a, self.c), (self.a, self.b), (self.b, self.c)):
                meet(*pair)
        self.assertGreater(self.a.folder.replica.born, born)
        again = self.a.folder.replica.born
        self.assertEqual(meet(self.a, self.b) + meet(self.a, self.c) + meet(self.b, self.c), [])
        self.assertEqual(self.a.folder.replica.born, again)         # once
        test_sync.Sync.same(self, self.a, self.b, self.c)

    def test_a_fourth_hears_of_it(self):
        """SYN-112: from one that has the fork, without the entry that shows it."""
        self.copied()
        meet(self.b, self.c)
        other = test_sync.Device(self.b.root + "-where", 4)
        self.assertEqual(meet(self.b, other), [])
        self.assertEqual(other.folder.writers.forks, self.b.folder.writers.forks)
        self.assertNotIn(self.a.id, other.folder.replica.context)

    def test_nobody_else_can_make_one(self):
        meet(self.a, self.b)
        entry = next(iter(self.a.folder.replica.entries.values()))
        proof, signer, known = entry.proofs[0], self.a.folder.replica.signer, self.b.folder.writers
        unsigned = proof._replace(place=NONE)
        other = unsigned._replace(signature=signer.sign(change_text(F, entry.id, unsigned)))
        good = forks.of_proofs(entry.id, proof, other)
        for first, second in ((proof, proof), (proof, proof._replace(signature=bytes(64))), (proof, other._replace(
                stamp=proof.stamp._replace(counter=1)))):
            self.assertIsNone(forks.of_proofs(entry.id, first, second))
        for wrong in (good._replace(second=unsigned), good._replace(id=bytes(16)), good._replace(first=other, second=unsigned)):
            with self.assertRaises(Failure) as caught:
                known.learn_fork(wrong)
            self.assertEqual(caught.exception.reason, "fork-forged")
        self.assertFalse(known.learn_fork(good._replace(writer=b"nobody knows it")))
        self.assertTrue(known.learn_fork(good))
        self.assertFalse(known.learn_fork(good))

    def test_as_bytes(self):
        signer = Signer(draw(32))
        heads = [Head(5, draw(32), b"") for _ in range(2)]
        heads = [h._replace(signature=signer.sign(head_text(F, self.a.id, h.counter, h.chain))) for h in heads]
        one = forks.of_heads(self.a.id, *heads)
        self.assertTrue(one.signed_by(F, signer.key))
        found = []
        for kind, body in entries.Messages().feed(b"".join(forks.write_forks(F, [one] * 5000))):
            self.assertEqual(kind, FORKS)
            found += forks.read_forks(body)[1]
        self.assertEqual(found, [one] * 5000)
        body = F + b"\0\1" + one.encode()
        for wrong, reason in ((body[:18] + b"\3" + body[19:], "sync-malformed"), (body + b"\0", "sync-malformed"),
                              (body[:19] + draw(16) + body[35:], "fork-forged")):
            with self.assertRaises(Failure) as caught:
                forks.read_forks(wrong)
            self.assertEqual(caught.exception.reason, reason)
