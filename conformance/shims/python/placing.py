"""The view of a folder on the disk. A person may be at work in the folder meanwhile: what no scan has seen is left alone."""

import contextlib
import os
import shutil
import time

from disk import WITH_BYTES, Item, by_depth, dress, kind_of, leads_out, same_place_outside, seen_of, write_whole
from entries import DIRECTORY, EMPTY, FILE, LINK

PARTIAL_LIVES = 7 * 24 * 3600           # SYN-075
REPLACED_LIVES = 7 * 24 * 3600          # SYN-141


class Placing:
    """`folder` has its lock. Files that move are set aside first, so that they can change places; the journal `folder.moving`
    brings them back if this program stops before the end. `only`: nothing but this path."""

    def __init__(self, folder, only=None):
        self.folder, self.entries = folder, folder.replica.entries
        self.desired = {path: shown for path, shown in folder.desired().items() if only in (None, path)}
        self.items = folder.items
        # Not to be touched: what a person has touched, and what is ignored (SYN-082).
        self.frozen = {path for path, item in self.items.items() if only not in (None, path) or folder.touched(path)
                       or folder.ignored(path, item.kind == DIRECTORY)}
        self.everything = only is None
        self.came = set(os.listdir(os.path.dirname(folder.incoming(EMPTY))))            # hashes, in hexadecimal
        self.held = {item.content.hash for item in self.items.values() if item.kind in WITH_BYTES} | {EMPTY}
        self.aside = {}                                             # old path -> where the file is now

    def run(self):
        sources = self._sources()
        staying = {path for path, (kind, _) in sources.items() if kind == "stay"}
        moving = {old for kind, old in sources.values() if kind == "move"}
        before = dict(self.items)
        self._set_aside(moving)
        for path in [p for p, i in self.items.items() if i.kind in WITH_BYTES and p not in self.frozen | staying]:
            if sources.get(path, ("",))[0] != "incoming":           # which replaces it in one step
                self._keep(path, self.folder.at(path))
                self._remove(path, os.unlink)
        for path in reversed(by_depth(p for p, i in self.items.items() if i.kind == DIRECTORY)):
            if path not in self.frozen and (path not in self.desired or self.desired[path].kind != DIRECTORY):
                self._remove(path, os.rmdir)
        for path in by_depth(p for p, s in self.desired.items() if s.kind == DIRECTORY):
            self._make_directory(path)
        for path, (kind, source) in sources.items():
            if kind == "stay":
                self._record(path, self.items[path].content)
            elif self._clear(path):                                 # SYN-031: the file gets its name in one step
                if path in self.items:
                    self._keep(path, self.folder.at(path))
                os.replace(self.aside.pop(source) if kind == "move" else self._fresh(path), self.folder.at(path))
                self._record(path, before[source].content if kind == "move" else self.desired[path].content)
        for old, name in self.aside.items():                        # whatever had no place after all
            self._back(old, name, before[old])
        self.folder.moving = {}
        if self.everything:
            self._tidy()

    # ---- what goes where ----

    def _sources(self):
        """path -> ("stay", None), ("move", old path) or ("incoming", hash), for every file that can be shown now."""
        free = {}                                                   # (entry, kind, hash) -> paths
        for path, item in self.items.items():
            if item.kind in WITH_BYTES and path not in self.frozen:
                free.setdefault((item.id, item.kind, item.content.hash), []).append(path)
        files = [(p, s) for p, s in self.desired.items() if s.kind in WITH_BYTES and p not in self.frozen]
        sources, rest = {}, []
        for path, shown in files:
            key = shown.id, shown.kind, shown.content.hash
            if path in free.get(key, ()):
                free[key].remove(path)
                sources[path] = ("stay", None)
            elif shown.kind != LINK or self._may_be(path, shown, free.get(key, ())):
                rest.append((path, shown))
        for path, shown in rest:
            old = free.get((shown.id, shown.kind, shown.content.hash))
            if old:
                sources[path] = ("move", old.pop())
            elif self._have(shown.content):
                sources[path] = ("incoming", shown.content.hash)
        for path, shown in rest:                                    # the old content stays until the new one is here
            if path not in sources and not shown.copy:
                old = next((p for (i, *_), paths in free.items() if i == shown.id for p in paths if not self.items[p].copy), None)
                if old:
                    free[shown.id, self.items[old].kind, self.items[old].content.hash].remove(old)
                    sources[path] = ("stay", None) if old == path else ("move", old)
        return sources

    def _have(self, content):
        """Whether the bytes are among what came in; what another file of the folder has is put there."""
        if content.hash.hex() in self.came:
            return True
        if content.hash not in self.held:
            return False
        data = b"" if content.hash == EMPTY else self.folder.whole(content.hash)
        if data is None or len(data) != content.size:
            return False
        write_whole(self.folder.incoming(content.hash), data)
        self.came.add(content.hash.hex())
        return True

    def _may_be(self, path, shown, before):
        """SYN-042: whether a link may be made; of one that may not, the target is kept, and given to others. `before`: where it is,
        for one that led to the same place there was made by who uses this device."""
        if not self._have(shown.content):
            return True                                             # nobody can tell yet
        with open(self.folder.incoming(shown.content.hash), "rb") as f:
            target = f.read()
        if leads_out(path, target) and not any(same_place_outside(old, path, target) for old in before):
            self.folder.tell(path, "is a link that leads out of the folder: it is not made here")
            return False
        return True

    # ---- the disk ----

    def _clear(self, path):
        """Whether the directory of a path is one, and not somewhere else by a symbolic link; and nothing is in the way but what
        this device put there."""
        if not self._way(path):
            return False
        if not os.path.lexists(self.folder.at(path)):
            return True
        return (path in self.items and path not in self.frozen and self.items[path].kind in WITH_BYTES
                and not self.folder.touched(path))

    def _way(self, path):
        """SYN-133."""
        at = self.folder.root
        for name in path.split("/")[:-1]:
            at = os.path.join(at, name)
            if not os.path.isdir(at) or os.path.islink(at):
                return False
        return True

    def _set_aside(self, paths):
        self.folder.moving = {str(n): path for n, path in enumerate(sorted(paths))}
        if paths:
            self.folder.save()
        for number, path in self.folder.moving.items():
            name = os.path.join(self.folder.state, "moving", number)
            os.rename(self.folder.at(path), name)
            self.aside[path] = name
            del self.items[path]

    def _back(self, path, name, item):
        if not os.path.lexists(self.folder.at(path)) and self._clear(path):
            os.rename(name, self.folder.at(path))
            self.items[path] = item
        elif item.kind == LINK:
            write_whole(self.folder.incoming(item.content.hash), os.readlink(os.fsencode(name)))
            os.unlink(name)
        else:
            self._keep(path, name)
            os.replace(name, self.folder.incoming(item.content.hash))

    def _keep(self, path, at):
        """SYN-141: the bytes of a file that goes, under its name in a directory of the time at which it went."""
        found = os.lstat(at)
        if kind_of(found) == FILE and found.st_size:
            directory = os.path.join(self.folder.state, "replaced", str(time.time_ns()))
            os.makedirs(directory)
            os.link(at, os.path.join(directory, os.path.basename(path)))

    def _remove(self, path, remove):
        with contextlib.suppress(OSError):                          # a directory with something that is not shared stays
            remove(self.folder.at(path))
            del self.items[path]

    def _make_directory(self, path):
        at = self.folder.at(path)
        if path in self.frozen:
            return
        content, was = self.desired[path].content, self.items.get(path)
        if not os.path.lexists(at) and self._clear(path):
            os.mkdir(at)
            if content:
                dress(at, content)
        if self._way(path) and os.path.isdir(at) and not os.path.islink(at):
            self._record(path, was.content if was and was.content else content)

    def _fresh(self, path):
        """A copy of what came in, as the file will be."""
        content, name = self.desired[path].content, os.path.join(self.folder.state, "moving", "new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if content.kind == LINK:                                    # SYN-132
            with open(self.folder.incoming(content.hash), "rb") as f:
                os.symlink(f.read(), os.fsencode(name))
            return name
        shutil.copyfile(self.folder.incoming(content.hash), name)
        dress(name, content)
        with open(name, "rb") as f:
            os.fsync(f.fileno())
        return name

    def _record(self, path, content):
        shown, at = self.desired[path], self.folder.at(path)
        if content and shown.content and content.same_bytes(shown.content):
            other = (content.mode, content.mtime) != (shown.content.mode, shown.content.mtime)
            if other and content.kind != LINK and (path not in self.items or not self.folder.touched(path)):
                dress(at, shown.content)
            content = shown.content                                 # the same bytes, perhaps of another change
        kind = content.kind if content else shown.kind              # that of the old one, as long as it stays
        self.items[path] = Item(shown.id, kind, self.entries[shown.id].stamp, content, shown.copy,
                                seen_of(os.lstat(at)))

    def _tidy(self):
        """What came in and has its place; and what of a transfer was kept for too long, or for nothing."""
        here = {i.content.hash.hex() for i in self.items.values() if i.kind in WITH_BYTES}
        here -= {s.content.hash.hex() for p, s in self.desired.items() if s.kind == LINK and p not in self.items}
        needed = {s.content.hash.hex() for s in self.desired.values() if s.kind in WITH_BYTES}
        for name in os.listdir(os.path.join(self.folder.state, "incoming")):
            if name in here or name not in needed:
                os.unlink(os.path.join(self.folder.state, "incoming", name))
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(replaced := os.path.join(self.folder.state, "replaced")):
                if int(name) < time.time_ns() - REPLACED_LIVES * 10 ** 9:
                    shutil.rmtree(os.path.join(replaced, name))
        for name in os.listdir(os.path.join(self.folder.state, "partial")):
            path = os.path.join(self.folder.state, "partial", name)
            if name[:64] not in needed or time.time() - os.stat(path).st_mtime > PARTIAL_LIVES:
                os.unlink(path)
