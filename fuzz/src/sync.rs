//! Messages of sync: as bytes that any peer may send, and entries with proofs that their writers signed.

use meshproof_kit::fuzz::{Draw, change_entry, change_proofs, good_entries};
use meshproof_kit::oracle::{Rejection, sync as oracle};
use meshproof_proto::codec::Id;
use meshproof_proto::sync::{Decoder, Entry, Message, Tree};

/// A message that the reference reads is written back as the same bytes, however they come; the oracle takes the same
/// INDEX and the same STATE; and the paths of entries stay in their folder. Whether there was one.
pub fn sync(data: &[u8]) -> bool {
    let (messages, written) = decode(data, data.len().max(1));
    assert_eq!(data.get(..written.len()), Some(&written[..]), "one message, one spelling");
    let (of_pieces, written_of_pieces) = decode(data, 3);
    assert_eq!(
        (messages.len(), &written),
        (of_pieces.len(), &written_of_pieces),
        "delivery changed the result"
    );
    for message in &messages {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        if let Some(Err(rule)) = of_oracle(bytes[0], &bytes[5..]) {
            panic!("the oracle refuses what was taken: {rule}: {message:?}");
        }
        if let Message::Index { entries, .. } = message {
            stay_inside(entries);
        }
    }
    // The oracle takes what the reference refused: then one of them is wrong.
    let rest = &data[written.len()..];
    if let Some([kind, a, b, c, d]) = rest.first_chunk() {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if let Some(body) = rest.get(5..5 + length).filter(|_| messages.is_empty()) {
            let theirs = of_oracle(*kind, body);
            assert!(theirs.is_none_or(|read| read.is_err()), "the oracle takes what was refused");
        }
    }
    !messages.is_empty()
}

/// What the oracle says of a message of this type, if it reads that type.
fn of_oracle(kind: u8, body: &[u8]) -> Option<Result<(), Rejection>> {
    match kind {
        2 => Some(oracle::index(body).map(drop)),
        16 => Some(oracle::state(body).map(drop)),
        _ => None,
    }
}

/// Entries or heads that break any rule of their form, or none: the oracle says the same of each, and shows the same paths.
/// Whether they were taken.
pub fn sync_entry(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    if draw.one_in(8) {
        return heads(&mut draw);
    }
    let mut entries: Vec<oracle::Entry> = Vec::new();
    for _ in 0..=draw.below(4) {
        let mut entry = draw.pick(good_entries()).clone();
        entry.proofs = None; // its writers sign whatever it becomes
        let changes = draw.below(3);
        for _ in 0..changes {
            change_entry(&mut draw, &mut entry, &entries);
        }
        if draw.one_in(6) {
            let mut proofs = entry.proofs();
            change_proofs(&mut draw, &mut proofs);
            entry.proofs = Some(proofs);
        }
        entries.push(entry);
    }
    if !draw.one_in(8) {
        entries.sort_by_key(|entry| entry.id);
        entries.dedup_by_key(|entry| entry.id);
    }
    let mut body = [&[0xF0; 16][..], &[1]].concat();
    body.extend(u32::try_from(entries.len()).unwrap_or_default().to_be_bytes());
    entries.iter().for_each(|entry| entry.write(&mut body));
    if draw.one_in(10) {
        draw.edit(&mut body);
    }
    let theirs = oracle::index(&body);
    let bytes = [&[2], &u32::try_from(body.len()).unwrap_or_default().to_be_bytes()[..], &body].concat();
    let ours = decode(&bytes, bytes.len()).0;
    let Some(Message::Index { entries, .. }) = ours.first() else {
        assert!(theirs.is_err(), "the reference refuses what the oracle takes");
        return false;
    };
    let theirs = theirs.unwrap_or_else(|rule| panic!("the reference takes what the oracle refuses: {rule}"));
    stay_inside(entries);
    assert_eq!(paths(entries), oracle_paths(&theirs), "two views of one folder");
    true
}

/// A STATE.
fn heads(draw: &mut Draw<'_>) -> bool {
    const COUNTERS: [u64; 6] = [1, 2, 0, (1 << 48) - 1, 1 << 48, u64::MAX];
    let count = u8::try_from(draw.below(5)).unwrap_or_default();
    let mut body = [&[0xF0; 16][..], &[draw.byte() % 3, 0, count]].concat();
    for number in 0..count {
        let device = if draw.one_in(4) { draw.byte() % 5 } else { number };
        let (counter, chain, signature) = (*draw.pick(&COUNTERS), [7; 32], [8; 64]);
        body.extend(oracle::Head { device: [device; 16], counter, chain, signature }.bytes());
    }
    body.extend([0; 16 * 256]);
    if draw.one_in(10) {
        draw.edit(&mut body);
    }
    let theirs = oracle::state(&body);
    let bytes = [&[16], &u32::try_from(body.len()).unwrap_or_default().to_be_bytes()[..], &body].concat();
    let is_taken = !decode(&bytes, bytes.len()).0.is_empty();
    assert_eq!(is_taken, theirs.is_ok(), "whether a STATE is taken; the oracle: {:?}", theirs.err());
    is_taken
}

fn stay_inside(entries: &[Entry]) {
    for item in Tree::of(entries).items {
        assert!(item.path.components().all(|c| !matches!(c, "" | "." | "..")), "SYN-010");
    }
}

/// Path and whose it is, by path.
pub(crate) fn paths(entries: &[Entry]) -> Vec<(String, Id)> {
    let mut paths: Vec<(String, Id)> =
        Tree::of(entries).items.iter().map(|item| (item.path.to_string(), item.id)).collect();
    paths.sort();
    paths
}

/// The same of the oracle.
pub(crate) fn oracle_paths(entries: &[oracle::Entry]) -> Vec<(String, Id)> {
    let mut paths: Vec<(String, Id)> =
        oracle::view(entries).into_iter().map(|shown| (shown.path, Id(shown.id))).collect();
    paths.sort();
    paths
}

/// What comes of bytes in pieces, until one is no message.
fn decode(data: &[u8], step: usize) -> (Vec<Message>, Vec<u8>) {
    let mut decoder = Decoder::default();
    let (mut messages, mut written) = (Vec::new(), Vec::new());
    'bytes: for piece in data.chunks(step) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => {
                    message.write(&mut written);
                    messages.push(message);
                }
                Ok(None) => break,
                Err(_) => break 'bytes,
            }
        }
    }
    (messages, written)
}
