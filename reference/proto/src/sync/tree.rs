//! The view (`spec/sync.md`, section 4.4): the paths that the entries of a folder have. A pure function, so devices with
//! the same entries show the same, and nobody has to write anything for that.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::entry::{Content, Entry, Kind, ROOT, Stamp};
use super::path::{Family, Name, PortablePath};
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
    let mut choices = Choices::default();
    for claim in losers {
        let name = choices.find(claim.name, stamp(&claim), |fold| taken.insert(fold));
        named.push((name, claim, true));
    }
    named
}

/// The names that are given in one directory to what lost its own. Who writes entries may give any number of them one name and one
/// Lamport counter, or names that fold or are shortened to the same: none of the taken choices is tried twice.
#[derive(Default)]
struct Choices {
    /// The least number that may be free. Those before it are taken, and stay so.
    next: BTreeMap<Family, usize>,
}

impl Choices {
    /// The first choice that `take` takes, by what it folds to.
    fn find(&mut self, name: &Name, stamp: Stamp, mut take: impl FnMut(String) -> bool) -> Name {
        let first = name.marked(stamp, 1);
        if take(first.folded()) {
            return first;
        }
        // The numbers of one digit, of two and so on: a longer one may take more of the stem.
        let (mut from, mut to) = (2, 10);
        loop {
            let next = self.next.entry(name.family(stamp, from)).or_insert(from);
            while *next < to {
                let choice = name.marked(stamp, *next);
                *next += 1;
                if take(choice.folded()) {
                    return choice;
                }
            }
            (from, to) = (to, to.saturating_mul(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::string::ToString;
    use alloc::{format, vec};

    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn stamp(writer: u8, lamport: u64) -> Stamp {
        Stamp { lamport, writer: Id([writer; 16]), counter: 1 }
    }

    /// As the specification says it.
    fn plainly(name: &Name, stamp: Stamp, taken: &mut BTreeSet<String>) -> Name {
        let mut choices = (1..).map(|attempt| name.marked(stamp, attempt));
        choices.find(|choice| taken.insert(choice.folded())).unwrap()
    }

    /// How often names were tried for these, where some are taken.
    fn tries(names: &[Name], mut taken: BTreeSet<String>) -> usize {
        let (mut choices, mut tries) = (Choices::default(), 0);
        for name in names {
            choices.find(name, stamp(1, 7), |fold| {
                tries += 1;
                taken.insert(fold)
            });
        }
        tries
    }

    /// Nobody's entries stall those who have the folder: a name costs a few tries, however many want the same.
    #[test]
    fn many_that_want_one_name_cost_in_proportion() {
        type Text = Box<dyn Fn(usize) -> String>;
        const MANY: usize = 1_000;
        let spelled = |number: usize| {
            let letter = |bit: usize| if (number >> bit) & 1 == 0 { 'a' } else { 'A' };
            (0..16).map(letter).collect::<String>()
        };
        let attacks: [(&str, Text); 4] = [
            ("one name", Box::new(|_| "a.txt".into())),
            ("one name in many spellings", Box::new(spelled)),
            ("names that are shortened to one", Box::new(|number| format!("{}{number:05}", "x".repeat(250)))),
            ("both", Box::new(move |number| format!("{}{}", spelled(number), "x".repeat(239)))),
        ];
        for (attack, text) in attacks {
            let names: Vec<Name> = (0..MANY).map(|number| name(&text(number))).collect();
            let tried = tries(&names, BTreeSet::new());
            assert!(tried <= 3 * MANY, "{attack}: {tried} tries");
        }
        // Nor if others have such names themselves.
        let own = (1..MANY).map(|number| name("a.txt").marked(stamp(1, 7), 2 * number).folded());
        let tried = tries(&vec![name("a.txt"); MANY], own.collect());
        assert!(tried <= 4 * MANY, "{tried} tries");
    }

    #[test]
    fn the_names_are_those_of_the_specification() {
        let entry = |number: u8| {
            let stamp = Stamp { counter: number.into(), ..stamp(1, 7) };
            let content = Content { stamp, kind: Kind::Directory, mode: 0o755, mtime: 0, gone: false };
            Entry::new(Id([number; 16]), (ROOT, name("a")), content).unwrap()
        };
        let mut entries: Vec<Entry> = (1..=120).map(entry).collect();
        // One has a name of these itself.
        entries[119].place.name = name("A (CONFLICT 01010101 7 11)");
        let items = Tree::of(&entries).items;
        let paths: BTreeSet<&str> = items.iter().map(|item| item.path.as_str()).collect();
        let (mut expected, mut number) = (BTreeSet::from(["a".to_string()]), 1);
        expected.insert("A (CONFLICT 01010101 7 11)".into());
        while expected.len() < 120 {
            let again = if number == 1 { String::new() } else { format!(" {number}") };
            if number != 11 {
                expected.insert(format!("a (conflict 01010101 7{again})"));
            }
            number += 1;
        }
        assert_eq!(paths, expected.iter().map(String::as_str).collect());
    }

    /// Names that fold, or are shortened, to the same, or nearly; and such as the view gives.
    fn some_name() -> impl Strategy<Value = Name> {
        let text = prop_oneof![
            Just("a".to_string()),
            Just("A".to_string()),
            Just("a.txt".to_string()),
            Just("A.TXT".to_string()),
            Just(".a".to_string()),
            (1_usize..14).prop_map(|number| format!("a (conflict 01010101 1 {number})")),
            (1_usize..14).prop_map(|number| format!("A (conflict 01010101 1 {number}).txt")),
            ("[sSx]{2}", 210_usize..254).prop_map(|(end, length)| "s".repeat(length) + &end),
            (105_usize..127).prop_map(|length| "\u{df}".repeat(length)),
            (105_usize..127).prop_map(|length| "ss".repeat(length)),
            (105_usize..127).prop_map(|length| "\u{17f}".repeat(length)),
            (100_usize..120, 1_usize..20)
                .prop_map(|(length, end)| "\u{df}".repeat(length) + "." + &"\u{df}".repeat(end)),
            (100_usize..120, 1_usize..20)
                .prop_map(|(length, end)| "ss".repeat(length) + "." + &"ss".repeat(end)),
        ];
        text.prop_filter_map("not portable", |text: String| Name::parse(&text).ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_is_remembered_changes_no_name(
            own in prop::collection::vec(some_name(), 0..20),
            losers in prop::collection::vec((prop::collection::vec(some_name(), 1..4), 1_usize..15, 1_u8..3, 1_u64..3), 1..12),
        ) {
            let mut taken: BTreeSet<String> = own.iter().map(Name::folded).collect();
            let (mut plain, mut choices) = (taken.clone(), Choices::default());
            for (names, times, writer, lamport) in losers {
                let stamp = stamp(writer, lamport);
                for name in names.iter().cycle().take(times) {
                    let found = choices.find(name, stamp, |fold| taken.insert(fold));
                    prop_assert_eq!(found, plainly(name, stamp, &mut plain));
                }
            }
        }
    }
}
