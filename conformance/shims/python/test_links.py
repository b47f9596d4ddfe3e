"""Symbolic links: spec/sync.md section 4.5, SYN-131 to SYN-133, and SYN-042."""

import itertools
import os
import random
import shutil
import unittest

import test_sync
from disk import leads_out, split
from entries import DIRECTORY, LINK, NOTHING, ROOT
from test_sync import contents, meet


class Links(unittest.TestCase):
    def setUp(self):
        test_sync.Sync.setUp(self)

    same = test_sync.Sync.same

    def link(self, device, path, target):
        os.makedirs(os.path.dirname(os.path.join(device.root, path)), exist_ok=True)
        os.symlink(target, os.path.join(device.root, path))

    def target(self, device, path):
        at = os.path.join(device.root, path)
        return os.readlink(at) if os.path.islink(at) else None

    def targets(self, device):
        return {e.name for e in device.folder.replica.entries.values() if any(c.kind == LINK for c in e.living_contents())}

    def test_what_leads_out(self):
        for path, target in (("l", b"/"), ("l", b"/etc"), ("l", b".."), ("l", b"../x"), ("d/l", b"../../x"), ("d/l", b"x/../y"),
                             ("d/l", b"../x/.."), ("d/l", b"..//../x"), ("l", b"x/.."), ("l", b"./.."), ("d/l", b".././../x"),
                             ("d/l", b"./x/./.."), ("l", b"..\0"), ("l", b"x\0"), ("d/l", b"../\0")):
            self.assertTrue(leads_out(path, target), (path, target))
        for path, target in (("l", b"x"), ("l", b"x/y"), ("d/l", b"../x"), ("d/l", b".."), ("d/e/l", b"../../x/y"), ("l", b"..x"),
                             ("l", b"x.."), ("l", b"nowhere"), ("d/l", b"..//x"), ("d/l", b"./../x"), ("d/e/l", b".././..//x"),
                             ("l", b"."), ("l", b"./x")):
            self.assertFalse(leads_out(path, target), (path, target))

    def test_made_moved_edited_and_deleted(self):
        self.a.write("d/f", b"f")
        self.link(self.a, "l", "d/f")
        self.link(self.a, "d/dir", "../d")
        self.link(self.a, "broken", "nowhere")
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([self.target(self.b, p) for p in ("l", "d/dir", "broken")], ["d/f", "../d", "nowhere"])
        ids = set(self.b.folder.replica.entries)
        os.rename(os.path.join(self.b.root, "l"), os.path.join(self.b.root, "d/moved"))
        os.unlink(os.path.join(self.b.root, "broken"))
        os.unlink(os.path.join(self.b.root, "d/dir"))
        self.link(self.b, "d/dir", "f")
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([self.target(self.a, p) for p in ("l", "d/moved", "d/dir", "broken")], [None, "d/f", "f", None])
        self.assertEqual(set(self.a.folder.replica.entries), ids)
        last = [device.folder.replica.last for device in (self.a, self.b)]
        for device in (self.a, self.b):
            device.again()
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([device.folder.replica.last for device in (self.a, self.b)], last)         # nothing is left to say
        self.same(self.a, self.b)

    def test_a_file_becomes_a_link_and_a_link_a_file(self):
        self.a.write("one", b"one")
        self.link(self.a, "two", "one")
        meet(self.a, self.b)
        for name in ("one", "two"):
            os.unlink(os.path.join(self.b.root, name))
        self.link(self.b, "one", "two")
        self.b.write("two", b"two")
        meet(self.a, self.b)
        self.assertEqual((self.target(self.a, "one"), contents(self.a.root)["two"]), ("two", b"two"))
        self.same(self.a, self.b)

    def test_two_targets_are_two_links(self):
        self.link(self.a, "l", "x")
        meet(self.a, self.b)
        for device, target in ((self.a, "of a"), (self.b, "of b")):
            os.unlink(os.path.join(device.root, "l"))
            self.link(device, "l", target)
        meet(self.a, self.b)
        shown = {self.target(self.a, p) for p in os.listdir(self.a.root)}
        self.assertEqual(shown, {"of a", "of b"})
        self.assertEqual(sorted(os.listdir(self.a.root)), sorted(os.listdir(self.b.root)))

    def test_random_work(self):
        """As test_sync, with links among the rest, some of which lead out of the folder."""
        for seed in range(4):
            with self.subTest(seed=seed):
                self.setUp()
                draws, devices = random.Random(seed), [self.a, self.b, self.c]
                for _ in range(8):
                    one = draws.choice(devices)
                    test_sync.scribble(draws, one.root)
                    directories = [""] + [p for p, data in contents(one.root).items() if data is None]
                    at = os.path.join(draws.choice(directories), draws.choice(test_sync.NAMES))
                    if not os.path.lexists(os.path.join(one.root, at)):
                        self.link(one, at, draws.choice(["nowhere", "../up"]))
                    self.assertEqual(meet(*draws.sample(devices, 2)), [])
                    draws.choice(devices).again()
                for one, other in [*itertools.combinations(devices, 2)] * 2:
                    self.assertEqual(meet(one, other), [])
                first, *others = ({p: data for p, data in contents(d.root).items() if data != "../up"} for d in devices)
                self.assertEqual(others, [first] * 2)
                self.assertEqual(*[d.folder.replica.digests() for d in (self.a, self.b)])
                self.assertEqual(*[d.folder.replica.digests() for d in (self.b, self.c)])

    def test_what_is_not_made_is_kept_and_given_to_others(self):
        """SYN-042: b makes none of them, and c has them from b as they were."""
        for name, target in (("absolute", "/etc/passwd"), ("d/up", "../../x"), ("around", "d/../../x")):
            self.link(self.a, name, target)
        self.link(self.a, "good", "d")
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(sorted(os.listdir(self.b.root)), ["d", "good"])
        self.assertEqual(os.listdir(os.path.join(self.b.root, "d")), [])
        self.assertEqual(self.targets(self.b), {"absolute", "up", "around", "good"})
        self.b.again()
        counter = self.b.folder.replica.last
        self.assertEqual(meet(self.b, self.c), [])
        self.assertEqual(self.targets(self.c), self.targets(self.b))
        self.assertEqual(self.b.folder.replica.last, counter)
        digest = next(c.hash for e in self.a.folder.replica.entries.values() for c in e.contents if e.name == "absolute")
        self.assertEqual(self.c.folder.read(digest, 0, 100), b"/etc/passwd")
        self.assertEqual(self.target(self.a, "absolute"), "/etc/passwd")        # who made it has it

    def test_moved_by_others_to_where_it_leads_to_the_same_place(self):
        """SYN-042: what its user put there stays, as long as it leads where it led."""
        for name, target in (("absolute", "/nowhere"), ("out", "../nowhere"), ("d/out", "../../nowhere"), ("d/in", "x")):
            self.link(self.a, name, target)
        meet(self.a, self.b)
        for old, new in (("absolute", "e/absolute"), ("out", "renamed"), ("d/out", "deeper"), ("d/in", "d/other")):
            entry = next(e for e in self.b.folder.replica.entries.values() if e.name == os.path.basename(old)
                         and (e.parent == ROOT) == ("/" not in old))
            parent = ROOT
            if "/" in new:
                parent = next((e.id for e in self.b.folder.replica.entries.values() if e.name == split(new)[0]), None) or (
                    self.b.folder.replica.new(ROOT, split(new)[0], kind=DIRECTORY, mode=0, mtime=0, size=0, hash=NOTHING).id)
            self.b.folder.replica.move(entry.id, parent, os.path.basename(new))
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([self.target(self.a, p) for p in ("e/absolute", "renamed", "deeper", "d/other")],
                         ["/nowhere", "../nowhere", None, "x"])
        self.assertEqual([self.target(self.b, p) for p in ("e/absolute", "renamed", "deeper", "d/other")], [None, None, None, "x"])

    def test_moved_by_others_to_where_it_leads_out(self):
        self.a.write("x", b"x")
        self.link(self.a, "d/e/up", "../../x")
        meet(self.a, self.b)
        self.assertEqual(self.target(self.b, "d/e/up"), "../../x")
        os.rename(os.path.join(self.a.root, "d/e"), os.path.join(self.a.root, "e"))
        self.assertEqual(meet(self.a, self.b), [])
        self.assertFalse(os.path.lexists(os.path.join(self.b.root, "e/up")))
        self.assertEqual(self.targets(self.b), {"up"})
        os.rename(os.path.join(self.b.root, "e"), os.path.join(self.b.root, "d/e"))
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([self.target(device, "d/e/up") for device in (self.a, self.b)], ["../../x"] * 2)

    def test_nothing_is_written_through_a_link(self):
        """SYN-133: a link that the device has put, and one that a person put in the place of a directory."""
        outside = self.b.root + ".outside"
        os.mkdir(outside)
        self.a.write("d/f", b"f")
        meet(self.a, self.b)
        self.a.write("d/g", b"g")
        self.a.write("d/sub/h", b"h")
        self.a.folder.scan()
        shutil.rmtree(os.path.join(self.b.root, "d"))
        self.link(self.b, "d", outside)
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(os.listdir(outside), [])
        other = self.c.folder.replica                               # an entry that has a link for its parent
        link = other.new(ROOT, "l", kind=LINK, mode=0, mtime=0, size=1, hash=NOTHING)
        other.new(link.id, "in it", kind=1, mode=0, mtime=0, size=0, hash=test_sync.entries.blake3(b""))
        meet(self.c, self.b)
        self.assertEqual(os.listdir(outside), [])
