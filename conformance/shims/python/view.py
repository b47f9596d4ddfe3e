"""The paths of a folder's entries: spec/sync.md section 4.4. Nothing but the entries goes in."""

from collections import defaultdict, namedtuple

import names
from entries import DIRECTORY, ROOT

# What is shown at a path. `content` is None for a directory that is only shown because of what is in it.
Shown = namedtuple("Shown", "id kind content copy")


def view(entries):
    """path -> Shown, for a dictionary identifier -> Entry."""
    parents = _parents(entries)
    shown = _shown(entries, parents)
    holders = {parents[i] for i in shown}
    inside = defaultdict(list)
    for i in shown:
        inside[parents[i]].append(entries[i])
    out = {}
    waiting = [(ROOT, "")]
    while waiting:
        directory, prefix = waiting.pop()
        for name, item in _name(inside[directory], holders).items():
            if len((prefix + name).encode()) > names.LONGEST_PATH:
                continue                                            # rule 6
            out[prefix + name] = item
            if item.kind == DIRECTORY and not item.copy:
                waiting.append((item.id, prefix + name + "/"))
    return out


def _parents(entries):
    """Rule 1: the parent of each entry, where a cycle is broken the folder itself (SYN-038)."""
    parents = {i: e.parent for i, e in entries.items()}
    done = set()
    for start in entries:
        way, i = [], start
        while i in entries and i not in done:
            done.add(i)
            way.append(i)
            i = parents[i]
        if i in way:                                                # this way has run into itself
            cycle = way[way.index(i):]
            parents[max(cycle, key=lambda i: (entries[i].stamp, i))] = ROOT
    return parents


def ancestors(identifier, parents):
    """From the parent up, as far as it is known, without the folder itself."""
    while (identifier := parents.get(identifier, ROOT)) != ROOT:
        yield identifier


def _shown(entries, parents):
    """Rule 2: the living entries that have a way to the folder (SYN-040), and what they are in (SYN-039)."""
    shown = set()
    for i, entry in entries.items():
        above = list(ancestors(i, parents))
        if not entry.tombstone and all(a in entries for a in above):
            shown.update((i, *above))
    return shown


def _contents(entry, holds):
    """Rule 3: (the kind that the entry shows, the content, its copies)."""
    living = sorted(entry.living_contents(), key=lambda c: c.stamp, reverse=True)
    directories = [c for c in living if c.kind == DIRECTORY]
    others = [c for c in living if c.kind != DIRECTORY]
    if holds or directories:
        main, kind = directories[0] if directories else None, DIRECTORY
    else:
        main, kind = others[0], others[0].kind
    copies = []
    for content in reversed(others):                                # of equal ones the earliest
        if not any(content.same_bytes(shown) for shown in (main, *copies) if shown):
            copies.append(content)
    return kind, main, copies


def _name(siblings, holders):
    """Rules 4 and 5: the names in one directory (SYN-021, SYN-041)."""
    named, nameless, copies, taken = {}, [], [], set()
    for entry in sorted(siblings, key=lambda e: e.id):
        kind, content, more = _contents(entry, entry.id in holders)
        nameless.append((entry.stamp, entry, Shown(entry.id, kind, content, False)))
        copies += [(c.stamp, entry, Shown(entry.id, c.kind, c, True)) for c in more]
    first, nameless = _falling(nameless), []
    for stamp, entry, item in first:
        if names.fold(entry.name) in taken:
            nameless.append((stamp, entry, item))
        else:
            taken.add(names.fold(entry.name))
            named[entry.name] = item
    for stamp, entry, item in nameless + _falling(copies):
        name = next(n for n in names.conflict_names(entry.name, stamp) if names.fold(n) not in taken)
        taken.add(names.fold(name))
        named[name] = item
    return named


def _falling(items):
    """By falling stamp; the sort is stable and identifiers rose before."""
    return sorted(items, key=lambda item: item[0], reverse=True)

