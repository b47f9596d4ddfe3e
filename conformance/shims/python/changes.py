"""What happened on the disk as changes of entries: spec/sync.md section 3.1, the list at its end, and section 4.5."""

import stat
from dataclasses import replace

from disk import PERMISSIONS, Item, by_depth, kind_of, seen_of, split
from entries import DIRECTORY, NOTHING, ROOT
from replica import Uncountable


class Changes:
    """`found`: path -> stat, all that is on the disk now; `where`: the path of an item at the last scan -> its path now."""

    def __init__(self, folder, found, where):
        self.folder, self.replica, self.found, self.where = folder, folder.replica, found, where
        self.before, self.after = folder.items, {}
        self.back = {now: path for path, now in where.items()}
        self.ids = {"": ROOT}                                       # of the directories, by their paths now
        self.on_disk = {(i.id, i.copy) for i in self.before.values()}
        self.shown = folder.desired()
        self.lost_main = set()                                      # entries that were edited or deleted

    def make(self):
        for path, item in self.before.items():
            if self.folder.ignored(path, item.kind == DIRECTORY):             # SYN-080
                self.after[path] = item
            elif path not in self.where:
                self._count(path, item, self._delete, item)
        directories = [p for p, s in self.found.items() if kind_of(s) == DIRECTORY]
        files = [p for p, s in self.found.items() if kind_of(s) != DIRECTORY]
        for path in by_depth(directories):
            self._take(path, self._directory)
        copies = [p for p in files if p in self.back and self.before[self.back[p]].copy]
        for path in files:
            if path not in copies:
                self._take(path, self._file)
        for path in copies:
            self._take(path, self._copy)
        self.folder.items = self.after

    def _count(self, path, item, change, *arguments):
        """A change that cannot be counted leaves things as they were, and is tried again the next time."""
        try:
            change(*arguments)
        except Uncountable:
            self.folder.tell(path, "has been changed by too many devices: the change stays here")
            if item:
                self.after[path] = item

    def _take(self, path, change):
        if split(path)[0] in self.ids:
            item = self.before.get(self.back.get(path))
            if item and item.id not in self.replica.entries:        # forgotten, and still here because somebody touched it
                item = None
            self._count(path, item, change, path, item)

    def _delete(self, item):
        if item.id not in self.replica.entries:
            return
        if item.copy:
            self.replica.release(item.id, item.content)
        else:
            self.replica.delete(item.id, item.place, item.content)
            self.lost_main.add(item.id)

    def _is_where_it_was(self, path):
        """Whether it is in the same directory, whatever that is called now, and under the same name as before."""
        (parent, name), (old_parent, old_name) = split(path), split(self.back[path])
        return (self.ids[parent], name) == (self.before[old_parent].id if old_parent else ROOT, old_name)

    def _moved(self, path, item):
        """The item, with a new place if it was moved or renamed."""
        if self._is_where_it_was(path):
            return item
        parent, name = split(path)
        return replace(item, place=self.replica.move(item.id, self.ids[parent], name).stamp)

    def _new(self, path, kind, fields):
        """An entry for something that is new here; what the view has at this path, but was not on this disk, is that entry."""
        parent, name = split(path)
        shown = self.shown.get(path)
        if (shown and shown.kind == kind and (shown.id, shown.copy) not in self.on_disk and shown.id in self.replica.entries
                and (kind == DIRECTORY or shown.content.hash == fields["hash"])):
            return Item(shown.id, kind, self.replica.entries[shown.id].stamp, shown.content, shown.copy, None)
        entry = self.replica.new(self.ids[parent], name, **fields)
        return Item(entry.id, kind, entry.stamp, entry.contents[0], False, None)

    def _directory(self, path, item):
        found = self.found[path]
        if item:
            self.ids[path] = item.id                                # before a move that cannot be counted
            item = self._moved(path, item)
        else:
            item = self._new(path, DIRECTORY, fields_of(DIRECTORY, found, 0, NOTHING))
            self.ids[path] = item.id
        self.after[path] = replace(item, seen=seen_of(found))

    def _file(self, path, item):
        if item:
            self.after[path] = item = self._moved(path, item)
            if seen_of(self.found[path]) == item.seen:
                return
        fields, seen = self._fields(path)
        if fields is None:                                          # being written, or gone again: the next scan sees it
            return
        if not item:
            item = self._new(path, fields["kind"], fields)
        elif fields["hash"] != item.content.hash or seen[3:] != item.seen[3:]:        # SYN-163
            item = replace(item, content=self.replica.edit(item.id, item.content, **fields))
            self.lost_main.add(item.id)
        self.after[path] = replace(item, seen=seen)

    def _copy(self, path, item):
        """A copy becomes an entry of its own when it is touched, or when the entry is edited or deleted."""
        if not item:
            return self._file(path, None)
        seen, touched = seen_of(self.found[path]), seen_of(self.found[path]) != item.seen
        fields = {name: getattr(item.content, name) for name in ("kind", "mode", "mtime", "size", "hash")}
        if touched:
            fields, seen = self._fields(path)
            if fields is None:
                self.after[path] = item
                return
            touched = fields["hash"] != item.content.hash or seen[3:] != item.seen[3:]
        if not touched and item.id not in self.lost_main and self._is_where_it_was(path):
            self.after[path] = replace(item, seen=seen)
            return
        parent, name = split(path)
        entry = self.replica.new(self.ids[parent], name, **fields)
        self.after[path] = Item(entry.id, fields["kind"], entry.stamp, entry.contents[0], False, seen)
        self.replica.release(item.id, item.content)

    def _fields(self, path):
        """(the fields of a content, what was seen) of a link, or a file that keeps still while it is read, else (None, None)."""
        digest, found = self.folder.hash(path)
        if digest is None:
            return None, None
        return fields_of(kind_of(found), found, found.st_size, digest), seen_of(found)


def fields_of(kind, found, size, digest):
    """The fields of a content, of what was found on the disk. What is before 1970 is 0."""
    return {"kind": kind, "mode": stat.S_IMODE(found.st_mode) & PERMISSIONS, "mtime": max(found.st_mtime_ns, 0), "size": size, "hash": digest}
