//! Replicas of a folder that change it at random and meet at random, against what may be expected of any such folder: they
//! come to the same, no content is lost, nothing comes back, and the view is a tree.
//!
//! `MESH_SEEDS=1000 cargo test -p meshproof-proto --test replicas` runs more; `MESH_SEED=7` runs one again.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::entry::{new_id, next_lamport};
use meshproof_proto::sync::tree::holding;
use meshproof_proto::sync::{Content, Context, Entry, Item, Kind, Name, ROOT, Stamp, Tree, merge};

/// splitmix64: the same numbers for the same seed, on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.roll(of.len())) }
    }
}

struct Replica {
    id: Id,
    entries: BTreeMap<Id, Entry>,
    context: Context,
    lamport: u64,
    counter: u64,
    /// What others were seen to have seen.
    others: BTreeMap<Id, Context>,
}

/// What was done, by content. Every content is written once.
#[derive(Default)]
struct History {
    written: BTreeSet<MediaHash>,
    /// Replaced by another content.
    replaced: BTreeSet<MediaHash>,
    /// Deleted, and of which entry.
    deleted: BTreeMap<MediaHash, Id>,
    moved: BTreeSet<Id>,
    contents: u64,
}

impl Replica {
    fn new(number: u8) -> Self {
        let id = Id([number; 16]);
        Self {
            id,
            entries: BTreeMap::new(),
            context: Context::default(),
            lamport: 0,
            counter: 0,
            others: BTreeMap::new(),
        }
    }

    fn tree(&self) -> Tree {
        Tree::of(&self.entries.values().cloned().collect::<Vec<_>>())
    }

    fn stamp(&mut self) -> Stamp {
        self.lamport = next_lamport(self.lamport);
        self.counter += 1;
        self.context.0.insert(self.id, self.counter);
        Stamp { lamport: self.lamport, writer: self.id, counter: self.counter }
    }

    fn put(&mut self, entry: Entry) {
        self.entries.insert(entry.id, entry);
    }

    fn content(&mut self, history: &mut History, directory: bool) -> Content {
        let kind = if directory {
            Kind::Directory
        } else {
            history.contents += 1;
            let hash = MediaHash::of(&history.contents.to_be_bytes());
            history.written.insert(hash);
            Kind::File { size: 8, hash }
        };
        Content { stamp: self.stamp(), kind, mode: 0o644, mtime: 0, gone: false }
    }

    /// One change, as somebody makes it who sees the view.
    fn change(&mut self, dice: &mut Dice, history: &mut History) {
        let tree = self.tree();
        let mains: Vec<&Item> = tree.items.iter().filter(|item| !item.copy).collect();
        let directories: Vec<Id> = std::iter::once(ROOT)
            .chain(mains.iter().filter(|item| item.kind == Kind::Directory).map(|item| item.id))
            .collect();
        let name = Name::parse(["a", "b", "c", "B", "ß", "SS"][dice.roll(6)]).unwrap();
        let parent = *dice.pick(&directories).unwrap();
        match dice.roll(8) {
            0..=2 => self.make(parent, &name, dice.roll(2) == 0, history),
            3 | 4 => {
                if let Some(item) = dice.pick(&mains).filter(|item| item.kind != Kind::Directory) {
                    let entry = self.entries[&item.id].clone();
                    let seen = seen(&entry, item, &mut history.replaced);
                    let content = self.content(history, false);
                    if let Some(entry) = entry.rewritten(content, &seen) {
                        self.put(entry);
                    }
                }
            }
            5 | 6 => {
                if let Some(item) = dice.pick(&mains).filter(|item| item.id != parent) {
                    let stamp = self.stamp();
                    history.moved.insert(item.id);
                    let entry = self.entries[&item.id].moved((parent, name), stamp);
                    self.put(entry.unwrap());
                }
            }
            _ => {
                if let Some(item) = dice.pick(&mains) {
                    self.delete(&tree, item, history);
                }
            }
        }
    }

    fn make(&mut self, parent: Id, name: &Name, directory: bool, history: &mut History) {
        let content = self.content(history, directory);
        let free = |id: &Id| self.entries.get(id).is_none_or(Entry::is_gone);
        let id = (0..u64::MAX).map(|attempt| new_id(parent, name, attempt)).find(free).unwrap();
        let entry = match self.entries.get(&id) {
            Some(gone) => gone.revived((parent, name.clone()), &content),
            None => Entry::new(id, (parent, name.clone()), content),
        };
        self.put(entry.unwrap());
    }

    /// Deletes what is shown at a path, and all that is below.
    fn delete(&mut self, tree: &Tree, item: &Item, history: &mut History) {
        let below = format!("{}/", item.path);
        for item in tree.items.iter().filter(|one| *one == item || one.path.as_str().starts_with(&below)) {
            let entry = self.entries[&item.id].clone();
            let mut contents = BTreeSet::new();
            let seen = seen(&entry, item, &mut contents);
            history.deleted.extend(contents.into_iter().map(|hash| (hash, item.id)));
            let stamp = self.stamp();
            let deleted =
                if item.copy { entry.without(&seen, stamp) } else { entry.deleted(item.place, &seen, stamp) };
            if let Some(entry) = deleted {
                self.put(entry);
            }
        }
    }

    /// Takes over what another replica has (sections 4.3 and 4.6).
    fn take(&mut self, theirs: &[Entry], context: &Context, from: Id) {
        let mut forgotten: BTreeMap<Id, Entry> = BTreeMap::new();
        let listed: BTreeSet<Id> = theirs.iter().map(|entry| entry.id).collect();
        for (id, entry) in &self.entries {
            if !listed.contains(id) && context.covers(&entry.version) {
                forgotten.insert(*id, entry.clone());
            }
        }
        for entry in theirs {
            self.lamport = self.lamport.max(entry.lamport());
            match self.entries.get(&entry.id) {
                None if self.context.covers(&entry.version) => {
                    forgotten.insert(entry.id, entry.clone());
                }
                None => self.put(entry.clone()),
                Some(mine) => {
                    let merged =
                        merge(mine, entry, (&self.context, context)).expect("few devices and contents");
                    self.put(merged);
                }
            }
        }
        let needed = {
            let mut all: BTreeMap<Id, &Entry> = self.entries.iter().map(|(id, entry)| (*id, entry)).collect();
            all.extend(forgotten.iter().map(|(id, entry)| (*id, entry)));
            holding(&all, &forgotten.keys().copied().collect())
        };
        for (id, entry) in forgotten {
            if needed.contains(&id) {
                self.put(entry);
            } else {
                self.entries.remove(&id);
            }
        }
        self.context.join(context);
        self.others.insert(from, context.clone());
    }

    /// SYN-047, with these devices.
    fn collect(&mut self, devices: &[Id]) {
        let others: Vec<&Context> =
            devices.iter().filter(|id| **id != self.id).filter_map(|id| self.others.get(id)).collect();
        if others.len() + 1 < devices.len() {
            return;
        }
        let all: BTreeMap<Id, &Entry> = self.entries.iter().map(|(id, entry)| (*id, entry)).collect();
        let needed = holding(&all, &BTreeSet::new());
        self.entries.retain(|id, entry| {
            !entry.is_gone() || needed.contains(id) || !others.iter().all(|seen| seen.covers(&entry.version))
        });
    }
}

/// What somebody sees in an item, as dots; its contents go to `noted`.
fn seen(entry: &Entry, item: &Item, noted: &mut BTreeSet<MediaHash>) -> Vec<(Id, u64)> {
    let same =
        entry.contents.iter().filter(|content| content.stamp == item.stamp || content.kind == item.kind);
    same.map(|content| {
        if let Kind::File { hash, .. } = content.kind {
            noted.insert(hash);
        }
        content.stamp.dot()
    })
    .collect()
}

fn meet(replicas: &mut [Replica], a: usize, b: usize) {
    let side = |replica: &Replica| {
        (replica.entries.values().cloned().collect::<Vec<_>>(), replica.context.clone(), replica.id)
    };
    let (of_a, of_b) = (side(&replicas[a]), side(&replicas[b]));
    replicas[a].take(&of_b.0, &of_b.1, of_b.2);
    replicas[b].take(&of_a.0, &of_a.1, of_a.2);
}

fn check_tree(tree: &Tree) {
    let paths: BTreeSet<&str> = tree.items.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(paths.len(), tree.items.len(), "two things with one path");
    let mut folded = BTreeSet::new();
    for item in &tree.items {
        let (parent, name) = item.path.split();
        let parent = parent.map(|parent| parent.as_str().to_owned()).unwrap_or_default();
        assert!(parent.is_empty() || paths.contains(&*parent), "{} is in nothing", item.path);
        assert!(folded.insert((parent, name.folded())), "{} is there twice", item.path);
    }
}

fn play(seed: u64, collects: bool) {
    let mut dice = Dice(seed);
    let count = 2 + dice.roll(3);
    let mut replicas: Vec<Replica> = (1..=u8::try_from(count).unwrap()).map(Replica::new).collect();
    let devices: Vec<Id> = replicas.iter().map(|replica| replica.id).collect();
    let mut history = History::default();
    for _ in 0..10 + dice.roll(60) {
        let number = dice.roll(count);
        if dice.roll(4) > 0 {
            replicas[number].change(&mut dice, &mut history);
        } else {
            let other = (number + 1 + dice.roll(count - 1)) % count;
            meet(&mut replicas, number, other);
            if collects {
                replicas[number].collect(&devices);
            }
        }
        check_tree(&replicas[number].tree());
        if !collects {
            check_merges(&replicas, &mut dice);
        }
    }
    for _ in 0..3 {
        for number in 0..count {
            meet(&mut replicas, number, (number + 1) % count);
        }
    }
    for replica in &replicas[1..] {
        assert_eq!(replica.entries, replicas[0].entries);
    }
    let tree = replicas[0].tree();
    check_tree(&tree);
    assert_eq!(tree.hidden, []);
    let shown: BTreeSet<MediaHash> = tree
        .items
        .iter()
        .filter_map(|item| match item.kind {
            Kind::File { hash, .. } => Some(hash),
            _ => None,
        })
        .collect();
    for hash in &history.written {
        if !history.replaced.contains(hash) && !history.deleted.contains_key(hash) {
            assert!(shown.contains(hash), "a content is lost");
        }
    }
    for hash in &shown {
        assert!(!history.replaced.contains(hash), "a content that was replaced is back");
        // What a move keeps was moved.
        let back = history.deleted.get(hash).is_some_and(|id| !history.moved.contains(id));
        assert!(!back, "a content that was deleted is back");
    }
}

/// Merging is commutative, associative and idempotent for whatever three replicas have of one entry.
fn check_merges(replicas: &[Replica], dice: &mut Dice) {
    let ids: Vec<Id> = replicas[0].entries.keys().copied().collect();
    let Some(id) = dice.pick(&ids) else { return };
    let all: Vec<&Entry> = replicas.iter().filter_map(|replica| replica.entries.get(id)).collect();
    let unknown = Context::default();
    let join = |a: &Entry, b: &Entry| merge(a, b, (&unknown, &unknown)).expect("few devices and contents");
    for a in &all {
        assert_eq!(join(a, a), **a, "idempotent");
        for b in &all {
            let both = join(a, b);
            assert_eq!(both, join(b, a), "commutative");
            assert_eq!(both, join(&both, b), "idempotent");
            for c in &all {
                assert_eq!(join(&both, c), join(a, &join(b, c)), "associative");
            }
        }
    }
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    number("MESH_SEED").map_or_else(|| (0..number("MESH_SEEDS").unwrap_or(300)).collect(), |seed| vec![seed])
}

#[test]
fn replicas_come_to_the_same_and_lose_nothing() {
    for seed in seeds() {
        println!("MESH_SEED={seed}");
        play(seed, false);
    }
}

#[test]
fn and_so_do_those_that_forget_deletions() {
    for seed in seeds() {
        println!("MESH_SEED={seed}");
        play(seed, true);
    }
}
