"""Sync between devices of this implementation: python3 -m unittest"""

import dataclasses
import itertools
import json
import os
import random
import shutil
import socket
import tempfile
import threading
import unittest
import unittest.mock

import chunks
import entries
import replica
import session
from crypto import Failure, draw, public_spki, rsa_sign
from entries import DIRECTORY, FILE, NOTHING, ROOT
from folder import Folder
from proofs import Signer, card_text, change_text, head_text, place_hash
from replica import Replica
from test_live import key
from view import view

NAMES = ["a", "A", "b", "straße", "STRASSE", "d.txt"]


def contents(root):
    """path -> the bytes of a file, the target of a link, None for a directory; without what another implementation keeps there for itself."""
    out = {}
    for directory, directories, files in os.walk(root):
        directories[:] = [name for name in directories if not name.startswith(".meshproof")]
        for name in directories:
            out[os.path.relpath(os.path.join(directory, name), root)] = None
        for at in (os.path.join(directory, name) for name in [*directories, *files]):
            if os.path.islink(at):
                out[os.path.relpath(at, root)] = os.readlink(at)
            elif not os.path.isdir(at):
                with open(at, "rb") as f:
                    out[os.path.relpath(at, root)] = f.read()
    return out


def scribble(draws, root, steps=4):
    """What a person may do in a folder."""
    for _ in range(steps):
        known = sorted(contents(root))
        directories = [""] + [p for p in known if os.path.isdir(os.path.join(root, p))]
        target = os.path.join(root, draws.choice(directories), draws.choice(NAMES))
        old = os.path.join(root, draws.choice(known)) if known else None
        what = draws.choice(["write", "write", "write", "directory", "move", "move", "delete", "edit"])
        if what == "write" and not os.path.isdir(target):
            with open(target, "wb") as f:
                f.write(draws.randbytes(draws.choice([0, 10, 3000])))
        elif what == "directory" and not os.path.lexists(target):
            os.mkdir(target)
        elif what == "move" and old and not os.path.lexists(target) and not target.startswith(old + "/"):
            os.rename(old, target)
        elif what == "delete" and old:
            shutil.rmtree(old) if os.path.isdir(old) and not os.path.islink(old) else os.unlink(old)
        elif what == "edit" and old and os.path.isfile(old):
            with open(old, "ab") as f:
                f.write(draws.randbytes(5))


class Pipe:
    """A channel without a handshake."""

    def __init__(self, sock, cut_after=None):
        self.sock, self.left = sock, cut_after

    def send(self, data):
        if self.left is not None:
            data, self.left = data[:self.left], self.left - len(data)
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Failure("truncated", "REC-016", str(error))
        if self.left is not None and self.left <= 0:
            self.sock.shutdown(socket.SHUT_RDWR)
            raise Failure("truncated", "REC-016")

    def receive(self):
        try:
            return self.sock.recv(1 << 16) or None
        except OSError as error:
            raise Failure("truncated", "REC-016", str(error))

    def close(self, reason=None):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass


F = b"F" * 16
ISSUER = key("issuer-a")


def card(folder):
    """What the issuer says of the device of a folder.Folder."""
    return *folder.writers.own, rsa_sign(ISSUER, card_text(F, *folder.writers.own))


class Device:
    def __init__(self, where, number):
        self.id, self.root = bytes([number]) * 16, os.path.join(where, str(number))
        self.again()

    def again(self):
        """The same device after a restart."""
        self.folder = Folder(self.id, F, self.root, [public_spki(ISSUER)])
        self.folder.writers.learn(*card(self.folder))

    def copy(self):
        """What it knows, as a backup has it."""
        return shutil.copytree(self.folder.state, self.folder.state + ".old")

    def restore(self, copy):
        """After a restart with what a copy knows, a minute later."""
        shutil.rmtree(self.folder.state)
        os.rename(copy, self.folder.state)
        now = replica.first_counter()
        with unittest.mock.patch("replica.first_counter", lambda: now + (60 << 16)):
            self.again()

    def forget(self, copy):
        """As a program that goes on from a copy, notices nothing and uses numbers again. Its files are as they are."""
        with open(os.path.join(copy, "state.json")) as f:
            state = json.load(f)["replica"]
        with unittest.mock.patch("replica.first_counter", lambda: 0):
            self.folder.replica.load(state)
        known = self.folder.replica.entries
        self.folder.items = {p: dataclasses.replace(i, content=known[i.id].contents[0], seen=(0, 0, 0))
                             for p, i in self.folder.items.items()}

    def write(self, path, data):
        os.makedirs(os.path.dirname(os.path.join(self.root, path)), exist_ok=True)
        with open(os.path.join(self.root, path), "wb") as f:
            f.write(data)


def meet(one, other, roles=("owner", "owner"), cut_after=None, tap=None):
    """A session; the Failures of both sides. `cut_after`: so many bytes of the first the connection lives."""
    failures, pipes = [], socket.socketpair()

    def side(device, peer, pipe, own):
        try:
            session.Session(pipe, {F: device.folder}, {F: own}, peer.id).run()
        except Exception as failure:
            failures.append(failure)
            pipe.sock.close()
    thread = threading.Thread(target=side, args=(other, one, Pipe(pipes[1]), roles[::-1]))
    thread.start()
    pipe = Pipe(pipes[0], cut_after)
    if tap is not None:
        send = pipe.send
        pipe.send = lambda data: (tap.append(data), send(data))
    side(one, other, pipe, roles)
    thread.join()
    for sock in pipes:
        sock.close()
    return failures


class Sync(unittest.TestCase):
    def setUp(self):
        where = tempfile.TemporaryDirectory()
        self.addCleanup(where.cleanup)
        self.a, self.b, self.c = (Device(where.name, n) for n in (1, 2, 3))

    def same(self, *devices):
        first = devices[0]
        for other in devices[1:]:
            self.assertEqual(contents(first.root), contents(other.root))
            self.assertEqual(first.folder.replica.digests(), other.folder.replica.digests())

    def test_random_work(self):
        """Three devices, sessions in any order, restarts; in the end all have the same."""
        for seed in range(6):
            with self.subTest(seed=seed):
                self.setUp()
                draws, devices = random.Random(seed), [self.a, self.b, self.c]
                for _ in range(10):
                    scribble(draws, draws.choice(devices).root)
                    self.assertEqual(meet(*draws.sample(devices, 2)), [])
                    draws.choice(devices).again()
                for one, other in [*itertools.combinations(devices, 2)] * 2:
                    self.assertEqual(meet(one, other), [])
                self.same(*devices)
                before = [d.folder.replica.counter for d in devices]
                self.assertEqual(meet(self.a, self.b), [])          # nothing is left to say
                self.assertEqual(before, [d.folder.replica.counter for d in devices])

    def test_a_rename_and_an_edit_both_survive(self):
        self.a.write("d/f", b"one")
        meet(self.a, self.b)
        os.rename(os.path.join(self.a.root, "d"), os.path.join(self.a.root, "e"))
        self.b.write("d/f", b"two")
        meet(self.a, self.b)
        self.same(self.a, self.b)
        self.assertEqual(contents(self.a.root), {"e": None, "e/f": b"two"})

    def test_two_edits_are_two_files_and_one_may_go(self):
        self.a.write("f.txt", b"one")
        meet(self.a, self.b)
        self.a.write("f.txt", b"of a")
        self.b.write("f.txt", b"of b")
        meet(self.a, self.b)
        self.same(self.a, self.b)
        shown = contents(self.a.root)
        self.assertEqual(sorted(shown.values()), [b"of a", b"of b"])
        copy = next(p for p in shown if "conflict" in p)
        os.unlink(os.path.join(self.b.root, copy))
        meet(self.a, self.b)
        self.same(self.a, self.b)
        self.assertEqual(list(contents(self.a.root)), ["f.txt"])

    def test_a_copy_becomes_an_entry_when_the_entry_is_edited(self):
        self.test_two_edits_are_two_files_and_one_may_go()
        self.a.write("f.txt", b"of a again")
        self.b.write("f.txt", b"of b again")
        meet(self.a, self.b)
        self.a.write("f.txt", b"chosen")
        meet(self.a, self.b)
        self.same(self.a, self.b)
        self.assertEqual(len(contents(self.a.root)), 2)
        self.assertTrue(all(len(e.contents) == 1 for e in self.a.folder.replica.entries.values()))

    def test_a_deletion_and_something_new_in_it(self):
        self.a.write("d/f", b"f")
        meet(self.a, self.b)
        shutil.rmtree(os.path.join(self.a.root, "d"))
        self.b.write("d/g", b"g")
        meet(self.a, self.b)
        self.same(self.a, self.b)
        self.assertEqual(contents(self.a.root), {"d": None, "d/g": b"g"})

    def test_a_reader_says_nothing_and_deletes_nothing(self):
        self.a.write("f", b"f")
        self.b.write("g", b"g")
        self.assertEqual(meet(self.a, self.b, ("owner", "reader")), [])
        self.assertEqual((sorted(contents(self.a.root)), sorted(contents(self.b.root))), (["f"], ["f", "g"]))
        meet(self.a, self.b)                                        # now both are owners
        self.same(self.a, self.b)
        for i in list(self.b.folder.replica.entries):               # a reader that claims to have seen all, and to have none of it
            del self.b.folder.replica.entries[i]
        self.b.folder.items = {}
        shutil.rmtree(self.b.root)
        os.mkdir(self.b.root)
        self.assertEqual(meet(self.a, self.b, ("owner", "reader")), [])
        self.assertEqual(sorted(contents(self.a.root)), ["f", "g"])

    def test_collected_tombstones(self):
        """SYN-045 to SYN-047: what is forgotten everywhere else is not brought back by who was away."""
        self.a.write("d/f", b"f")
        for pair in ((self.a, self.b), (self.a, self.c)):
            meet(*pair)
        shutil.rmtree(os.path.join(self.a.root, "d"))
        meet(self.a, self.b)
        for device, others in ((self.a, (self.b, self.c)), (self.b, (self.a, self.c))):
            device.folder.replica.collect([o.id for o in others])
            self.assertEqual(len(device.folder.replica.entries), 2)         # c has not seen the deletion
        meet(self.a, self.b)
        for device, other in ((self.a, self.b), (self.b, self.a)):
            device.folder.replica.collect([other.id])                       # c is not one of them any more
            self.assertEqual(device.folder.replica.entries, {})
        self.assertEqual(meet(self.a, self.c), [])
        self.same(self.a, self.b, self.c)
        self.assertEqual(contents(self.c.root), {})

    def test_large_content_after_a_cut(self):
        """SYN-033, SYN-075: nothing of it is to be seen, and what came does not come again."""
        data = draw(3_000_000)
        self.a.write("large", data)
        self.assertTrue(meet(self.a, self.b, cut_after=2_000_000))
        self.assertEqual(contents(self.b.root), {})
        sent = []
        self.assertEqual(meet(self.a, self.b, tap=sent), [])
        self.assertEqual(contents(self.b.root), {"large": data})
        self.assertLess(sum(map(len, sent)), 1_700_000)

    def test_an_insertion_into_large_content(self):
        """SYN-076, and chunks at other offsets."""
        data = draw(4_000_000)
        self.a.write("large", data)
        meet(self.a, self.b)
        self.a.write("large", data[:1_500_000] + b"inserted" + data[1_500_000:])
        sent = []
        self.assertEqual(meet(self.a, self.b, tap=sent), [])
        self.same(self.a, self.b)
        self.assertLess(sum(map(len, sent)), 1_100_000)

    def test_stalled(self):
        """HSK-066, with a clock of the test."""
        one = session.Session(None, {F: self.a.folder}, {F: ("owner", "owner")}, self.b.id)
        one.shared, one.idle_since = one.own, 0                     # not the monotonic clock's: (x + 600) - x may be less than 600
        self.assertFalse(one.stalled(one.idle_since + 599))
        self.assertTrue(one.stalled(one.idle_since + 600))
        one.in_flight = {b"....": (one.own[F], None, (0, 1))}       # whether its INDEX is all here or not
        self.assertFalse(one.stalled(one.idle_since + 119))
        self.assertTrue(one.stalled(one.idle_since + 120))
        one.in_flight[b"...,"] = one.own[F], None, None             # a MANIFEST-REQUEST: the content may have to be cut first
        self.assertFalse(one.stalled(one.idle_since + 599))
        self.assertTrue(one.stalled(one.idle_since + 600))

    def mode(self, device, path):
        return os.lstat(os.path.join(device.root, path)).st_mode & 0o7777

    def test_permissions(self):
        """SYN-161 to SYN-163."""
        self.a.write("f", b"f")
        at = os.path.join(self.a.root, "f")
        os.chmod(at, 0o6754)
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(self.mode(self.b, "f"), 0o754)
        os.chmod(os.path.join(self.b.root, "f"), 0o600)             # an edit, with the same bytes
        sent = []
        self.assertEqual(meet(self.a, self.b, tap=sent), [])
        self.assertEqual(self.mode(self.a, "f"), 0o600)
        entry, = self.a.folder.replica.entries.values()
        self.assertEqual([(c.stamp.writer, c.mode) for c in entry.contents], [(self.b.id, 0o600)])
        last = [device.folder.replica.last for device in (self.a, self.b)]
        for device in (self.a, self.b):
            device.again()
        os.utime(at, ns=(0, 10**18))                                # a time alone is none
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([device.folder.replica.last for device in (self.a, self.b)], last)
        os.chmod(at, 0o440)                                         # of the owner's bits alone, too
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(self.mode(self.b, "f") & 0o477, 0o440)     # this device gives itself the right to write
        os.chmod(at, 0o640)
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([self.mode(device, "f") for device in (self.a, self.b)], [0o640, 0o640])

    def test_permissions_of_directories(self):
        for mode in (0o500, 0o705):
            self.a.folder.replica.new(ROOT, f"d{mode}", kind=DIRECTORY, mode=mode | 0o7000, mtime=0, size=0, hash=NOTHING)
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual([self.mode(self.b, f"d{mode}") for mode in (0o500, 0o705)], [0o700, 0o705])

    def test_the_first_counter(self):
        """Section 3.1: whatever the clock says, half of all numbers are left."""
        for now, counter in ((1, 1 << 16), (1 << 31, 1 << 47), (1 << 32, 1 << 47), (1 << 62, 1 << 47)):
            with unittest.mock.patch("time.time", lambda: float(now)):
                self.assertEqual(replica.first_counter(), counter)

    def test_a_lost_past(self):
        """Section 4.6: a device from a backup counts on, and its files are new changes once it knows what others have."""
        self.a.write("f", b"f")
        meet(self.a, self.b)
        old = self.a.copy()
        self.a.write("g", b"g")
        meet(self.a, self.b)
        os.unlink(os.path.join(self.a.root, "g"))
        self.a.restore(old)
        self.a.write("h", b"h")
        for _ in range(3):                                          # it finds it, it takes over, it says what is new
            self.assertEqual(meet(self.a, self.b), [])
        self.same(self.a, self.b)
        self.assertEqual(sorted(contents(self.a.root)), list("fgh"))

    def test_links_lead_nowhere(self):
        """SYN-034: neither a link nor what is behind it is read."""
        os.symlink("/etc/passwd", os.path.join(self.a.root, "passwd"))
        os.symlink("/etc", os.path.join(self.a.root, "etc"))
        self.a.write("f", b"f")
        meet(self.a, self.b)
        self.assertEqual(contents(self.b.root), {"f": b"f"})
        self.a.write("d/g", b"g")
        self.a.folder.scan()
        shutil.rmtree(os.path.join(self.a.root, "d"))
        os.symlink(self.b.root, os.path.join(self.a.root, "d"))
        self.b.write("g", b"g")
        digest = next(i.content.hash for p, i in self.a.folder.items.items() if p == "d/g")
        self.assertIsNone(self.a.folder.read(digest, 0, 1))

    def test_ignored(self):
        """SYN-080 to SYN-083: each side keeps what is ignored to itself, and what a peer does there does not touch it."""
        self.b.write("build/old", b"of b")
        self.b.write("gone/x.o", b"of b")
        meet(self.a, self.b)
        self.a.write(".meshignore", b"build/\n*.o\n")
        self.a.write("build/new", b"of a")
        self.a.write("f", b"f")
        shutil.rmtree(os.path.join(self.a.root, "gone"))
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(contents(self.b.root), {".meshignore": b"build/\n*.o\n", "build": None, "build/old": b"of b", "f": b"f",
                                                 "gone": None, "gone/x.o": b"of b"})
        self.b.write("build/old", b"edited")
        os.unlink(os.path.join(self.b.root, "gone/x.o"))
        self.assertEqual(meet(self.b, self.a), [])
        self.assertEqual(contents(self.a.root)["build/old"], b"of b")
        os.unlink(os.path.join(self.a.root, ".meshignore"))
        for _ in range(2):
            self.assertEqual(meet(self.a, self.b), [])
        self.same(self.a, self.b)


class Writers(unittest.TestCase):
    """Section 4.9: what a peer may not say."""

    def setUp(self):
        Sync.setUp(self)
        self.a.write("f", b"f")
        self.a.write("g", b"g")
        self.a.folder.scan()

    def refused(self, reason, one=None, other=None):
        found = meet(one or self.a, other or self.b)
        self.assertIn(reason, [failure.reason for failure in found])

    def entry(self, device, name):
        return next(e for e in device.folder.replica.entries.values() if e.name == name)

    def test_forged(self):
        """SYN-052: of another writer's entry somebody else makes another one, and signs it itself."""
        meet(self.a, self.b)
        mallory = self.b.folder.replica
        before, entry = contents(self.c.root), self.entry(self.b, "f")
        forged = entry.proofs[0]._replace(place=place_hash(ROOT, "other"))
        forged = forged._replace(signature=mallory.signer.sign(change_text(F, entry.id, forged)))
        mallory.entries[entry.id] = entry._replace(name="other", proofs=(forged,))
        with unittest.mock.patch.object(self.b.folder, "scan"), unittest.mock.patch.object(self.b.folder, "apply"):
            self.refused("change-forged", self.b, self.c)
        self.assertEqual(contents(self.c.root), before)

    def test_unproven(self):
        """SYN-051: another name under the same proof."""
        entry = self.entry(self.a, "f")
        self.a.folder.replica.entries[entry.id] = entry._replace(name="other")
        with unittest.mock.patch.object(self.a.folder, "scan"), unittest.mock.patch.object(self.a.folder, "apply"):
            self.refused("change-unproven")

    def test_forked(self):
        """SYN-054: a device from a backup uses a counter twice."""
        old = self.a.copy()
        self.a.write("f", b"one")
        meet(self.a, self.b)
        self.a.forget(old)
        self.a.write("f", b"two")
        with unittest.mock.patch.object(self.a.folder, "begin_anew_if_lost", lambda heads: False):
            found = meet(self.a, self.b)
        self.assertTrue({f.reason for f in found} & {"writer-forked", "head-forked"}, found)

    def test_a_writer_without_a_card_is_ignored_until_it_has_one(self):
        self.a.folder.writers.cards.clear()
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual((contents(self.b.root), self.b.folder.replica.context), ({}, {}))
        self.a.folder.writers.learn(*card(self.a.folder))
        self.assertEqual(meet(self.a, self.b), [])
        self.assertEqual(contents(self.b.root), contents(self.a.root))

    def test_cards(self):
        device, key, signature = card(self.a.folder)
        self.b.folder.writers.learn(device, key, signature[:-1] + bytes([signature[-1] ^ 1]))           # SYN-056
        self.assertNotIn(device, self.b.folder.writers.cards)
        self.assertEqual(meet(self.a, self.b), [])
        other = Signer(draw(32)).key
        with self.assertRaises(Failure) as caught:                  # SYN-057
            self.b.folder.writers.learn(device, other, rsa_sign(ISSUER, card_text(F, device, other)))
        self.assertEqual(caught.exception.reason, "writer-changed")

    def test_heads(self):
        meet(self.a, self.b)
        head = self.b.folder.replica.heads[self.a.id]
        forged = head._replace(counter=head.counter + 5)
        self.b.folder.replica.heads[self.a.id] = forged             # SYN-055
        self.refused("head-forged", self.b, self.c)
        del self.b.folder.replica.heads[self.a.id]
        other = bytes(32)                                           # SYN-058: two chains of one length
        signature = self.a.folder.replica.signer.sign(head_text(F, self.a.id, head.counter, other))
        self.c.folder.replica.heads[self.a.id] = head._replace(chain=other, signature=signature)
        self.refused("head-forked", self.a, self.c)

    def test_no_more_proofs_than_needed(self):
        for text in (b"1", b"2", b"3"):
            self.a.write("f", text)
            meet(self.a, self.b)
        entry = self.entry(self.b, "f")
        self.assertEqual(len(entry.proofs), 2)                      # of the place, and of the content, which is the last change
        with self.assertRaisesRegex(Failure, "sync-proofs"):        # SYN-050
            entries.entry_of(entry._replace(proofs=entry.proofs[::-1]).encode())


class Chunks(unittest.TestCase):
    def test_whole(self):
        for size in (0, 1, 16384, 1_000_000):
            data = draw(size)
            found = chunks.cut(data)
            self.assertEqual(sum(c.length for c in found), size)
            if found:
                self.assertEqual(chunks.read_manifest(chunks.write_manifest(found), size), found)
            else:
                self.assertIsNone(chunks.read_manifest(chunks.write_manifest(found), size))

    def test_too_many(self):
        self.assertEqual(chunks.write_manifest([chunks.Chunk(bytes(32), 0, 1)] * (chunks.MOST + 1)), b"\1")


class Replicas(unittest.TestCase):
    def test_merging_in_any_order(self):
        """Replicas without disks; the same view, whoever met whom."""
        for seed in range(20):
            draws = random.Random(seed)
            replicas = [Replica(bytes([n]) * 16, F, Signer(bytes([n]) * 32), 0) for n in range(1, 4)]
            for _ in range(30):
                self.change(draws, draws.choice(replicas))
                if draws.random() < 0.4:
                    self.exchange(*draws.sample(replicas, 2))
            for one, other in [*itertools.permutations(replicas, 2)] * 2:
                self.exchange(one, other)
            self.assertEqual(*[{d for r in replicas for d in [b"".join(r.digests())]}, {b"".join(replicas[0].digests())}])
            view(replicas[0].entries)

    @staticmethod
    def change(draws, replica):
        living = [i for i, e in replica.entries.items() if not e.tombstone]
        content = {"mode": 0o644, "mtime": 0, **draws.choice([{"kind": DIRECTORY, "size": 0, "hash": NOTHING},
                                                             {"kind": FILE, "size": 1, "hash": draws.randbytes(1) * 32}])}
        what, parent, name = draws.random(), draws.choice([ROOT, *living]), draws.choice(NAMES)
        if what < 0.4 or not living:
            replica.new(parent, name, **content)
            return
        entry = replica.entries[draws.choice(living)]
        if what < 0.6 and parent != entry.id:
            replica.move(entry.id, parent, name)
        elif what < 0.8:
            replica.edit(entry.id, draws.choice(entry.contents), **content)
        else:
            replica.delete(entry.id, entry.stamp, draws.choice(entry.contents))

    @staticmethod
    def exchange(one, other):
        digests, heads = (one.digests(), other.digests()), one.known_heads()
        from_one, from_other = one.differing(*digests), other.differing(*digests[::-1])
        wire = b"".join(e.encode() for e in from_one)
        reader, got = entries.Reader(wire), []
        while reader.at < len(wire):
            got.append(entries.read_entry(reader))
        one.take(other.device, from_other, digests[0], 1, other.known_heads(), digests[1])
        other.take(one.device, got, digests[1], 1, heads, digests[0])
