//! Sizes of records, paddings, places in the sequence, epochs, and ways in which a record is broken: each two together.

use std::collections::BTreeSet;

use super::{
    AFTER_CLOSE, CLOSE_NOTIFY, CONTENT, DATA, Direction, KEY_UPDATE, LENGTH, MAC, PADDING, Streams,
    TRUNCATED, TYPE, sender,
};
use crate::vectors::pairs::rows;

/// Around the cipher's block, and where one byte of a length is full.
const SIZES: [usize; 12] = [0, 1, 14, 15, 16, 17, 31, 32, 33, 255, 256, 700];
const PADDINGS: [usize; 7] = [0, 1, 2, 14, 15, 16, 40];
/// Records before it in its epoch.
const PLACES: [usize; 4] = [0, 1, 2, 7];
const EPOCHS: [usize; 3] = [0, 1, 2];
const FAULTS: [Fault; 16] = [
    Fault::Flip("tag-first", "the first bit of the tag", |length| length - 32, 0x80),
    Fault::Flip("tag-last", "the last bit of the tag", |length| length - 1, 1),
    Fault::Flip("tag-middle", "a bit of the tag's 17th byte", |length| length - 16, 0x10),
    Fault::Flip("body-first", "the first bit of the ciphertext", |_| 3, 0x80),
    Fault::Flip("body-last", "the last bit of the ciphertext", |length| length - 33, 1),
    Fault::Place("ahead", "sealed as the record behind it", 1),
    Fault::Place("far-ahead", "sealed as the 256th record behind it", 256),
    Fault::Epoch,
    Fault::Twice,
    Fault::Kind("type-0", "no type, only zeros", 0, PADDING),
    Fault::Kind("type-5", "a type that does not exist", 5, TYPE),
    Fault::Kind("type-255", "the largest type", 255, TYPE),
    Fault::Kind("close-content", "a close with content", CLOSE_NOTIFY, CONTENT),
    Fault::Kind("update-content", "a key update with content", KEY_UPDATE, CONTENT),
    Fault::Cut,
    Fault::Late,
];

#[derive(Clone, Copy)]
enum Fault {
    /// A bit at this place of a record of this length.
    Flip(&'static str, &'static str, fn(usize) -> usize, u8),
    /// A number of the sequence too large by this.
    Place(&'static str, &'static str, u64),
    /// The keys of the next epoch.
    Epoch,
    /// The record comes twice.
    Twice,
    /// Another type.
    Kind(&'static str, &'static str, u8, (&'static str, &'static str)),
    /// The stream ends a byte too early.
    Cut,
    /// The record comes behind the close.
    Late,
}

impl Streams {
    /// A valid stream for each row, and beside it the same with a fault.
    pub(super) fn pairs(&mut self) {
        let sizes = [SIZES.len(), PADDINGS.len(), PLACES.len(), EPOCHS.len(), FAULTS.len()];
        let (mut twins, mut streams) = (Vec::<Vec<usize>>::new(), BTreeSet::new());
        for row in rows(&sizes) {
            let (size, padding, place, epoch) =
                (SIZES[row[0]], PADDINGS[row[1]], PLACES[row[2]], EPOCHS[row[3]]);
            let what = format!(
                "{size} bytes of content and {padding} zeros, behind {place} records of epoch {epoch}"
            );
            let stream = |change: Change<'_>| {
                let content: Vec<u8> = (1..=size).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
                let (mut sender, mut records) = (sender(), Vec::new());
                for _ in 0..epoch {
                    records.push(sender.seal(KEY_UPDATE, b"", 0));
                    sender.update();
                }
                records.extend((0..place).map(|n| sender.seal(DATA, &[n.to_le_bytes()[0]], 0)));
                records.extend(change(&mut sender, &content, padding));
                records
            };
            let good = stream(&|sender, content, padding| {
                vec![sender.seal(DATA, content, padding), sender.seal(CLOSE_NOTIFY, b"", 0)]
            });
            let known = twins.iter().position(|twin| *twin == row[..4]);
            let twin = format!("pair-{}", known.unwrap_or(twins.len()));
            if known.is_none() {
                twins.push(row[..4].to_vec());
                self.valid(&twin, &["REC-011"], &what, &good.concat(), true);
            }
            let (id, how, rule, bad) = broken(FAULTS[row[4]], size, &good, &stream);
            let bad = bad.concat();
            // Zeros alone are the same record, whatever they stand for.
            if streams.insert(bad.clone()) {
                let (id, comment) = (format!("{twin}-{id}"), format!("{what}: {how}"));
                self.ended(&id, &twin, rule, &comment, &bad, true);
            }
        }
    }

    /// More records than a byte counts.
    pub(super) fn many(&mut self) {
        let mut sender = sender();
        let mut records: Vec<Vec<u8>> = (0..258).map(|_| sender.seal(DATA, b"", 0)).collect();
        records.push(sender.seal(CLOSE_NOTIFY, b"", 0));
        self.valid("record-258", &["REC-011"], "258 empty records and a close", &records.concat(), true);
        records.swap(255, 256);
        let comment = "the 256th and the 257th in the other order";
        self.ended("record-258-swapped", "record-258", MAC, comment, &records.concat(), true);
        // The length, which the tag covers, so that a wrong one is no frame any more.
        let mut all = super::sender().seal(DATA, b"one", 0);
        all[0] = 0xff;
        self.invalid("length-first-byte", "open-end", LENGTH, "a length of more than 2^23", &all);
    }
}

type Stream<'a> = dyn Fn(&dyn Fn(&mut Direction, &[u8], usize) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> + 'a;
type Broken = (&'static str, &'static str, (&'static str, &'static str), Vec<Vec<u8>>);

/// How a sender makes records of content and padding.
type Change<'a> = &'a dyn Fn(&mut Direction, &[u8], usize) -> Vec<Vec<u8>>;

/// The good stream with the fault: its name, what it is, the rule that it breaks, and the records.
fn broken(fault: Fault, size: usize, good: &[Vec<u8>], stream: &Stream<'_>) -> Broken {
    let mut bad = good.to_vec();
    let target = good.len() - 2;
    match fault {
        Fault::Flip(id, how, at, bit) => {
            let at = at(bad[target].len());
            bad[target][at] ^= bit;
            (id, how, MAC, bad)
        }
        Fault::Place(id, how, ahead) => {
            let bad = stream(&|sender, content, padding| {
                sender.seq += ahead;
                vec![sender.seal(DATA, content, padding)]
            });
            (id, how, MAC, bad)
        }
        Fault::Epoch => {
            let bad = stream(&|sender, content, padding| {
                let seq = sender.seq;
                sender.update();
                sender.seq = seq;
                vec![sender.seal(DATA, content, padding)]
            });
            ("epoch-ahead", "sealed with the keys of the next epoch", MAC, bad)
        }
        Fault::Twice => {
            bad.insert(target, good[target].clone());
            ("twice", "it comes twice", MAC, bad)
        }
        Fault::Kind(id, how, kind, rule) => {
            // What has content of no bytes would be good; zeros are no content of nothing.
            let size = if kind == 0 { 0 } else { size.max(1) };
            let bad = stream(&|sender, content, padding| {
                let content = if size > 0 && content.is_empty() { &[1] } else { &content[..size] };
                vec![sender.seal(kind, content, padding)]
            });
            (id, how, rule, bad)
        }
        Fault::Cut => {
            if let Some(last) = bad.last_mut() {
                last.pop();
            }
            ("cut", "the stream ends a byte before its close does", TRUNCATED, bad)
        }
        Fault::Late => {
            let bad = stream(&|sender, content, padding| {
                vec![sender.seal(CLOSE_NOTIFY, b"", 0), sender.seal(DATA, content, padding)]
            });
            ("late", "it comes behind the close", AFTER_CLOSE, bad)
        }
    }
}
