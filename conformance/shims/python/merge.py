"""One entry out of two: spec/sync.md section 4.3."""

from entries import MOST_CONTENTS, MOST_DEVICES, Entry, join
from proofs import MOST, greedy, needed


def merge(mine, theirs, mine_context, theirs_context):
    """What both sides together know of one entry; None if the received one is to be ignored (SYN-016, SYN-160)."""
    if greedy(theirs.proofs):
        return None
    version = join(mine.version, theirs.version)
    contents = _contents(mine, theirs, join(mine.version, mine_context), join(theirs.version, theirs_context))
    if len(version) > MOST_DEVICES or len(contents) > MOST_CONTENTS:
        return None
    place = _place(mine, theirs)
    gone = (mine.gone or theirs.gone) if mine.stamp == theirs.stamp else place.gone
    entry = Entry(mine.id, place.parent, place.name, place.stamp, gone, contents, version)
    known = {p.dot: p for p in sorted(mine.proofs + theirs.proofs)}           # of two signatures of one statement the larger
    proofs = needed(entry, [known[dot] for dot in sorted(known)])
    return entry._replace(proofs=proofs) if len(proofs) <= MOST else None


def _place(mine, theirs):
    """SYN-020. One stamp is one change, so that the rest only speaks where a peer lies: to all, the same comes out."""
    return max(mine, theirs, key=lambda e: (e.stamp, e.parent, e.name))


def _contents(mine, theirs, mine_seen, theirs_seen):
    """SYN-037."""
    left, right = ({c.stamp: c for c in e.contents} for e in (mine, theirs))
    kept = {}
    for stamp in left.keys() & right.keys():
        one = max(left[stamp], right[stamp])
        kept[stamp] = one._replace(gone=left[stamp].gone or right[stamp].gone)
    kept |= {s: c for s, c in left.items() if s not in right and not s.seen_in(theirs_seen)}
    kept |= {s: c for s, c in right.items() if s not in left and not s.seen_in(mine_seen)}
    if not kept:
        latest = max(left.keys() | right.keys())
        kept = {latest: left.get(latest) or right[latest]}
    return tuple(kept[stamp] for stamp in sorted(kept))
