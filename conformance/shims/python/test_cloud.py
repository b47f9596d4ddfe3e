"""The clients against a cloud, and the two roles through it. Skipped unless MESHD names a cloud's program that takes
`--listen` and `--data` and prints its URL, as the README at the root of the repository has it.

    MESHD=.../meshd python3 -m unittest test_cloud
"""

import base64
import os
import random
import re
import shlex
import subprocess
import tempfile
import threading
import time
import unittest

import chunks
import entries
import graph as graphs
import identity
import peer
import relay
import storage
import ticket as tickets
from blake3 import blake3
from cloud import Cloud, Problem
from crypto import Failure, draw
from folder import Folder
from handshake import SUITES
from proofs import Signer
from test_live import key
from test_sync import contents, scribble
from ticket import from_base64url, verify

PASSWORD = "correct-horse"


def spied(c):
    """What is heard on a channel, a list of the types of the messages and their sizes: what to look at when a session was odd."""
    heard, messages, receive = [], entries.Messages(), c.receive

    def spying():
        data = receive()
        heard.extend((kind, len(body), body[4:5].hex() if kind == entries.BLOCK else "") for kind, body in messages.feed(data or b""))
        return data
    c.receive = spying
    return heard


@unittest.skipUnless(os.environ.get("MESHD"), "MESHD names no cloud")
class CloudTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        peer.log = lambda *words: None
        cls.data = tempfile.TemporaryDirectory()
        command = shlex.split(os.environ["MESHD"]) + ["--listen", "127.0.0.1:0", "--data", cls.data.name]
        command += shlex.split(os.environ.get("MESHD_MORE", ""))
        cls.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in cls.process.stdout:
            found = re.search(r"https://\S+:\d+", line)
            if found:
                break
        threading.Thread(target=cls.process.stdout.read, daemon=True).start()
        cls.root, cls.ca = found.group(0), os.path.join(cls.data.name, "ca.pem")
        cls.user = identity.register(cls.cloud(), "ann", PASSWORD)
        cls.ann = graphs.Graph(cls.cloud(), identity.sign_in(cls.cloud(), "ann", PASSWORD))
        cls.keys = {name: key("device-" + name) for name in "xy"}
        cls.signers = {name: Signer(draw(32)) for name in cls.keys}
        cls.devices = {name: cls.ann.claim("device " + name, key, cls.signers[name]) for name, key in cls.keys.items()}
        cls.graphs = {name: graphs.Graph(cls.cloud(), cls.device_grant(name)) for name in "xy"}

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait()
        cls.process.stdout.close()
        cls.data.cleanup()

    @classmethod
    def cloud(cls):
        return Cloud(cls.root, cls.ca)

    @classmethod
    def device_grant(cls, name):
        return identity.sign_device_in(cls.cloud(), cls.keys[name], cls.devices[name]["device"], cls.ann.grant.audience)

    def refused(self, status, requirement, call, *arguments):
        with self.assertRaises(Problem) as caught:
            call(*arguments)
        self.assertEqual((caught.exception.status, caught.exception.requirement), (status, requirement))

    # identity

    def test_tickets_of_the_cloud_verify_here(self):
        grant = self.ann.grant
        for text in grant.tickets + self.graphs["x"].grant.tickets:
            t = verify(from_base64url(text), int(time.time()), grant.audience, grant.issuers())
            self.assertIn(t.subject, ("urn:meshproof:user:" + self.user, "urn:meshproof:device:" + self.devices["x"]["device"]))

    def test_sign_in_is_refused(self):
        self.refused(401, "IDN-002", identity.sign_in, self.cloud(), "ann", "another-horse")
        self.refused(409, "IDN-005", identity.register, self.cloud(), "ann", PASSWORD)
        self.refused(401, "IDN-007", identity.trade, self.cloud(), "AAAA")

    def test_device_proof_for_another_audience_or_device(self):
        x = self.devices["x"]["device"]
        with self.assertRaises(Problem) as caught:                  # IDN-015, which a service that keeps H(answer) cannot name
            identity.sign_device_in(self.cloud(), self.keys["x"], x, "urn:another:cloud")
        self.assertEqual((caught.exception.status, caught.exception.error), (401, "device-proof-failed"))
        with self.assertRaises(Failure):                            # IDN-009: a ciphertext that nobody can use
            identity.sign_device_in(self.cloud(), self.keys["x"], graphs.new_identifier(), self.ann.grant.audience)

    def test_sign_in_by_code(self):
        """IDN-070 to IDN-073, as the program and as the person at another device."""
        program, token = self.cloud(), self.ann.grant.token
        if not identity.code_links(program):
            self.skipTest("this cloud signs nobody in by code")
        shown, decisions, looked = [], [None, True], []

        def wait(_):                                                # somebody looks, and decides when the program asked twice
            code = shown[-1]["user_code"]
            looked.append(identity.waiting_program(self.cloud(), token, code.lower().replace("-", " ")))
            if (allow := decisions.pop(0)) is not None:
                identity.decide_code(self.cloud(), token, code, allow)
        grant = identity.sign_in_by_code(program, shown.append, wait)
        t = verify(from_base64url(grant.tickets[0]), int(time.time()), grant.audience, grant.issuers())
        self.assertEqual((t.subject, t.authn[1]), ("urn:meshproof:user:" + self.user,
                                                   "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"))
        self.assertEqual([found["user_code"] for found in looked], [shown[0]["user_code"]] * 2)
        self.assertRegex(shown[0]["user_code"], r"\A[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}\Z")
        ask = lambda code: program.request("POST", identity.code_links(program)["token"], {"device_code": code})
        self.refused(401, "IDN-072", ask, shown[0]["device_code"])  # it gave a token
        self.refused(401, "IDN-072", ask, "A" * 43)
        decisions = [False]
        self.refused(401, "IDN-072", identity.sign_in_by_code, program, shown.append, wait)
        for code in (shown[0]["user_code"], shown[1]["user_code"], "BBBB-BBBB"):                # decided, decided, given to nobody
            self.refused(404, "IDN-073", identity.waiting_program, program, token, code)
            self.refused(404, "IDN-073", identity.decide_code, program, token, code, True)

    # graph

    def test_devices_and_mesh(self):
        states = {d["device"]: d["state"] for d in self.ann.devices()}
        self.assertEqual({states[d["device"]] for d in self.devices.values()}, {"claimed"})
        self.assertEqual(self.ann.mesh()["name"], "ann")
        self.refused(403, "GPH-035", self.graphs["x"].claim, "successor", key("device-z"), Signer(draw(32)))

    def test_entries_and_delta(self):
        folder = self.ann.add_folder("Entries")
        self.assertIn(folder["folder"], [f["folder"] for f in self.ann.folders()])
        x = self.devices["x"]["device"]
        items, watermark = self.ann.delta(folder)
        self.assertEqual(items, [])
        digest = blake3(b"hello").hex()
        entry = self.ann.put_entry(folder, {"path": "a/hello.txt", "kind": "file", "size": 5, "hash": digest, "version": {x: 1}})
        self.ann.put_entry(folder, {"path": "a", "kind": "directory", "version": {x: 1}})
        items, watermark = self.ann.delta(folder, watermark, 1)
        self.assertEqual([i["path"] for i in items], ["a/hello.txt", "a"])
        self.assertEqual(items[0]["cloud"], "wanted")
        self.assertEqual([w["hash"] for w in storage.wanted(self.ann, folder)], [digest])
        storage.put(self.ann, folder, b"hello")
        self.assertEqual(next(e for e in self.ann.entries(folder) if e["kind"] == "file")["cloud"], "stored")
        self.ann.delete_entry(next(e for e in self.ann.entries(folder) if e["entry"] == entry["entry"]))
        items, _ = self.ann.delta(folder, watermark)
        gone = next(i for i in items if i["entry"] == entry["entry"])
        self.assertTrue(gone["deleted"])
        self.assertEqual(gone["version"], {x: 1, self.user: 1})     # GPH-053
        self.assertEqual(len(self.ann.delta(folder, "nobody-gave-this")[0]), 2)          # GPH-061
        self.refused(422, "GPH-050", self.ann.put_entry, folder, {"path": "../up", "kind": "directory", "version": {x: 1}})

    # storage

    def test_media(self):
        folder, data = self.ann.add_folder("Media"), draw(30000)
        digest, new = storage.put(self.ann, folder, data)
        self.assertTrue(new)
        self.assertEqual(storage.get(self.ann, folder, digest), data)
        self.assertEqual(storage.get_part(self.ann, folder, digest, 10, 19), (data[10:20], len(data)))
        self.refused(422, "STO-001", self.ann.request, "PUT", storage.media_path(folder, blake3(b"").hex()), b"x")
        self.refused(404, "STO-005", storage.get, self.ann, folder, blake3(b"unknown").hex())
        storage.delete(self.ann, folder, digest)
        self.refused(404, "STO-005", storage.get, self.ann, folder, digest)

    def test_upload(self):
        folder, data = self.ann.add_folder("Uploads"), draw(20000)
        upload = storage.Upload(self.ann, folder, data)
        self.assertFalse(upload.send(8000))
        self.assertEqual(upload.resume(), 8000)
        upload.offset = 0
        self.refused(409, "STO-015", upload.send)
        upload.resume()
        self.assertTrue(upload.send())
        self.assertEqual(storage.get(self.ann, folder, upload.digest), data)

    # devices that meet

    def listener(self, application=peer.echo):
        y = self.devices["y"]["device"]
        found = peer.Listener(self.keys["y"], bytes.fromhex(y), self.graphs["y"].grant.issuers(), application)
        self.addCleanup(found.sock.close)
        return found.start()

    def initiator_arguments(self, responder=None):
        ticket, y = self.graphs["x"].pair(responder or self.devices["y"])
        return (self.keys["x"], bytes.fromhex(self.devices["x"]["device"]), bytes.fromhex(y["device"]),
                base64.b64decode(y["spki"]), ticket), y

    def test_pair_and_meet(self):
        listener, y = self.listener(), self.devices["y"]
        self.graphs["y"].publish(y, ["%s:%d" % listener.address[:2]])
        arguments, found = self.initiator_arguments()
        host, port = found["addresses"][0].rsplit(":", 1)
        c = peer.dial(host, int(port), *arguments)
        c.send(b"hello")
        self.assertEqual(c.receive(), b"hello")
        c.renew(self.graphs["x"].renewal(y, arguments[4]))
        c.send(b"again")
        self.assertEqual(c.receive(), b"again")
        c.close()
        self.graphs["y"].go_offline(y)
        self.assertEqual(self.graphs["x"].pair(y)[1]["addresses"], [])

    def test_more_folders_than_a_ticket_names(self):
        """GPH-220, GPH-221: a ticket for each visit, until all folders that are here were in one; a renewal is for the same."""
        gx, y = self.graphs["x"], self.devices["y"]
        added = [self.ann.add_folder(f"One of many {n}") for n in range(2 * graphs.IN_A_TICKET + 2)]
        for folder in added:
            for one in "xy":
                self.ann.map(folder, self.devices[one])
        here = [folder["folder"] for folder in added[1:]]
        visits = []
        for ticket, other in gx.portions(y, [*here, draw(16).hex()]):
            self.assertEqual(other["device"], y["device"])
            visits.append(tickets.relate(tickets.parse(ticket), y["device"], base64.b64decode(other["spki"])).folders.keys())
            again = gx.renewal(y, ticket)
            self.assertEqual(tickets.mapped(tickets.parse(again)), set(visits[-1]))
        self.assertGreater(len(visits), 2)
        self.assertLessEqual(set(here), set().union(*visits))
        for visit in visits[1:]:
            self.assertLessEqual(len(visit), graphs.IN_A_TICKET)
            self.assertLessEqual(set(visit), set(here))
        self.assertEqual(sum(map(len, visits)), len(set().union(*visits)))              # none twice

    def test_rendezvous(self):
        gx, gy, y = self.graphs["x"], self.graphs["y"], self.devices["y"]
        if not gx.relays():
            self.skipTest("this cloud has no relay")
        queue = gy.queue(y["links"]["rendezvous"])                  # GPH-122: who is called hears of it
        called = gx.ask_rendezvous(y)
        items, _ = gy.poll(queue, queue["watermark"], wait=10)
        self.assertEqual([i["resource"] for i in items], [y["links"]["rendezvous"]])
        listener, invitation = self.listener(), gy.rendezvous(y)[0]
        self.assertEqual(invitation["device"], self.devices["x"]["device"])
        self.assertEqual(invitation["circuit"], called["circuit"])

        def answer():
            sock = relay.join(relay.dial(invitation["relay"]), bytes.fromhex(invitation["pass"]))
            listener.serve(sock, "relay " + invitation["circuit"], bytes.fromhex(invitation["token"]))

        sock = relay.dial(called["relay"])
        self.assertTrue(relay.ping(sock))
        threading.Thread(target=answer, daemon=True).start()
        relay.join(sock, bytes.fromhex(called["pass"]))
        arguments, _ = self.initiator_arguments()
        c = peer.meet(sock, peer.prepare(*arguments, rdv_token=bytes.fromhex(called["token"])))
        c.send(b"through the relay")
        self.assertEqual(c.receive(), b"through the relay")
        c.close()
        with self.assertRaises(Failure) as caught:                  # RLY-004
            relay.join(relay.dial(called["relay"]), bytes.fromhex(called["pass"]))
        self.assertEqual(caught.exception.reason, "join-taken")

    # a device of another implementation

    @unittest.skipUnless(os.environ.get("MESH"), "MESH names no device agent")
    def test_another_implementation(self):
        """MESH as responder, then as initiator: handshake, records and sync, by tickets of the cloud. Each side does something in
        its folder before every session, and both have the same after it."""
        with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as trees:
            name = "theirs " + draw(4).hex()                        # another one each time, for the cloud keeps them
            tree = os.path.join(trees, name)
            os.mkdir(tree)

            def mesh(*words, **more):
                environment = {**os.environ, "MESH_PASSWORD": PASSWORD}
                return subprocess.run([os.environ["MESH"], "--home", home, *words], env=environment, capture_output=True,
                                      text=True, timeout=60, **more)
            for words in (["login", "--cloud", self.root, "--ca", self.ca, "--user", "ann"], ["device", "add", name],
                          ["folder", "add", tree]):
                done = mesh(*words)
                self.assertEqual(done.returncode, 0, done.stderr)
            theirs = next(d for d in self.ann.devices() if d["name"] == name)
            folder = next(f for f in self.ann.folders() if f["name"] == os.path.basename(tree))
            self.ann.folder_ticket(folder)                          # it was not there yet at the sign-in
            for one in "xy":
                self.ann.map(folder, self.devices[one])
            identifier = bytes.fromhex(folder["folder"])
            issuers = [key for keys in self.ann.grant.issuers().values() for key in keys]
            folders = {}
            for one in "xy":
                folders[one] = Folder(bytes.fromhex(self.devices[one]["device"]), identifier, os.path.join(trees, one), issuers,
                                      self.signers[one])
                for card in self.ann.writers(folder):
                    folders[one].writers.learn(*card)
                self.assertEqual(len(folders[one].writers.cards), 3)
            self.they_answer(theirs, tree, home, identifier, folders["x"])
            self.they_call(theirs, tree, mesh, identifier, folders["y"])

    def they_answer(self, theirs, tree, home, identifier, mine):
        draws, large = random.Random(1), draw(3_300_000)
        with open(os.path.join(tree, "large"), "wb") as f:
            f.write(large)
        said = open(os.path.join(home, "said"), "w+")
        self.addCleanup(said.close)
        serving = subprocess.Popen([os.environ["MESH"], "--home", home, "sync", "--serve", "--listen", "127.0.0.1:0",
                                    "--interval", "0"], stdout=said, stderr=said)
        try:
            queue = self.graphs["x"].queue(theirs["links"]["endpoints"])            # first, so that nothing is missed
            after = queue["watermark"]
            while not (found := self.initiator_arguments(theirs)[1])["addresses"]:
                self.assertIsNone(serving.poll(), "it has ended")
                _, after = self.graphs["x"].poll(queue, after, wait=10)
            host, port = found["addresses"][0].rsplit(":", 1)
            for suite in SUITES[::-1]:                              # the strongest last: weaker ones are refused after it
                arguments, _ = self.initiator_arguments(theirs)
                c = peer.dial(host, int(port), *arguments, suites=[suite])
                self.assertEqual(c.suite, suite)
                c.pad_to = 512
                c.key_update()
                c.renew(self.graphs["x"].renewal(theirs, arguments[4]))
                scribble(draws, mine.root)
                heard = spied(c)
                peer.sync(c, {identifier: mine}, arguments[4], arguments[2], arguments[3])
                said.seek(0)
                self.same(tree, mine.root, (heard, said.read()))
                kinds = [kind for kind, *_ in heard]
                cards = next((size for kind, size, _ in heard if kind == entries.WRITERS), 0)
                self.assertGreater(cards, 16 + 2, heard)            # SYN-061, in its first session too (D-125)
                self.assertLess(kinds.index(entries.WRITERS), kinds.index(entries.STATE))
            arguments, _ = self.initiator_arguments(theirs)
            c = peer.dial(host, int(port), *arguments)
            self.assertEqual(self.manifest(c, identifier, large), chunks.cut(large))        # section 4.7, how the reference cuts
            with self.assertRaises(Failure) as caught:              # HSK-045
                peer.dial(host, int(port), *self.initiator_arguments(theirs)[0], suites=[SUITES[-1]])
            self.assertEqual(caught.exception.code, 1)
        finally:
            serving.terminate()
            serving.wait()

    def same(self, tree, other, said):
        """As assertEqual of the contents, but what it says can be read."""
        one, two = ({path: data and (len(data), blake3(data[:1000].encode() if isinstance(data, str) else data[:1000]).hex()[:8])
                     for path, data in contents(root).items()} for root in (tree, other))
        self.assertEqual(one, two, said)
        self.assertTrue(contents(tree) == contents(other), said)

    def manifest(self, c, identifier, data):
        c.send(entries.message(entries.HELLO, b"\0\1", identifier))
        reader = entries.Messages()
        while True:
            for kind, body in reader.feed(c.receive()):
                if kind == entries.HELLO:
                    c.send(entries.message(entries.MANIFEST_REQUEST, bytes(4), identifier, blake3(data)))
                if kind == entries.MANIFEST:
                    c.close()
                    return chunks.read_manifest(body[4:], len(data))

    def they_call(self, theirs, tree, mesh, identifier, mine):
        seen, draws = [], random.Random(2)
        sync = peer.syncing({identifier: mine})

        def application(open_channel, responder):
            sync(open_channel, responder)
            seen.append((responder.grounds.initiator, responder.suite))

        listener = self.listener(application)
        listener.memory.always_retry = True
        self.graphs["y"].publish(self.devices["y"], ["%s:%d" % listener.address[:2]])
        for _ in range(12):
            scribble(draws, tree)
            scribble(draws, mine.root)
            seen.clear()
            done = mesh("sync")
            self.assertEqual(set(seen), {(theirs["device"], SUITES[0])}, done.stdout + done.stderr)     # one session or more
            self.same(tree, mine.root, done.stdout + done.stderr)
        self.graphs["y"].go_offline(self.devices["y"])
