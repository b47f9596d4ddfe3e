"""The cloud as a replica, against a cloud (as test_cloud) and with another implementation at the other end."""

import base64
import os
import random
import shutil
import subprocess
import tempfile
import unittest
import unittest.mock

import replica
import sealed
import states
import storage
import test_cloud
from cloud import Problem
from crypto import draw
from folder import Folder
from test_hostile import many_proofs
from test_sync import contents, scribble


@unittest.skipUnless(os.environ.get("MESHD"), "MESHD names no cloud")
class States(unittest.TestCase):
    setUpClass, tearDownClass = (classmethod(getattr(test_cloud.CloudTest, name).__func__) for name in ("setUpClass", "tearDownClass"))
    cloud, device_grant = (classmethod(getattr(test_cloud.CloudTest, name).__func__) for name in ("cloud", "device_grant"))

    def setUp(self):
        trees = tempfile.TemporaryDirectory()
        self.addCleanup(trees.cleanup)
        self.trees, self.told = trees.name, []

    def folder(self, name, document):
        self.graphs[name] = type(self.ann)(self.cloud(), self.device_grant(name))
        issuers = [key for keys in self.ann.grant.issuers().values() for key in keys]
        folder = Folder(bytes.fromhex(self.devices[name]["device"]), bytes.fromhex(document["folder"]),
                        os.path.join(self.trees, draw(4).hex(), name), issuers, self.signers[name],
                        log=lambda *words: self.told.append(words))
        for card in self.ann.writers(document):
            folder.writers.learn(*card)
        return folder

    def pair(self, encrypted=False):
        document = self.ann.add_folder("States " + draw(4).hex())
        for name in "xy":
            self.ann.map(document, self.devices[name])
        self.folders = {name: self.folder(name, document) for name in "xy"}
        if encrypted:
            states.encrypt(self.graphs["x"], document, self.folders["x"], [draw(32)])
            document = self.ann.folder(document["folder"])
        return [self.replica(name, document) for name in "xy"]

    def replica(self, name, document):
        ring = states.ring_of(self.graphs[name], document, self.folders[name], self.keys[name])
        return states.CloudReplica(self.graphs[name], document, self.folders[name], ring=ring)

    def roots(self):
        return [contents(self.folders[name].root) for name in "xy"]

    def write(self, name, path, data):
        with open(os.path.join(self.folders[name].root, path), "wb") as f:
            f.write(data)

    def test_devices_that_never_meet(self):
        for encrypted in (False, True):
            (x, y), draws = self.pair(encrypted), random.Random(3)
            self.write("x", "large", draw(100_000))
            for _ in range(4):
                for name in "xy":
                    scribble(draws, self.folders[name].root)
                for one in (x, y, x, y):
                    one.sync()
                self.assertEqual(*self.roots())
            self.assertEqual(self.told, [])

    def test_the_cloud_of_an_encrypted_folder_knows_no_name(self):
        x, _ = self.pair(encrypted=True)
        self.write("x", "plain", b"plain text")
        x.sync()
        item = next(iter(self.ann.items(x.links["states"])))
        self.assertEqual(base64.b64decode(item["state"])[:4], sealed.MAGIC)
        entry, = self.ann.entries({"links": x.links})
        self.assertEqual((entry["path"], list(entry["properties"])), (entry["entry"], ["sealed"]))
        self.assertEqual(sealed.read_entry(x.ring.open(sealed.ENTRY, bytes.fromhex(entry["entry"]), base64.b64decode(
            entry["properties"]["sealed"])))[0], "plain")
        with self.assertRaises(Problem):                            # STO-080
            storage.put(self.ann, {"links": x.links}, b"not sealed")

    def test_a_cloud_that_lies(self):
        x, y = self.pair()
        self.write("x", "f", b"one")
        x.sync()
        old = next(iter(self.ann.items(x.links["states"])))
        y.sync()
        self.write("x", "f", b"two")
        x.sync()
        y.sync()

        def put_back(text):
            now = next(iter(self.ann.items(x.links["states"])))
            self.ann.request("PUT", now["links"]["self"], {"state": text}, {"If-Match": now["etag"]})
        put_back(old["state"])                                      # SYN-087
        y.sync()
        self.assertIn("cloud-rolled-back", [words[0] for words in self.told])
        self.assertNotEqual(next(iter(self.ann.items(x.links["states"])))["state"], old["state"])
        forged = bytearray(base64.b64decode(old["state"]))
        forged[-40] ^= 1                                            # in the signature
        for text in ("AAEC", base64.b64encode(forged).decode()):
            self.told.clear()
            self.folders["y"].told.clear()
            put_back(text)                                          # SYN-086
            y.sync()
            self.assertIn("cloud-forged", [words[0] for words in self.told])
            self.assertEqual(self.roots(), [{"f": b"two"}] * 2)
        self.told.clear()
        document = self.ann.folder(self.folders["x"].replica.folder.hex())
        self.folders["y"] = self.folder("y", document)
        fresh = self.replica("y", document)
        with unittest.mock.patch.object(fresh.graph, "delta_of", lambda *_: ([], "w")):         # SYN-088: heads, and no states
            fresh.sync()
        self.assertIn("cloud-withholds", [words[0] for words in self.told])

    def test_links(self):
        """The state of a link, and its target, which in the graph is a file (sync.md section 4.5)."""
        for encrypted in (False, True):
            x, y = self.pair(encrypted)
            self.write("x", "f", b"data")
            os.symlink("f", os.path.join(self.folders["x"].root, "l"))
            for one in (x, y, x, y):
                one.sync()
            self.assertEqual(self.roots(), [{"f": b"data", "l": "f"}] * 2)
            self.assertEqual([e["kind"] for e in self.ann.entries({"links": x.links})], ["file"] * 2)
            self.assertEqual(x.folder.replica.digests(), y.folder.replica.digests())
            self.assertEqual(self.told, [])

    def test_states_with_changes_that_deleted_too_much(self):
        """SYN-160, D-122: they stay where they are, and the rest goes on."""
        x, y = self.pair()
        mallory, path = x.folder.replica, f"{x.links['states']}/{(b'e' * 16).hex()}"
        for numbers, last, taken in (((1, 2), 33, 0), ((1, 2), 32, 1), ((1, 2, 3), 33, 1)):
            etag = {"If-Match": x.graph.request("GET", path).etag} if taken else {}
            state = base64.b64encode(many_proofs(mallory, numbers, last).encode()).decode()
            x.graph.request("PUT", path, {"state": state}, etag)
            y.sync()
            self.assertEqual(len(y.folder.replica.entries), taken)
        self.assertEqual(x.graph.get(path)["state"], state)
        self.write("y", "g", b"g")
        y.sync()
        self.assertIn("g", [e["path"] for e in self.ann.entries({"links": y.links})])
        self.assertEqual([words[-1] for words in self.told if "too much" in words[1]], [mallory.device.hex()])

    def test_who_began_anew_with_the_cloud_alone(self):
        """SYN-140: a backup of Monday, an edit of Tuesday that only the cloud has. No head is put after that (4.10, step 5)."""
        x, y = self.pair()
        self.write("x", "f", b"monday")
        self.write("x", "same", b"same")
        x.sync()
        folder = self.folders["x"]
        backup = [shutil.copytree(path, path + ".old") for path in (folder.state, folder.root)]
        self.write("x", "f", b"tuesday")
        x.sync()
        head = next(iter(self.ann.items(x.links["heads"])))["head"]
        for path, old in zip((folder.state, folder.root), backup):
            shutil.rmtree(path)
            os.rename(old, path)
        later = replica.first_counter() + (60 << 16)
        with unittest.mock.patch("replica.first_counter", lambda: later):
            self.folders["x"] = Folder(folder.device, folder.replica.folder, folder.root, folder.writers.issuers, self.signers["x"],
                                       log=lambda *words: self.told.append(words))
        x = self.replica("x", self.ann.folder(folder.replica.folder.hex()))
        for one in (x, y, x, y):
            one.sync()
        self.assertEqual(*self.roots())
        shown = self.roots()[0]
        self.assertEqual((shown.pop("f"), shown.pop("same"), list(shown.values())), (b"monday", b"same", [b"tuesday"]))
        self.assertEqual(next(iter(self.ann.items(x.links["heads"])))["head"], head)
        self.assertFalse(self.folders["x"].replica.waits)

    @unittest.skipUnless(os.environ.get("MESH"), "MESH names no device agent")
    def test_another_implementation(self):
        for number, encrypted in enumerate((False, True)):
            with tempfile.TemporaryDirectory() as home:
                tree = os.path.join(self.trees, f"theirs {number}")
                os.mkdir(tree)

                def mesh(*words):
                    done = subprocess.run([os.environ["MESH"], "--home", home, *words], capture_output=True, text=True, timeout=60,
                                          env={**os.environ, "MESH_PASSWORD": test_cloud.PASSWORD})
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    return done.stdout
                mesh("login", "--cloud", self.root, "--ca", self.ca, "--user", "ann")
                mesh("device", "add", f"theirs {number}")
                mesh("folder", "add", tree)
                document = next(f for f in self.ann.folders() if f["name"] == os.path.basename(tree))
                self.ann.folder_ticket(document)
                self.ann.map(document, self.devices["x"])
                if encrypted:
                    mesh("folder", "encrypt", os.path.basename(tree))
                    document = self.ann.folder(document["folder"])
                    self.assertTrue(document["encrypted"])
                self.folders = {"x": self.folder("x", document)}
                mesh("sync")
                one, draws = self.replica("x", document), random.Random(4)
                for _ in range(6):
                    scribble(draws, tree)
                    scribble(draws, one.folder.root)
                    mesh("sync")
                    one.sync()
                    said = mesh("sync")
                    one.sync()
                    self.assertEqual(contents(tree), contents(one.folder.root), said)
                self.assertEqual(self.told, [])
