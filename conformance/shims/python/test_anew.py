"""Devices that were restored from a backup and begin anew: spec/sync.md section 4.6, SYN-140, and SYN-054 after that."""

import os
import shutil
import unittest
import unittest.mock

import test_sync
from crypto import Failure, draw, rsa_sign
from proofs import Signer, card_text
from test_sync import F, ISSUER, contents, meet


class Anew(unittest.TestCase):
    def setUp(self):
        test_sync.Sync.setUp(self)

    same = test_sync.Sync.same

    def monday(self):
        """A backup of a, of what it knows and of its files."""
        self.a.write("f", b"monday")
        self.a.write("d/same", b"same")
        meet(self.a, self.b)
        return self.a.copy(), shutil.copytree(self.a.root, self.a.root + ".old")

    def restore(self, backup):
        """The files come back as other files, as from a real backup."""
        shutil.rmtree(self.a.root)
        shutil.copytree(backup[1], self.a.root)
        self.a.restore(backup[0])

    def anew(self, other):
        """The session in which a finds what it lost. It makes no change."""
        self.assertEqual(meet(self.a, other), [])
        replica = self.a.folder.replica
        self.assertTrue(replica.waits)
        self.a.write("d/later", b"later")
        self.a.folder.scan()
        self.a.folder.apply()
        self.assertEqual((replica.entries, replica.last), ({}, 0))
        self.a.again()                                              # it remembers that, too
        self.assertTrue(self.a.folder.replica.waits)
        self.assertEqual(contents(self.a.root)["f"], b"monday")

    def test_what_it_did_since_is_there_and_what_it_had_beside_it(self):
        """Monday's backup, an edit on Tuesday."""
        backup = self.monday()
        self.a.write("f", b"tuesday")
        meet(self.a, self.b)
        self.restore(backup)
        self.anew(self.b)
        for _ in range(3):
            self.assertEqual(meet(self.a, self.b), [])
        self.assertFalse(self.a.folder.replica.waits)
        self.same(self.a, self.b)
        shown = contents(self.b.root)
        self.assertEqual(shown.pop("f"), b"monday")                 # the later change has the name
        conflict, = (path for path in shown if "conflict" in path)
        self.assertEqual(shown, {conflict: b"tuesday", "d": None, "d/same": b"same", "d/later": b"later"})
        counter = self.a.folder.replica.counter
        self.assertEqual(meet(self.a, self.c) + meet(self.b, self.c) + meet(self.a, self.b), [])
        self.same(self.a, self.b, self.c)
        self.assertEqual(self.a.folder.replica.counter, counter)

    def test_a_rename_and_a_deletion_since(self):
        """What was renamed is there under both names; what was deleted is new."""
        backup = self.monday()
        os.rename(os.path.join(self.a.root, "f"), os.path.join(self.a.root, "g"))
        os.unlink(os.path.join(self.a.root, "d/same"))
        meet(self.a, self.b)
        self.restore(backup)
        self.anew(self.b)
        for _ in range(2):
            self.assertEqual(meet(self.a, self.b), [])
        self.same(self.a, self.b)
        self.assertEqual(contents(self.b.root), {"f": b"monday", "g": b"monday", "d": None, "d/same": b"same", "d/later": b"later"})

    def test_a_copy_is_known_again(self):
        """What the view shows beside an entry is no new file either."""
        backup = self.monday()
        self.a.write("f", b"of a")
        self.b.write("f", b"of b")
        meet(self.a, self.b)
        self.same(self.a, self.b)
        both, entries = contents(self.a.root), len(self.a.folder.replica.entries)
        self.assertEqual(len(both), 4)
        shutil.rmtree(backup[1])
        shutil.copytree(self.a.root, backup[1])                     # the files are of Tuesday, what it knows of Monday
        shutil.rmtree(self.a.root)
        shutil.copytree(backup[1], self.a.root)
        self.a.restore(backup[0])
        self.assertEqual(meet(self.a, self.b), [])
        self.assertTrue(self.a.folder.replica.waits)
        for _ in range(2):
            self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(contents(self.a.root), both)
        self.assertEqual(len(self.a.folder.replica.entries), entries)
        self.assertEqual(self.a.folder.replica.last, 0)             # nothing was changed
        self.same(self.a, self.b)

    def test_a_reader_and_an_unknown_writer_show_not_all(self):
        """It goes on waiting after a session with one whose entries it did not take over."""
        backup = self.monday()
        self.a.write("f", b"tuesday")
        meet(self.a, self.b)
        self.c.write("of c", b"c")
        meet(self.b, self.c)
        self.restore(backup)
        self.anew(self.b)
        self.assertEqual(meet(self.a, self.b, ("owner", "reader")), [])
        self.assertTrue(self.a.folder.replica.waits)
        cards = dict(self.b.folder.writers.cards)
        self.a.folder.writers.cards.pop(self.c.id, None)
        self.b.folder.writers.cards.pop(self.c.id)
        self.assertEqual(meet(self.a, self.b), [])                  # SYN-053
        self.assertTrue(self.a.folder.replica.waits)
        self.b.folder.writers.cards = cards
        self.assertEqual(meet(self.a, self.b), [])
        self.assertFalse(self.a.folder.replica.waits)
        self.assertLessEqual({b"monday", b"tuesday", b"c"}, set(contents(self.a.root).values()))

    def test_a_session_that_began_before(self):
        """What another session said before this device began anew brings not all that the peer has."""
        self.monday()
        meet(self.a, self.c)
        take = self.a.folder.begin_anew_if_lost

        def meanwhile(heads):
            take(heads)
            with self.a.folder.lock:
                self.a.folder._begin_anew(self.a.folder.replica.counter)
            return False
        with unittest.mock.patch.object(self.a.folder, "begin_anew_if_lost", meanwhile):
            self.assertEqual(meet(self.a, self.b), [])
        self.assertTrue(self.a.folder.replica.waits)
        self.assertEqual(len(self.b.folder.replica.entries), 3)     # nobody forgets what it did not say
        self.assertEqual(meet(self.a, self.b) + meet(self.a, self.b), [])
        self.same(self.a, self.b)


class Once(unittest.TestCase):
    """SYN-054 closes once; and what comes with a card that has to close (SYN-057), or for which there is no room (SYN-130)."""

    def setUp(self):
        test_sync.Sync.setUp(self)

    same = test_sync.Sync.same

    def test_a_fork_of_the_peer_itself(self):
        """Two places of one entry under one number; a begins anew, and afterwards says to c what it said to b."""
        self.a.write("f", b"f")
        for other in (self.b, self.c):
            meet(self.a, other)
        old = self.a.copy()
        os.rename(os.path.join(self.a.root, "f"), os.path.join(self.a.root, "one"))
        meet(self.a, self.b)
        os.rename(os.path.join(self.a.root, "one"), os.path.join(self.a.root, "two"))
        self.a.restore(old)
        state = self.b.folder.replica
        with unittest.mock.patch("replica.first_counter", lambda: 0):
            self.a.folder.replica.counter = state.heads[self.a.id].counter - 1
            with unittest.mock.patch.object(self.a.folder, "begin_anew_if_lost", lambda heads: False):
                self.assertEqual(meet(self.a, self.c), [])
        self.b.write("of b", b"b")
        self.c.write("of c", b"c")
        reasons = []
        for _ in range(3):
            for pair in ((self.a, self.b), (self.a, self.c)):
                reasons += [f.reason for f in meet(*pair) if isinstance(f, Failure)]
        self.assertLessEqual(reasons.count("writer-forked") + reasons.count("head-forked"), 2)
        for pair in ((self.a, self.b), (self.a, self.c), (self.b, self.c)):
            self.assertEqual(meet(*pair), [])
        for device in (self.a, self.b, self.c):
            shown = contents(device.root)
            self.assertEqual((shown["of b"], shown["of c"]), (b"b", b"c"))
            self.assertIn(b"f", shown.values())

    def test_it_closes_once_and_remembers(self):
        self.a.write("f", b"f")
        meet(self.a, self.b)
        entry, = self.b.folder.replica.entries.values()
        writers, proof = self.b.folder.writers, entry.proofs[0]
        other = entry._replace(proofs=(proof._replace(content=draw(32)),))
        with unittest.mock.patch("writers.signed", lambda *_: True):
            with self.assertRaises(Failure) as caught:
                writers.check(other, entry, self.a.id)
            self.assertEqual(caught.exception.reason, "writer-forked")
            self.assertIn(self.a.id, writers.forks)
            self.b.folder.save()
            self.b.again()
            for peer in (self.a.id, self.c.id):
                self.assertFalse(self.b.folder.writers.check(other, entry, peer))       # SYN-110

    def test_the_good_cards_of_a_message(self):
        other, third = Signer(draw(32)).key, b"t" * 16
        self.b.folder.writers.learn(*test_sync.card(self.a.folder))
        cards = [(d, k, rsa_sign(ISSUER, card_text(F, d, k))) for d, k in ((self.a.id, other), (third, other))]
        with self.assertRaises(Failure) as caught:
            self.b.folder.writers.learn_all(cards)
        self.assertEqual(caught.exception.reason, "writer-changed")
        self.assertEqual(self.b.folder.writers.key_of(third), other)

    def test_no_room_for_more_writers(self):
        """SYN-130; of those that it has it learns again, and its own has room."""
        writers = self.b.folder.writers
        with unittest.mock.patch("writers.MOST_CARDS", 1):
            self.assertEqual(meet(self.a, self.b), [])
            self.assertFalse(writers.full)
            writers.learn(*test_sync.card(self.a.folder))
            self.assertFalse(writers.full)
            writers.learn(*test_sync.card(self.c.folder))
            self.assertTrue(writers.full)
            self.assertIsNone(writers.key_of(self.c.id))
            writers.cards.pop(self.b.id)
            writers.learn(*test_sync.card(self.b.folder))
            self.assertIn(self.b.id, writers.cards)
