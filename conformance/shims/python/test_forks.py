"""Writers that fork, between devices of this implementation: spec/sync.md section 3.6, SYN-110 to SYN-113."""

import unittest
import unittest.mock

import entries
import forks
import test_sync
from crypto import Failure, draw
from entries import FORKS, Head
from merge import merge
from proofs import NONE, Signer, change_text, head_text
from test_sync import F, contents, meet


class Forks(unittest.TestCase):
    def setUp(self):
        test_sync.Sync.setUp(self)
        self.a.write("f", b"f")
        self.a.folder.scan()

    def copied(self):
        """What a program does that was restored from a copy: a tells b `one`, forgets it, and tells c `two` under the same number."""
        for other in (self.b, self.c):
            meet(self.a, other)
        old = self.a.copy()
        self.a.write("f", b"one")
        meet(self.a, self.b)
        self.a.forget(old)
        self.a.write("f", b"two")
        with unittest.mock.patch.object(self.a.folder, "begin_anew_if_lost", lambda heads: False):
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
        test_sync.Sync.same(self, self.a, self.b)
        shown = contents(self.a.root)
        self.assertEqual((shown.pop("f"), sorted(shown.values())), (b"two", [b"b", b"c", b"one"]))
        shown = contents(self.c.root)                               # the entry stays there as c has it (4.9, at its end)
        self.assertEqual((shown.pop("f"), sorted(shown.values())), (b"two", [b"b", b"c", b"two"]))
        forked = next(path for path in shown if "conflict" in path)
        self.a.write(forked, b"chosen")                             # a change by who forked, with a number that it never used
        for pair in ((self.a, self.b), (self.a, self.c), (self.b, self.c)):
            self.assertEqual(meet(*pair), [])
        test_sync.Sync.same(self, self.a, self.b, self.c)

    def test_a_fourth_hears_of_it(self):
        """SYN-112: from one that has the fork, without the entry that shows it."""
        self.copied()
        meet(self.b, self.c)
        other = test_sync.Device(self.b.root + "-where", 4)
        self.assertEqual(meet(self.b, other), [])
        self.assertEqual(other.folder.writers.forks, self.b.folder.writers.forks)
        self.assertNotIn(self.a.id, other.folder.replica.context)

    def test_who_sees_a_fork_of_its_own_in_an_entry_begins_anew(self):
        """SYN-110: a third is whoever is not the peer. Nobody knows of the fork, and no head shows it."""
        self.copied()
        del self.b.folder.replica.heads[self.a.id]
        born = self.a.folder.replica.born
        with unittest.mock.patch.object(self.a.folder, "begin_anew_if_lost", lambda heads: False):
            self.assertEqual(meet(self.a, self.b, ("reader", "owner")), [])
        self.assertIn(self.a.id, self.a.folder.writers.forks)
        self.assertGreater(self.a.folder.replica.born, born)
        self.assertEqual(contents(self.a.root), {"f": b"two"})

    def test_heads_of_who_is_known_to_have_forked(self):
        """SYN-111: they are left out, also of the peer itself, and nothing is closed any more but for what is forged."""
        meet(self.a, self.b)
        known, me, signer = self.b.folder.replica.heads, self.a.id, self.a.folder.replica.signer

        def head(counter, chain):
            return {me: Head(counter, chain, signer.sign(head_text(F, me, counter, chain)))}
        writers, counter = self.b.folder.writers, known[me].counter
        with self.assertRaises(Failure) as caught:
            writers.check_heads(head(counter, draw(32)), known, me)
        self.assertEqual(caught.exception.reason, "head-forked")
        for heads in (head(counter, draw(32)), head(counter + 1, draw(32)), dict(known)):
            self.assertEqual(writers.check_heads(heads, known, me), {})
        with self.assertRaises(Failure) as caught:
            writers.check_heads({me: head(counter, draw(32))[me]._replace(counter=counter + 1)}, known, me)
        self.assertEqual(caught.exception.reason, "head-forged")
        heads = head(counter, draw(32))
        self.a.folder.writers.forks = writers.forks
        self.assertEqual(self.a.folder.writers.check_heads(heads, {}), heads)           # of its own it has to hear

    def test_a_peer_that_is_known_to_have_forked(self):
        """SYN-058, SYN-111: it does not begin anew and shows the head that contradicts, and the session goes on without it."""
        meet(self.a, self.b)
        me, known, signer = self.a.id, self.b.folder.replica.heads, self.a.folder.replica.signer
        other = Head(known[me].counter, NONE, signer.sign(head_text(F, me, known[me].counter, NONE)))
        self.assertTrue(self.b.folder.writers.learn_fork(forks.of_heads(me, known[me], other)))
        known[me] = other
        self.b.write("g", b"g")
        with unittest.mock.patch.object(self.a.folder, "begin_anew_if_forked", lambda: False):
            self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(contents(self.a.root), {"f": b"f", "g": b"g"})
        self.assertNotIn(me, self.b.folder.replica.context)

    def test_of_two_signatures_of_one_statement_the_greater_stays(self):
        """SYN-054: whoever has which, all come to the same; and it is no fork."""
        entry = next(iter(self.a.folder.replica.entries.values()))
        small, great = (entry._replace(proofs=tuple(p._replace(signature=bytes([first]) * 64) for p in entry.proofs))
                        for first in (1, 2))
        for one, other in ((small, great), (great, small), (great, great)):
            self.assertEqual(merge(one, other, {}, {}).encode(), great.encode())
        with unittest.mock.patch("writers.signed", lambda *_: True):
            self.assertTrue(self.a.folder.writers.check(great, small, self.a.id))
        self.assertEqual(self.a.folder.writers.forks, {})

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
