"""The files of one folder: what a person does with them becomes changes (spec/sync.md section 3.1), and what others did with theirs
comes to the disk. Links are entries of their own, and nothing is read or written through one (SYN-034, SYN-131 to SYN-133).
"""

import contextlib
import json
import os
import threading

import ignore
import names
from blake3 import Blake3, blake3
from changes import Changes
from crypto import draw
from disk import WITH_BYTES, Item, by_depth, kind_of, seen_of, split, write_whole
from entries import DIRECTORY, EMPTY, FILE, LINK, LONGEST_TARGET, Content, Reader, Stamp
from forks import of_heads, read_fork
from ignore import Ignore
from placing import Placing
from proofs import Signer, greedy
from replica import Replica
from view import view
from writers import Writers


class Folder:
    """`root`: the directory; `state`: another one of the same file system, for what this device knows and for files on their way.
    `signer`: the device's signing key, one of this folder if there is none; `issuers`: SPKIs of who signs cards. One lock for
    everything, but nobody holds it while waiting for a peer."""

    def __init__(self, device, identifier, root, issuers=(), signer=None, state=None, log=lambda *words: None):
        self.root = os.path.realpath(root)
        self.state = state or os.path.join(os.path.dirname(self.root), f".{os.path.basename(self.root)}.mesh")
        self.device, self.log, self.lock = device, log, threading.RLock()
        for name in ("incoming", "partial", "moving"):
            os.makedirs(os.path.join(self.state, name), exist_ok=True)
        os.makedirs(self.root, exist_ok=True)
        signer = signer or self._signer()
        self.writers = Writers(identifier, issuers, (device, signer.key))
        self.replica, self.items, self.moving, self.told = Replica(device, identifier, signer), {}, {}, set()
        self.replica.forked, self.saved = self.writers.forks, None
        self.ignored, self.without_rules = Ignore(), False
        self._load()

    def at(self, path):
        return os.path.join(self.root, path)

    def tell(self, *words):
        """To the user, once."""
        if words not in self.told:
            self.told.add(words)
            self.log(*words)

    # ---- kept in a file ----

    def _signer(self):
        path = os.path.join(self.state, "signing.key")
        if not os.path.exists(path):
            write_whole(path, draw(32), 0o600)
        with open(path, "rb") as f:
            return Signer(f.read())

    def _load(self):
        with contextlib.suppress(FileNotFoundError):
            with open(os.path.join(self.state, "state.json")) as f:
                data = json.load(f)
            self.replica.load(data["replica"])
            self.writers.cards = {bytes.fromhex(d): (bytes.fromhex(k), bytes.fromhex(s)) for d, (k, s) in data["cards"].items()}
            for fork in (read_fork(Reader(bytes.fromhex(text))) for text in data.get("forks", ())):
                self.writers.forks[fork.writer] = fork
            for path, (identifier, kind, place, content, copy, seen) in data["items"].items():
                self.items[path] = Item(bytes.fromhex(identifier), kind, stamp_of(place), content and Content(
                    stamp_of(content[0]), *content[1:-1], bytes.fromhex(content[-1])), copy, tuple(seen))
            for number, path in data["moving"].items():             # stopped in the middle of a move: back to where it was
                with contextlib.suppress(OSError):
                    os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
                    os.rename(os.path.join(self.state, "moving", number), self.at(path))

    def save(self):
        content = lambda c: c and [text_of(c.stamp), *c[1:-1], c.hash.hex()]
        cards = {d.hex(): (key.hex(), signature.hex()) for d, (key, signature) in self.writers.cards.items()}
        data = {"replica": self.replica.to_json(), "cards": cards, "moving": self.moving,
                "forks": [fork.encode().hex() for fork in self.writers.forks.values()],
                "items": {p: [i.id.hex(), i.kind, text_of(i.place), content(i.content), i.copy, i.seen]
                          for p, i in self.items.items()}}
        data = json.dumps(data).encode()
        if data != self.saved:                                      # SYN-152: else it is on stable storage already
            write_whole(os.path.join(self.state, "state.json"), data)
            self.saved = data

    def begin_anew_if_lost(self, heads):
        """Section 4.6: whether a peer has seen changes by this device that it does not know of. Then it has begun anew."""
        head = heads.get(self.device)
        with self.lock:
            if not self.replica.lost_past(head):
                return False
            if head.counter in self.replica.chains:
                self.writers.learn_fork(of_heads(self.device, self.replica.own_head(head.counter), head))
            self._begin_anew(head.counter)
            return True

    def begin_anew_if_forked(self):
        """SYN-110, SYN-113: whether a fork of this device itself is known, and it had not begun anew since. Now it has."""
        with self.lock:
            fork = self.writers.own_fork()
            if not fork or not self.replica.before_now(fork.counter):
                return False
            self._begin_anew(fork.counter)
            return True

    def _begin_anew(self, counter):
        """What is on the disk comes up again once this device has what others have (SYN-140)."""
        self.tell("this device has lost what it knew of", self.root, "and begins anew")
        self.replica.begin_anew(counter)
        self.items = {}
        self.save()

    def take(self, *received):
        """Replica.take. Of who had begun anew, what is on the disk and in the view alike now is that entry, and what is otherwise
        on the disk is new beside it."""
        with self.lock:
            waited = self.replica.waits
            self.replica.take(*received)
            if waited and not self.replica.waits:
                self.scan()

    def is_greedy(self, entry):
        """SYN-160: whether an entry that is signed is ignored, for a change in it deleted more than anybody can see."""
        writer = greedy(entry.proofs)
        if writer:
            self.tell(entry.name, "is ignored: of its changes one deleted too much, by", writer.hex())
        return bool(writer)

    def tell_forks(self):
        for writer in self.writers.forks:
            self.tell("the device", writer.hex(), "signed two things under one number: it was restored or copied, or it lies")

    # ---- from the disk ----

    def scan(self):
        """Turn what happened on the disk since the last time into changes."""
        with self.lock:
            self._read_rules()
            if not self.replica.waits:                              # SYN-140
                found = self._walk()
                where = self._match(found)
                Changes(self, found, where).make()
            self.save()

    def _walk(self):
        """path -> stat, of the files, directories and links with names that others may be told."""
        found, waiting = {}, [""]
        while waiting:
            prefix = waiting.pop()
            for one in os.scandir(self.at(prefix)):
                path, found_here = prefix + one.name, one.stat(follow_symlinks=False)
                kind = kind_of(found_here)
                if kind is None or kind == LINK and not 1 <= found_here.st_size <= LONGEST_TARGET:
                    self.tell(path, "is no file, or a link that is too long: it stays here")
                elif not names.portable(one.name) or len(os.fsencode(path)) > names.LONGEST_PATH:
                    self.tell(repr(path), "has a name that is not portable: it stays here")
                elif not self.ignored(path, kind == DIRECTORY):     # SYN-080
                    found[path] = found_here
                    if kind == DIRECTORY:                           # never one behind a link (SYN-131)
                        waiting.append(path + "/")
        return found

    def _match(self, found):
        """Where the items are now: path in `items` -> path in `found`. SYN-036: a directory is known by its inode, a file by inode,
        size and time, or by its content; what has the same path and kind as before is the same if it is nothing else."""
        where, taken = {}, set()

        def expected(path):
            parent, name = split(path)
            if not parent:
                return name
            return where[parent] + "/" + name if parent in where else None

        def match(items, test, candidates):
            for path in by_depth(items):
                if path not in where:
                    for other in candidates(path):              # an inode may have become one of the other kind
                        if other in others and other not in taken and test(self.items[path], found[other]):
                            where[path] = other
                            taken.add(other)
                            break

        same_inode = lambda item, s: s.st_ino == item.seen[0]
        same_file = lambda item, s: seen_of(s)[:3] == item.seen[:3]
        in_place = lambda path: [expected(path)]
        for kind in (DIRECTORY, FILE, LINK):
            items = [p for p, i in self.items.items() if i.kind == kind and not self.ignored(p, kind == DIRECTORY)]
            others = {p for p, s in found.items() if kind_of(s) == kind}
            inodes = {}
            for p in others:
                inodes.setdefault(found[p].st_ino, []).append(p)
            known = {self.items[p].seen[0] for p in items}
            of_inode = lambda path: inodes.get(self.items[path].seen[0], ())
            if kind == DIRECTORY:
                for path in by_depth(items):                        # from the top: what is below goes with it
                    match([path], same_inode, lambda p: [*in_place(p), *of_inode(p)])
                    match([path], lambda item, s: s.st_ino not in known, in_place)
            else:
                match(items, same_inode, in_place)
                match(items, same_file, of_inode)
                match(items, lambda item, s: True, in_place)
                rest = [p for p in others if p not in taken]
                hashes = {}
                lost = [p for p in items if p not in where]
                sizes = {self.items[p].content.size for p in lost}
                for p in rest:
                    if found[p].st_size in sizes and found[p].st_size:
                        hashes.setdefault(self.hash(p)[0], []).append(p)
                match(lost, lambda item, s: True, lambda p: hashes.get(self.items[p].content.hash, ()))
        return where

    def hash(self, path):
        """(hash, stat) of a file that keeps still while it is read, or of a link, else (None, None)."""
        target, found = self.link(path)
        if target is not None:
            return blake3(target), found
        whole = Blake3()
        with contextlib.suppress(OSError), self.open(path) as f:
            before = os.fstat(f.fileno())
            while data := f.read(1 << 20):
                whole.update(data)
            if kind_of(before) == FILE and seen_of(before) == seen_of(os.fstat(f.fileno())):
                return whole.digest(), before
        return None, None

    @contextlib.contextmanager
    def _directory(self, path):
        """A descriptor of the directory that a path is in; no component may be a symbolic link (SYN-034)."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in path.split("/")[:-1]:
                below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def open(self, path):
        """A file of the folder, for reading."""
        with self._directory(path) as directory:
            file = os.open(path.split("/")[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        with os.fdopen(file, "rb") as f:
            yield f

    def link(self, path):
        """(target, stat) of a link of the folder, (None, None) of what is none."""
        with contextlib.suppress(OSError), self._directory(path) as directory:
            name = os.fsencode(path.split("/")[-1])
            target = os.readlink(name, dir_fd=directory)
            return target, os.stat(name, dir_fd=directory, follow_symlinks=False)
        return None, None

    # ---- for peers ----

    def size_of(self, digest):
        with self.lock:
            return next((c.size for _, _, c in self._holders(digest)), None)

    def _holders(self, digest):
        """[(path, item, content)] of what has these bytes, on the disk or, with None for both, of a link that is not made."""
        found = [(p, i, i.content) for p, i in self.items.items() if i.kind in WITH_BYTES and i.content.hash == digest]
        if os.path.exists(self.incoming(digest)):
            found += [(None, None, s.content) for s in self.desired().values() if s.kind == LINK and s.content.hash == digest]
        return found

    def read(self, digest, offset, length):
        """Bytes of a content, or None if it is not here or changed (SYN-032)."""
        with self.lock:
            holders = self._holders(digest)
        for path, item, content in holders:
            if item is None:
                with contextlib.suppress(OSError), open(self.incoming(digest), "rb") as f:
                    return f.read()[offset:offset + length]
                continue
            if item.kind == LINK:
                target, found = self.link(path)
                if target is not None and seen_of(found) == item.seen:
                    return target[offset:offset + length]
                continue
            with contextlib.suppress(OSError), self.open(path) as f:
                before = seen_of(os.fstat(f.fileno()))[:3]
                f.seek(min(offset, content.size))                   # a file system does not take every number
                data = f.read(length)
                if before == item.seen[:3] == seen_of(os.fstat(f.fileno()))[:3]:
                    return data
        return None

    def keeps(self, digest):
        """SYN-151: whether each path that shows a content, one at least (D-141), has it on this disk, and is not ignored. A link that
        is kept and not made counts as there."""
        def here(path, shown):
            item = self.items.get(path)
            if self.ignored(path, False):
                return False
            if item and item.content and item.content.hash == digest:
                return not self.touched(path)
            return shown.kind == LINK and os.path.exists(self.incoming(digest))
        with self.lock:
            found = [here(path, shown) for path, shown in view(self.replica.entries).items()
                     if shown.kind in WITH_BYTES and shown.content.hash == digest]
            return bool(found) and all(found)

    def whole(self, digest):
        size = self.size_of(digest)
        return None if size is None else self.read(digest, 0, size)

    # ---- to the disk ----

    def _read_rules(self):
        """The patterns in force are those of the file on this disk."""
        data = b""
        with contextlib.suppress(OSError), self.open(ignore.NAME) as f:
            data = f.read(ignore.COUNTS + 1)
        self.ignored = Ignore(data)

    def desired(self):
        """What of the view belongs on this disk (SYN-081)."""
        return {path: shown for path, shown in view(self.replica.entries).items()
                if not self.ignored(path, shown.kind == DIRECTORY)}

    def rules_to_come(self):
        """The hash of a new `.meshignore` that is not here yet; None too if nobody has it (SYN-083)."""
        shown, item = self.desired().get(ignore.NAME), self.items.get(ignore.NAME)
        if not shown or shown.kind != FILE or item and item.content and item.content.hash == shown.content.hash:
            return None
        return shown.content.hash if not self.without_rules and shown.content.hash in self.wanted() else None

    def wanted(self):
        """The contents that the disk lacks: hash -> (entry, content, the hash of the file in its place or None)."""
        with self.lock:
            have = {i.content.hash for i in self.items.values() if i.kind in WITH_BYTES} | {EMPTY}
            came = set(os.listdir(os.path.dirname(self.incoming(EMPTY))))
            mains = {i.id: i.content.hash for i in self.items.values() if i.kind == FILE and not i.copy}
            return {s.content.hash: (s.id, s.content, None if s.copy else mains.get(s.id)) for s in self.desired().values()
                    if s.kind in WITH_BYTES and s.content.size and s.content.hash not in have
                    and s.content.hash.hex() not in came}

    def incoming(self, digest):
        return os.path.join(self.state, "incoming", digest.hex())

    def partial(self, digest):
        return os.path.join(self.state, "partial", digest.hex())

    def apply(self):
        """Bring the disk to the view, as far as the contents are here; what says what is ignored before all else (SYN-083)."""
        with self.lock:
            if not self.replica.waits and not self.rules_to_come():
                Placing(self, only=ignore.NAME).run()
                self._read_rules()
                Placing(self).run()
            self.save()

    def touched(self, path):
        """Whether a person did something with an item that no scan has seen."""
        try:
            return seen_of(os.lstat(self.at(path))) != self.items[path].seen
        except OSError:
            return True


def text_of(stamp):
    return [stamp.lamport, stamp.writer.hex(), stamp.counter]


def stamp_of(data):
    return Stamp(data[0], bytes.fromhex(data[1]), data[2])
