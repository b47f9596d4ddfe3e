//! The view (`spec/sync.md`, section 4.4): the paths that the entries of a folder have. A pure function, so devices with
//! the same entries show the same, and nobody has to write anything for that.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::entry::{Content, Entry, Kind, ROOT, Stamp};
use super::path::{Name, PortablePath};
use crate::codec::Id;
use crate::requirement::{self as req, deviates};

/// One path of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where.
    pub path: PortablePath,
    /// The entry.
    pub id: Id,
    /// What it is.
    pub kind: Kind,
    /// POSIX permission bits.
    pub mode: u16,
    /// When it was modified, in nanoseconds since 1970.
    pub mtime: u64,
    /// The change that wrote the content. Zero for a directory that is there only because of what is in it.
    pub stamp: Stamp,
    /// The change that put the entry at its place.
    pub place: Stamp,
    /// Whether it is a content that lost (SYN-021), beside the one that the entry's name shows.
    pub copy: bool,
    /// Whether the name was given by the view, because the own one is taken.
    pub renamed: bool,
}

/// The view of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// All paths, a directory before what is in it.
    pub items: Vec<Item>,
    /// Living entries without a path: their parent is not known yet (SYN-040), or the path is too long (SYN-010).
    pub hidden: Vec<Id>,
}

/// What wants a name in a directory.
struct Claim<'a> {
    name: &'a Name,
    entry: usize,
    content: Option<&'a Content>,
    copy: bool,
}

/// Where an entry hangs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    Root,
    Entry(usize),
    Unknown,
}

impl Tree {
    /// The view of these entries, of which no two have one identifier.
    pub fn of(entries: &[Entry]) -> Self {
        let at: BTreeMap<Id, usize> = entries.iter().enumerate().map(|(n, entry)| (entry.id, n)).collect();
        let mut parents: Vec<Parent> = entries
            .iter()
            .map(|entry| match entry.place.parent {
                ROOT => Parent::Root,
                parent => at.get(&parent).map_or(Parent::Unknown, |n| Parent::Entry(*n)),
            })
            .collect();
        break_cycles(entries, &mut parents);
        let reached = reach(&parents);
        let mut hidden: Vec<Id> = Vec::new();
        // SYN-039: what a living entry is in is shown, whatever was deleted.
        let (mut shown, mut holds) = (alloc::vec![false; entries.len()], alloc::vec![false; entries.len()]);
        for (n, entry) in entries.iter().enumerate() {
            if entry.is_gone() {
                continue;
            }
            if !reached[n] {
                hidden.push(entry.id);
                continue;
            }
            let mut up = n;
            while !core::mem::replace(&mut shown[up], true) {
                let Parent::Entry(parent) = parents[up] else { break };
                holds[parent] = true;
                up = parent;
            }
            if let Parent::Entry(parent) = parents[n] {
                holds[parent] = true;
            }
        }
        if deviates(req::SYN_039) {
            for (n, entry) in entries.iter().enumerate() {
                shown[n] &= !entry.is_gone();
            }
        }
        let mut children: BTreeMap<Option<usize>, Vec<Claim<'_>>> = BTreeMap::new();
        for (n, entry) in entries.iter().enumerate().filter(|(n, _)| shown[*n]) {
            let parent = match parents[n] {
                Parent::Entry(parent) => Some(parent),
                Parent::Root | Parent::Unknown => None,
            };
            children.entry(parent).or_default().extend(claims(n, entry, holds[n]));
        }
        let mut tree = Self { items: Vec::new(), hidden };
        let mut waiting: Vec<(Option<usize>, Option<PortablePath>)> = [(None, None)].to_vec();
        while let Some((directory, path)) = waiting.pop() {
            let Some(claims) = children.remove(&directory) else { continue };
            for (name, claim, renamed) in named(entries, claims) {
                let entry = &entries[claim.entry];
                let Some(path) = PortablePath::join(path.as_ref(), &name) else {
                    tree.hidden.push(entry.id);
                    continue;
                };
                let implied = claim.content.is_none_or(|content| content.kind == Kind::Directory);
                if implied && !claim.copy {
                    waiting.push((Some(claim.entry), Some(path.clone())));
                }
                tree.items.push(Item {
                    path,
                    id: entry.id,
                    kind: claim.content.map_or(Kind::Directory, |content| content.kind),
                    mode: claim.content.map_or(0o755, |content| content.mode),
                    mtime: claim.content.map_or(0, |content| content.mtime),
                    stamp: claim.content.map_or_else(Stamp::default, |content| content.stamp),
                    place: entry.place.stamp,
                    copy: claim.copy,
                    renamed,
                });
            }
        }
        tree.items.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }
}

/// What living entries are in, but for those in `but`: directories that have to stay, deleted or not.
pub fn holding(entries: &BTreeMap<Id, &Entry>, but: &BTreeSet<Id>) -> BTreeSet<Id> {
    let mut holding = BTreeSet::new();
    let living = entries.values().filter(|entry| !entry.is_gone() && !but.contains(&entry.id));
    for entry in living {
        let mut parent = entry.place.parent;
        while parent != ROOT && holding.insert(parent) {
            let Some(next) = entries.get(&parent) else { break };
            parent = next.place.parent;
        }
    }
    holding
}

/// SYN-038: of the entries that are below each other, the one that was moved last goes to the root.
fn break_cycles(entries: &[Entry], parents: &mut [Parent]) {
    // 0 is new, the number of a walk is seen by it.
    let mut seen = alloc::vec![0_usize; entries.len()];
    for start in 0..entries.len() {
        let (walk, mut at) = (start + 1, start);
        while seen[at] == 0 {
            seen[at] = walk;
            match parents[at] {
                Parent::Entry(parent) => at = parent,
                Parent::Root | Parent::Unknown => break,
            }
        }
        if seen[at] != walk || !matches!(parents[at], Parent::Entry(_)) {
            continue;
        }
        // The walk came back to a place of its own: a cycle from there to there.
        let (first, mut last_moved) = (at, at);
        while let Parent::Entry(parent) = parents[at] {
            at = parent;
            if entries[at].place > entries[last_moved].place {
                last_moved = at;
            }
            if at == first {
                break;
            }
        }
        if !deviates(req::SYN_038) {
            parents[last_moved] = Parent::Root;
        }
    }
}

/// Which entries have a way to the root.
fn reach(parents: &[Parent]) -> Vec<bool> {
    let mut reached: Vec<Option<bool>> = alloc::vec![None; parents.len()];
    let mut way = Vec::new();
    for start in 0..parents.len() {
        let mut at = start;
        let end = loop {
            if let Some(known) = reached[at] {
                break known;
            }
            way.push(at);
            match parents[at] {
                Parent::Root => break true,
                Parent::Unknown => break false,
                Parent::Entry(_) if way.len() > parents.len() => break false,
                Parent::Entry(parent) => at = parent,
            }
        };
        way.drain(..).for_each(|n| reached[n] = Some(end));
    }
    reached.into_iter().map(|reached| reached == Some(true)).collect()
}

/// What an entry shows: under its own name, and as copies.
fn claims(number: usize, entry: &Entry, holds: bool) -> impl Iterator<Item = Claim<'_>> {
    let name = &entry.place.name;
    let main = entry.main().filter(|main| !entry.is_gone() && (!holds || main.kind == Kind::Directory));
    let own = Claim { name, entry: number, content: main, copy: false };
    let mut copies: Vec<&Content> = Vec::new();
    if !entry.is_gone() && !deviates(req::SYN_021) {
        for content in entry.living().filter(|content| content.kind != Kind::Directory) {
            let shown = main.is_some_and(|main| main.kind == content.kind)
                || copies.iter().any(|copy| copy.kind == content.kind);
            if !shown {
                copies.push(content);
            }
        }
    }
    let copies = copies.into_iter().rev();
    core::iter::once(own).chain(copies.map(move |content| Claim {
        name,
        entry: number,
        content: Some(content),
        copy: true,
    }))
}

/// Gives each claim of one directory a name that no other has (SYN-041). `true`: not its own.
fn named<'a>(entries: &[Entry], mut claims: Vec<Claim<'a>>) -> Vec<(Name, Claim<'a>, bool)> {
    let stamp = |claim: &Claim<'_>| match claim.content {
        Some(content) if claim.copy => content.stamp,
        _ => entries[claim.entry].place.stamp,
    };
    // Entries before copies; the later before the earlier.
    claims.sort_by(|a, b| {
        let id = |claim: &Claim<'_>| entries[claim.entry].id;
        a.copy.cmp(&b.copy).then(stamp(b).cmp(&stamp(a))).then(id(a).cmp(&id(b)))
    });
    let mut taken = BTreeSet::new();
    let (mut named, mut losers) = (Vec::new(), Vec::new());
    for claim in claims {
        let fold = if deviates(req::SYN_041) { claim.name.as_str().into() } else { claim.name.folded() };
        if !claim.copy && taken.insert(fold) {
            named.push((claim.name.clone(), claim, false));
        } else {
            losers.push(claim);
        }
    }
    for claim in losers {
        let choices = (1..).map(|attempt| claim.name.marked(stamp(&claim), attempt));
        for name in choices {
            if taken.insert(name.folded()) {
                named.push((name, claim, true));
                break;
            }
        }
    }
    named
}
