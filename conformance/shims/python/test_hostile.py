"""A peer that means harm, and disks that are not as one thinks: nothing that comes may stop a device, or what it has to say."""

import os
import time
import unittest
import unittest.mock

import entries
import forks
import session
import test_sync
from crypto import Failure, draw
from entries import EMPTY, FILE, MESSAGE_LARGEST, ROOT, Content, Entry, Stamp
from merge import merge
from proofs import CONTENT, NONE, PLACE, Proof, change_text, content_hash, place_hash
from test_sync import F, contents, meet
from transfer import Fetch


def many_proofs(mallory, numbers, last=32):
    """An entry that its writer, a Replica, deleted again and again, each time with as much as may be, at last with so much."""
    writer, identifier = mallory.device, b"e" * 16
    content = Content(Stamp(1, writer, 1), 0, FILE, 0, 0, 0, EMPTY)
    entry = Entry(identifier, ROOT, "f", content.stamp, 1, (content,), {writer: max(numbers)})

    def proof(n):
        deleted = ((PLACE, writer, 1), *((CONTENT, writer, 1000 + i) for i in range((last if n == numbers[-1] else 32) - 1)))
        one = Proof(Stamp(1, writer, n), NONE, NONE, deleted, b"")
        if n == 1:
            one = one._replace(place=place_hash(ROOT, "f"), content=content_hash(content), deleted=())
        return one._replace(signature=mallory.signer.sign(change_text(mallory.folder, identifier, one)))
    return entry._replace(proofs=tuple(proof(n) for n in numbers))


def replaced(device):
    """The bytes that SYN-141 keeps."""
    return sorted(data for data in contents(os.path.join(device.folder.state, "replaced")).values() if data is not None)


class Hostile(unittest.TestCase):
    def setUp(self):
        test_sync.Sync.setUp(self)

    def test_a_change_that_deleted_more_than_anybody_sees(self):
        """SYN-160, D-122: what it is in is ignored, known here or not, and named; the rest is taken, and the context waits."""
        mallory, b = self.a.folder.replica, self.b.folder.replica
        good, bad = (many_proofs(mallory, (1, 2), n) for n in (32, 33))
        for one in (good, bad):
            self.assertTrue(entries.entry_of(one.encode()) == one)
        self.a.write("g", b"g")
        mallory.last = 0
        self.a.folder.scan()
        said = [bad, good, many_proofs(mallory, (1, 2, 3), 33)]
        for one, taken in zip(said, (None, good, good)):
            mallory.entries[one.id] = one
            self.b.folder.told.clear()
            self.assertEqual(meet(self.a, self.b), [])
            self.assertTrue(b.entries.get(one.id) == taken)
            self.assertEqual(contents(self.b.root)["g"], b"g")
            self.assertEqual(self.a.id in b.heads, taken is not None)
            self.assertEqual([words[-1] for words in self.b.folder.told if "too much" in words[1]], [self.a.id.hex()] * (one != taken))

    def test_the_most_that_one_entry_comes_to(self):
        """SYN-160: of two that are as large as may be comes what a message and a state have room for."""
        first, second = (many_proofs(self.a.folder.replica, numbers) for numbers in (range(1, 151), [1, *range(151, 256)]))
        merged = merge(first, second, {}, {})
        self.assertEqual(len(merged.proofs), 255)
        self.assertLess(len(merged.encode()), 262144)
        self.assertTrue(entries.entry_of(merged.encode()) == merged)
        self.assertTrue(merge(merged, many_proofs(self.a.folder.replica, (1, 256)), {}, {}) is None)    # SYN-016

    def test_more_cards_than_a_message_has_room_for(self):
        cards = {n.to_bytes(16, "big"): (draw(32), draw(384)) for n in range(4095)}
        found = {}
        for piece in entries.write_writers(F, cards):
            self.assertLessEqual(len(piece), 5 + MESSAGE_LARGEST)
            (_, body), = entries.Messages().feed(piece)
            folder, some = entries.read_writers(body)
            self.assertEqual(folder, F)
            found |= {device: (key, signature) for device, key, signature in some}
        self.assertEqual(found, cards)
        self.assertEqual(len(list(entries.write_writers(F, {}))), 1)    # it is said that there are none

    def test_what_others_replace_or_remove(self):
        """SYN-141: it is there for a week; what a person here replaces or removes is not."""
        for name in ("edited", "removed", "moved", "own"):
            self.a.write(name, name.encode())
        meet(self.a, self.b)
        self.b.write("own", b"edited here")
        self.a.write("edited", b"edited there")
        os.unlink(os.path.join(self.a.root, "removed"))
        os.rename(os.path.join(self.a.root, "moved"), os.path.join(self.a.root, "elsewhere"))
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual((replaced(self.b), replaced(self.a)), ([b"edited", b"removed"], [b"own"]))
        now = time.time_ns()
        for days, left in ((6, [b"edited", b"removed"]), (8, [])):
            with unittest.mock.patch("placing.time.time_ns", lambda: now + days * 24 * 3600 * 10 ** 9):
                self.b.folder.apply()
            self.assertEqual(replaced(self.b), left)

    def test_who_keeps_a_content(self):
        """SYN-151: asked at an offset that no content has, of each path that shows it. A REQUEST of no bytes elsewhere is as any other."""
        for name in ("f", "d/same"):
            self.a.write(name, b"data")
        os.symlink("/nowhere", os.path.join(self.b.root, "l"))
        meet(self.a, self.b)
        digest = self.a.folder.items["f"].content.hash
        link = self.b.folder.items["l"].content.hash

        def kept(digest, offset=session.WHO_KEEPS):
            one, said = session.Session(None, {F: self.a.folder}, {F: ("owner", "owner")}, self.b.id), []
            one.shared, one._say = one.own, said.append
            one._request(bytes(4) + F + digest + offset.to_bytes(8, "big") + bytes(4))
            return said[0]()[9:] == b"\0"
        self.assertTrue(kept(digest))
        self.assertTrue(kept(link))                                 # it leads out, and is not made
        self.assertFalse(kept(b"h" * 32))
        self.a.write(".meshignore", b"d\n")
        self.a.folder.scan()
        self.assertFalse(kept(digest))
        os.unlink(os.path.join(self.a.root, ".meshignore"))
        self.a.folder.scan()
        self.assertTrue(kept(digest))
        os.unlink(os.path.join(self.a.root, "d/same"))              # and no scan has seen it
        self.assertFalse(kept(digest))
        self.assertTrue(kept(digest, 0))
        self.assertEqual(self.a.folder.read(digest, 0, 1), b"d")
        os.unlink(os.path.join(self.a.root, "f"))
        self.a.folder.scan()
        self.assertFalse(kept(digest))                              # nothing shows it any more

    def test_messages_at_the_edge(self):
        """SYN-004: a DONE that says nothing. SYN-003, SYN-030: BLOCKs of another length."""
        one = session.Session(None, {F: self.a.folder}, {F: ("owner", "owner")}, self.b.id)
        one.shared = one.own
        one._done(b"G" * 16)
        self.assertFalse(one.own[F].heard_done)
        for _ in range(2):
            one._done(F)
            self.assertTrue(one.own[F].heard_done)
        content = Content(Stamp(1, self.b.id, 1), 0, FILE, 0, 0, 4, b"h" * 32)
        for block, reason in ((b"\0data more", "content-hash"), (b"\0dat", "content-hash"), (b"\1data", "sync-malformed"),
                              (b"\2", "sync-malformed")):
            one.in_flight[bytes(4)] = one.own[F], Fetch(self.a.folder, content, None), (0, 4)
            with self.assertRaises(Failure) as caught:
                one._block(bytes(4) + block)
            self.assertEqual(caught.exception.reason, reason)

    def test_a_file_of_no_bytes_and_another_hash(self):
        """SYN-007."""
        entry = self.a.folder.replica.new(ROOT, "f", kind=FILE, mode=0, mtime=0, size=0, hash=b"h" * 32)
        with self.assertRaises(Failure) as caught:
            entries.entry_of(entry.encode())
        self.assertEqual(caught.exception.reason, "sync-entry")

    def test_forks_of_counters_that_nobody_has(self):
        """SYN-113, whether the writer is known or not."""
        for counter in (0, 1 << 48, (1 << 64) - 1):
            heads = [forks.Head(counter, bytes([n]) * 32, bytes(64)) for n in (1, 2)]
            proofs = [Proof(Stamp(n, b"w" * 16, counter), NONE, NONE, (), bytes(64)) for n in (1, 2)]
            for fork in (forks.Fork(b"w" * 16, None, *heads), forks.Fork(b"w" * 16, b"e" * 16, *proofs)):
                with self.assertRaises(Failure) as caught:
                    forks.read_fork(entries.Reader(fork.encode()))
                self.assertEqual(caught.exception.reason, "fork-forged")

    def test_offsets_that_no_file_has(self):
        self.a.write("f", b"data")
        os.symlink("f", os.path.join(self.a.root, "l"))
        self.a.folder.scan()
        for item in self.a.folder.items.values():
            for offset in (4, 5, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
                self.assertEqual(self.a.folder.read(item.content.hash, offset, 10), b"")

    def test_times_that_no_entry_has(self):
        """D-123: a file from before 1970."""
        self.a.write("f", b"f")
        os.utime(os.path.join(self.a.root, "f"), ns=(-1, -10**18))
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(contents(self.b.root), {"f": b"f"})
        self.a.again()
        last = self.a.folder.replica.last
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(self.a.folder.replica.last, last)          # it is not edited each time

    def test_times_that_no_disk_has(self):
        identifier = self.a.folder.replica.new(ROOT, "f", kind=FILE, mode=0o7777, mtime=(1 << 64) - 1, size=0, hash=EMPTY).id
        self.assertEqual(meet(self.a, self.b), [])
        found = os.lstat(os.path.join(self.b.root, "f"))
        self.assertEqual(found.st_mode & 0o7000, 0)
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(self.b.folder.replica.entries[identifier].contents[0].mode, 0o7777)


if __name__ == "__main__":
    unittest.main()
