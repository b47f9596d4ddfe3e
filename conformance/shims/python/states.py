"""The cloud as a replica: spec/sync.md section 4.10, and what spec/storage.md asks of a device: sections 4.5 and, of an encrypted
folder, 3.1 and 3.2. Nothing that the cloud says is believed: it passes on what devices signed.
"""

import base64
import contextlib
import json
import os

import folder_keys
import sealed
import storage
from blake3 import blake3
from cloud import Problem
from crypto import Failure
from disk import WITH_BYTES, write_whole
from entries import DIRECTORY, FILE, LINK, NOTHING, Reader, covers, entry_of, join, read_head, write_head
from replica import hex_of, unhex

ATTEMPTS = 5                            # of 1 to 4, when others write at the same time
KINDS = {FILE: "file", DIRECTORY: "directory"}                      # in the graph a link is a file (sync.md section 4.5)


def ring_of(graph, document, folder, private_key, known=()):
    """The keys of a folder of the graph (section 3.2), or None if it is not encrypted. `known`: those that are here already."""
    if not document["encrypted"]:
        return None
    record = base64.b64decode(graph.get(document["links"]["key"])["record"])
    writer = folder.writers.key_of(folder_keys.read(record).writer)
    if writer is None:
        raise Failure("folder-key-unsigned", "STO-071", "nobody vouches for the writer")
    identifier = bytes.fromhex(document["folder"])
    return sealed.Ring(identifier, folder_keys.open_with_device(identifier, record, writer, folder.device, private_key, known))


def encrypt(graph, document, folder, keys, publics=()):
    """A record of these keys, wrapped for every device on which the folder is mapped (STO-077); the first encrypts the folder."""
    wraps = {bytes.fromhex(m["device"]): base64.b64decode(m["spki"]) for m in graph.items(document["links"]["mappings"])}
    record = folder_keys.write(bytes.fromhex(document["folder"]), keys, folder.device, folder.replica.signer, wraps, publics)
    headers = {}
    if document["encrypted"]:
        headers = {"If-Match": graph.request("GET", document["links"]["key"]).etag}
    graph.request("PUT", document["links"]["key"], {"record": base64.b64encode(record).decode()}, headers)


class CloudReplica:
    """One folder.Folder and its cloud. `document`: the folder in the graph; `ring`: of an encrypted folder, a sealed.Ring. What was
    shown or taken is kept beside the folder."""

    def __init__(self, graph, document, folder, role="owner", ring=None):
        self.graph, self.document, self.links = graph, document, document["links"]
        self.folder, self.reads, self.ring = folder, role == "reader", ring
        self.path = os.path.join(folder.state, "cloud.json")
        self.versions, self.heads, self.watermark = {}, {}, None    # the furthest, by identifier and by device
        self.shown, self.refused = {}, set()                        # node -> (etag, entry or None); nodes not ours to replace
        with contextlib.suppress(FileNotFoundError):
            with open(self.path) as f:
                data = json.load(f)
            if data["sealed"] and not ring:                         # STO-079
                raise ValueError("this folder is encrypted, and the cloud denies it")
            if ring and not data["sealed"]:                         # SYN-087: the cloud forgets such a folder, too, once
                return
            self.versions = {bytes.fromhex(i): unhex(v) for i, v in data["versions"].items()}
            self.heads = {d: read_head(Reader(bytes.fromhex(text)))[1] for d, text in
                          ((bytes.fromhex(d), text) for d, text in data["heads"].items())}

    def _save(self):
        data = {"sealed": bool(self.ring), "versions": {i.hex(): hex_of(v) for i, v in self.versions.items()},
                "heads": {d.hex(): write_head(d, h).hex() for d, h in self.heads.items()}}
        write_whole(self.path, json.dumps(data).encode())

    def _tell(self, error, *words):
        self.folder.tell(error, self.graph.cloud.root, *words)

    def sync(self):
        with self.folder.lock:
            self.folder.scan()
            for _ in range(ATTEMPTS):
                self._read()
                if self.folder.begin_anew_if_forked():              # SYN-110: a state shows it, and all begins again at 1
                    continue
                self.folder.apply()
                self._fetch()
                self.folder.apply()
                if self.reads or self._put():
                    break
            if not self.reads:
                self._bring()
            self._save()
            self.folder.save()

    # ---- names and seals ----

    def node(self, identifier):
        return (self.ring.identifier(identifier) if self.ring else identifier).hex()

    def _open(self, kind, node, text):
        data = base64.b64decode(text)
        return self.ring.open(kind, bytes.fromhex(node), data) if self.ring else data

    def _sealed(self, kind, node, data):
        return base64.b64encode(self.ring.seal(kind, bytes.fromhex(node), data) if self.ring else data).decode()

    # ---- 1 and 2: what the cloud has ----

    def _read(self):
        heads = self._read_heads()
        known, self.watermark, whole = self._delta()
        nodes = {item["entry"] for item in known}
        if whole:                                                   # SYN-087: what is not there any more
            self.shown = {node: shown for node, shown in self.shown.items() if node in nodes}
            for identifier in self.versions:
                if self.node(identifier) not in nodes:
                    self._tell("cloud-rolled-back", "SYN-087", "a state is gone")
        for item in known:
            self._read_state(item)
        self._take()
        for device, head in heads.items():                          # SYN-088
            if not any(v.get(device, 0) >= head.counter for v in self.versions.values()):
                self._tell("cloud-withholds", "SYN-088", device.hex())

    def _delta(self):
        """(items, watermark, whether these are all)"""
        try:
            return *self.graph.delta_of(self.links["states_sync"], self.watermark), not self.watermark
        except Problem as problem:
            if problem.status != 410 or not self.watermark:
                raise
            return *self.graph.delta_of(self.links["states_sync"]), True

    def _read_heads(self):
        """device -> Head, of those whose writer is known."""
        writers, found, self.head_etag = self.folder.writers, {}, None
        for item in self.graph.items(self.links["heads"]):
            if item["device"] == self.folder.device.hex():
                self.head_etag = item["etag"]
            try:
                reader = Reader(self._open(sealed.HEAD, item["device"], item["head"]))
                device, head = read_head(reader)
                reader.end()
                if device.hex() != item["device"]:
                    raise Failure("cloud-forged", "SYN-086", "the head of another device")
                checked = writers.check_heads({device: head}, {**self.folder.replica.heads, **self.heads})
            except Failure as failure:
                self._tell("cloud-forged", "SYN-086", str(failure))
                continue
            found |= checked
        for device, head in self.heads.items():
            if device not in found or found[device].counter < head.counter:
                self._tell("cloud-rolled-back", "SYN-087", "the head of", device.hex())
        self.heads |= {d: h for d, h in found.items() if d not in self.heads or h.counter > self.heads[d].counter}
        self.folder.tell_forks()
        self.folder.begin_anew_if_lost(found)
        self.folder.begin_anew_if_forked()
        return found

    def _read_state(self, item):
        node = item["entry"]
        try:
            entry = entry_of(self._open(sealed.STATE, node, item["state"]))
            if self.node(entry.id) != node:
                raise Failure("cloud-forged", "SYN-086", "the state of another entry")
        except Failure as failure:
            self._tell("cloud-forged", "SYN-086", str(failure))
            entry = None
        self.shown[node] = item["etag"], entry

    def _take(self):
        """All that was shown and is not taken yet, also what waited for a card."""
        replica, received = self.folder.replica, []
        self.refused.clear()
        for node, (etag, entry) in self.shown.items():
            if entry is None or entry == replica.entries.get(entry.id):
                continue
            try:
                good = self.folder.writers.check(entry, replica.entries.get(entry.id))
            except Failure as failure:
                self._tell("cloud-forged", "SYN-086", str(failure))
                self.shown[node] = etag, None
                continue
            if not good or self.folder.is_greedy(entry):            # no card yet, a fork (SYN-110), or SYN-160
                self.refused.add(node)
                continue
            received.append(entry)
            if not covers(entry.version, self.versions.get(entry.id, {})):
                self._tell("cloud-rolled-back", "SYN-087", entry.name)
        for _, entry in self.shown.values():
            if entry and self.node(entry.id) not in self.refused:
                self._furthest(entry)
        self.folder.tell_forks()
        mine = replica.digests()
        self.folder.take(None, sorted(received), mine, 0, {}, mine, self.refused)       # SYN-085: as of a STATE not complete

    def _furthest(self, entry):
        self.versions[entry.id] = join(entry.version, self.versions.get(entry.id, {}))

    # ---- 3: contents ----

    def _fetch(self):
        """STO-051, STO-052."""
        media = None
        for digest, (identifier, content, _) in self.folder.wanted().items():
            name = digest.hex()
            if self.ring:
                media = media or {e["entry"]: e for e in self.graph.entries(self.document) if not e.get("deleted")}
                name = media.get(self.node(identifier), {}).get("hash")
            try:
                data = name and self.graph.request("GET", storage.media_path(self.document, name)).body
            except Problem as problem:
                if problem.status != 404:
                    raise
                continue
            if not data:
                continue
            try:
                if self.ring:
                    data = self.ring.open_content(digest, data)
                elif blake3(data) != digest:
                    raise Failure("content-hash", "STO-052")
            except Failure as failure:                              # sealed-forged, too, when the cloud has an older content
                self._tell(str(failure), name)
                continue
            write_whole(self.folder.incoming(digest), data)

    # ---- 4 and 5: what the cloud has not ----

    def _put(self):
        """Whether nobody else came between. A state that was left out stays, and so does the head if it counts what is not there."""
        replica, me, counted = self.folder.replica, self.folder.device, True
        for identifier, entry in sorted(replica.entries.items()):
            node = self.node(identifier)
            etag, shown = self.shown.get(node, (None, None))
            if shown == entry:
                continue
            state = self._sealed(sealed.STATE, node, entry.encode())
            if node in self.refused or shown and not covers(entry.version, shown.version):
                counted = counted and (shown.version if shown else {}).get(me, 0) >= entry.version.get(me, 0)
                continue
            try:
                answer = self.graph.request("PUT", f"{self.links['states']}/{node}", {"state": state}, {"If-Match": etag} if etag else {})
            except Problem as problem:
                if problem.status not in (412, 428):
                    raise
                self.watermark = None if problem.status == 428 else self.watermark
                return False
            self.shown[node] = answer.etag, entry
            self._furthest(entry)
        own, name = replica.known_heads().get(me), me.hex()
        if own and counted and self.heads.get(me) != own:
            body = {"head": self._sealed(sealed.HEAD, name, write_head(me, own))}
            self.graph.request("PUT", f"{self.links['heads']}/{name}", body, {"If-Match": self.head_etag} if self.head_etag else {})
            self.heads[me] = own
        return True

    def _bring(self):
        """The entries of the graph, and the bytes that the cloud lacks."""
        known = {e["entry"]: e for e in self.graph.entries(self.document)}
        desired = self.folder.desired()
        for path, item in self.folder.items.items():
            shown = desired.get(path)
            if item.copy or not shown or (shown.id, shown.content) != (item.id, item.content):      # others have newer
                continue
            entry, node = self.folder.replica.entries[item.id], self.node(item.id)
            data = self.folder.whole(item.content.hash) if item.kind in WITH_BYTES else None
            if item.kind in WITH_BYTES and data is None:
                continue
            body, data = self._graph_entry(path, item, node, data)
            old = known.get(node, {})
            body["version"] = {d.hex(): c for d, c in entry.version.items()}
            if not all(old.get(k, 0 if k == "size" else None) == body[k] for k in body if k != "properties"):
                with contextlib.suppress(Problem):                  # another device was there before
                    self.graph.put_entry(self.document, {**body, "entry": node}, old.get("etag"))
            if data is not None and (old.get("cloud"), old.get("hash")) != ("stored", body["hash"]):
                with contextlib.suppress(Problem):                  # STO-050: no room for this one
                    storage.put(self.graph, self.document, data)
        for identifier, entry in self.folder.replica.entries.items():
            old = known.get(self.node(identifier))
            if entry.tombstone and old and not old.get("deleted"):
                with contextlib.suppress(Problem):
                    self.graph.delete_entry(old)

    def _graph_entry(self, path, item, node, data):
        """(what the graph is told of an entry, the bytes that it names)"""
        digest = item.content.hash if data is not None else NOTHING
        kind = FILE if item.kind == LINK else item.kind
        body = {"path": path, "kind": KINDS[kind]}
        if self.ring:
            content = sealed.write_entry(path, kind, len(data or b""), digest)
            body = {"path": node, "kind": KINDS[kind], "properties": {"sealed": self._sealed(sealed.ENTRY, node, content)}}
            data = data if data is None else self.ring.seal(sealed.CONTENT, digest, data)
        if data is not None:
            body |= {"size": len(data), "hash": blake3(data).hex()}
        return body, data
