"""A peer that means harm, and disks that are not as one thinks: nothing that comes may stop a device, or what it has to say."""

import os
import unittest

import entries
import test_sync
from crypto import Failure, draw
from disk import EMPTY
from entries import FILE, MESSAGE_LARGEST, ROOT, Content, Entry, Stamp
from merge import merge
from proofs import CONTENT, NONE, PLACE, Proof, change_text, content_hash, place_hash
from test_sync import F, contents, meet


def many_proofs(mallory, numbers):
    """An entry that its writer, a Replica, deleted again and again, each time with as much as a proof has room for."""
    writer, identifier = mallory.device, b"e" * 16
    content = Content(Stamp(1, writer, 1), 0, FILE, 0, 0, 0, EMPTY)
    entry = Entry(identifier, ROOT, "f", content.stamp, 1, (content,), {writer: max(numbers)})

    def proof(n):
        deleted = ((PLACE, writer, 1), *((CONTENT, writer, 1000 + i) for i in range(254)))
        one = Proof(Stamp(1, writer, n), NONE, NONE, deleted, b"")
        if n == 1:
            one = one._replace(place=place_hash(ROOT, "f"), content=content_hash(content), deleted=())
        return one._replace(signature=mallory.signer.sign(change_text(mallory.folder, identifier, one)))
    return entry._replace(proofs=tuple(proof(n) for n in numbers))


class Hostile(unittest.TestCase):
    def setUp(self):
        test_sync.Sync.setUp(self)

    def test_two_entries_that_fit_into_a_message_and_together_do_not(self):
        """D-122: they are as SYN-016 has it; else this device would have nothing more to say to anybody."""
        first, second = (many_proofs(self.a.folder.replica, numbers) for numbers in (range(1, 151), [1, *range(151, 255)]))
        for one in (first, second):
            self.assertTrue(entries.entry_of(one.encode()) == one)
        self.assertTrue(merge(first, second, {}, {}) is None)
        for one in (first, second):
            self.a.folder.replica.entries = {one.id: one}
            self.a.folder.replica.last = 0
            self.assertEqual(meet(self.a, self.b), [])
        self.assertTrue(self.b.folder.replica.entries == {first.id: first})
        self.b.write("g", b"g")
        self.assertEqual(meet(self.b, self.c), [])
        self.assertEqual(contents(self.c.root), {"f": b"", "g": b"g"})

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
