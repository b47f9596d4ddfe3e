//! Deltas: three devices change one file as they like and tell each other. They come to the same whatever the order, and
//! to what the oracle comes to.

use meshproof_kit::fuzz::Draw;
use meshproof_kit::oracle::sync as oracle;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Secret, SigningKey};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::entry::{new_id, next_lamport};
use meshproof_proto::sync::{Content, Context, Entry, Kind, Name, ROOT, Stamp, merge};

use crate::sync::{oracle_paths, paths};

const FOLDER: Id = Id([0xF0; 16]);
const NAMES: [&str; 4] = ["a", "A", "b.txt", "\u{df}"];

/// Whether there was anything to merge.
pub fn sync_merge(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let keys = [1, 2, 3].map(|seed| DEFAULT.signing_key(&Secret::new([seed; 32])));
    let mut writers = [1, 2, 3].map(|number| Writer { id: Id([number; 16]), lamport: 0, counter: 0 });
    let name = Name::parse(NAMES[0]).expect("a portable name");
    let mut first =
        Entry::new(new_id(ROOT, &name, 0), (ROOT, name), writers[0].content(1)).expect("a first change");
    first.sign(FOLDER, &*keys[0]);
    let mut states = [first.clone(), first.clone(), first];
    for step in 0..draw.below(16) {
        let who = draw.below(3);
        if draw.one_in(4) {
            let other = (who + 1 + draw.below(2)) % 3;
            let lamport = states[other].lamport();
            if let Some(entry) = both(&states[who], &states[other]) {
                states[who] = entry;
            }
            writers[who].lamport = writers[who].lamport.max(lamport);
        } else if let Some(mut entry) = change(&mut draw, &mut writers[who], &states[who], step) {
            entry.sign(FOLDER, &*keys[who] as &dyn SigningKey);
            states[who] = entry;
        }
    }
    for state in &states {
        assert_eq!(
            Entry::from_bytes(&state.to_bytes()).as_ref(),
            Ok(state),
            "an entry that nobody else reads"
        );
    }
    let [a, b, c] = &states;
    let (Some(ab), Some(bc)) = (both(a, b), both(b, c)) else { return false };
    assert_eq!(both(b, a).as_ref(), Some(&ab), "merging is commutative");
    assert_eq!(both(&ab, a).as_ref(), Some(&ab), "merging is idempotent");
    if let (Some(left), Some(right)) = (both(&ab, c), both(a, &bc)) {
        assert_eq!(left, right, "merging is associative");
        assert_eq!(
            Entry::from_bytes(&left.to_bytes()).as_ref(),
            Ok(&left),
            "a merged entry that nobody reads"
        );
    }
    // SYN-022, SYN-037: a content that was neither replaced nor deleted by who saw it is still there.
    for content in a.contents.iter().filter(|content| !content.gone && !b.version.has(content.stamp.dot())) {
        assert!(
            ab.contents.iter().any(|kept| kept.stamp == content.stamp && !kept.gone),
            "a content was lost"
        );
        assert!(!ab.is_gone(), "SYN-022: an edit that a deletion did not see is gone");
    }
    a != b
}

/// Both as the reference merges them, which is as the oracle does.
fn both(a: &Entry, b: &Entry) -> Option<Entry> {
    let none = Context::default();
    let ours = merge(a, b, (&none, &none));
    let [mine, theirs] = [a, b].map(|entry| oracle::Fields(&entry.to_bytes()).entry().expect("an entry"));
    let wanted = oracle::merge(&mine, &theirs, (&[], &[]));
    assert_eq!(
        ours.as_ref().map(Entry::to_bytes),
        wanted.as_ref().map(oracle::Entry::bytes),
        "the oracle merges to the right"
    );
    if let (Some(ours), Some(wanted)) = (&ours, wanted) {
        assert_eq!(paths(std::slice::from_ref(ours)), oracle_paths(&[wanted]), "two views of one file");
    }
    ours
}

struct Writer {
    id: Id,
    lamport: u64,
    counter: u64,
}

impl Writer {
    fn stamp(&mut self) -> Stamp {
        self.lamport = next_lamport(self.lamport);
        self.counter += 1;
        Stamp { lamport: self.lamport, writer: self.id, counter: self.counter }
    }

    fn content(&mut self, what: usize) -> Content {
        let stamp = self.stamp();
        let hash = MediaHash::of(&[what.to_be_bytes().as_slice(), &self.id.0].concat());
        Content { stamp, kind: Kind::File { size: 8, hash }, mode: 0o644, mtime: 0, gone: false }
    }
}

fn change(draw: &mut Draw<'_>, writer: &mut Writer, entry: &Entry, step: usize) -> Option<Entry> {
    let seen: Vec<(Id, u64)> = entry.contents.iter().map(|content| content.stamp.dot()).collect();
    let some = &seen[..draw.below(seen.len() + 1)];
    let name = Name::parse(draw.pick::<&str>(&NAMES)).ok()?;
    match draw.below(5) {
        0 => entry.moved((ROOT, name), writer.stamp()),
        1 => entry.rewritten(writer.content(step), some),
        2 => entry.deleted(entry.place.stamp, &seen, writer.stamp()),
        3 if some.len() < seen.len() => entry.without(some, writer.stamp()),
        _ => entry.revived((ROOT, name), &writer.content(step)),
    }
}
