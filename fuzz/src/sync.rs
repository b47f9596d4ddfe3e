//! Messages of sync: as bytes that any peer may send, and entries with proofs that their writers signed.

use meshproof_kit::oracle::sync as oracle;
use meshproof_kit::vectors;
use meshproof_proto::codec::Id;
use meshproof_proto::sync::{Decoder, Entry, Message, Tree};

use crate::draw::Draw;

/// A message that the reference reads is written back as the same bytes, however they come; the oracle takes the same
/// INDEX; and the paths of its entries stay in their folder. Whether there was one.
pub fn sync(data: &[u8]) -> bool {
    let (messages, written) = decode(data, data.len().max(1));
    assert_eq!(data.get(..written.len()), Some(&written[..]), "one message, one spelling");
    assert_eq!((messages.len(), &written), (decode(data, 3).0.len(), &decode(data, 3).1), "delivery changed the result");
    for message in &messages {
        let Message::Index { folder, entries, .. } = message else { continue };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        let read = oracle::index(&bytes[5..]);
        assert!(read.is_ok(), "the oracle refuses an INDEX of {folder}: {:?}", read.err());
        stay_inside(entries);
    }
    // The oracle takes what the reference refused: then one of them is wrong.
    let rest = &data[written.len()..];
    if let Some([2, a, b, c, d]) = rest.first_chunk() {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if let Some(body) = rest.get(5..5 + length).filter(|_| messages.is_empty()) {
            assert!(oracle::index(body).is_err(), "the oracle takes an INDEX that was refused");
        }
    }
    !messages.is_empty()
}

/// Entries that break any rule of their form, or none: the oracle says the same of each, and shows the same paths. Whether
/// they were taken.
pub fn sync_entry(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let mut entries: Vec<oracle::Entry> = Vec::new();
    for _ in 0..1 + draw.below(4) {
        let mut entry = draw.pick(seeds()).clone();
        entry.proofs = None; // its writers sign whatever it becomes
        let changes = draw.below(3);
        for _ in 0..changes {
            change(&mut draw, &mut entry, &entries);
        }
        if draw.one_in(6) {
            let mut proofs = entry.proofs();
            forge(&mut draw, &mut proofs);
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

/// The entries that are in the vectors' good INDEX bodies.
pub(crate) fn seeds() -> &'static [oracle::Entry] {
    static SEEDS: std::sync::LazyLock<Vec<oracle::Entry>> = std::sync::LazyLock::new(|| {
        let bodies = vectors::all().iter().filter(|test| test.kind == "SyncIndex" && test.expected.valid);
        let bodies = bodies.filter_map(|test| meshproof_kit::oracle::crypto::from_hex(test.inputs["body"].as_str()?));
        let entries = bodies.filter_map(|body| oracle::index(&body).ok()).flatten();
        entries.filter(|entry| entry.contents.len() < 8 && entry.version.len() < 8).collect()
    });
    &SEEDS
}

fn change(draw: &mut Draw<'_>, entry: &mut oracle::Entry, others: &[oracle::Entry]) {
    const NAMES: [&[u8]; 17] = [
        b"a", b"A", b"b.txt", "\u{df}".as_bytes(), b"SS", b".", b"..", b"", b"a/b", b"CON", b"com1.x", b"a.", b"a:b",
        "u\u{308}".as_bytes(), b"\xff", b"a\\b", b"x\x7f",
    ];
    let content = entry.contents.first().cloned();
    match draw.below(14) {
        0 => entry.id = if draw.one_in(4) { oracle::ROOT } else { [draw.byte(); 16] },
        1 => entry.parent = others.first().map_or([draw.byte() % 2; 16], |other| other.id),
        2 | 3 => entry.name = draw.pick(&NAMES).to_vec(),
        4 => entry.name = vec![b'n'; 250 + draw.below(10)],
        5 => entry.gone = draw.byte() % 3,
        6 => entry.place.counter = u64::from(draw.byte() % 4),
        7 => entry.place.lamport = *draw.pick(&[0, 1, (1 << 48) - 1, 1 << 48, u64::MAX]),
        8 => entry.version = (0..draw.below(4)).map(|_| ([draw.byte() % 3; 16], u64::from(draw.byte() % 3))).collect(),
        9 => {
            let most = draw.pick(&[63, 64, 65]).to_owned();
            entry.version.extend((1..most).map(|n| ([0xFF - n; 16], 1)));
            entry.version.sort_unstable();
        }
        10 => entry.contents.clear(),
        11 => {
            if let Some(mut content) = content {
                content.stamp.lamport += u64::from(draw.byte());
                entry.contents.push(content);
            }
        }
        12 => {
            if let (Some(content), Some(first)) = (entry.contents.first_mut(), content) {
                content.kind = draw.byte() % 5;
                content.size = *draw.pick(&[first.size, 0, 1, 4_096, 4_097]);
                if draw.one_in(2) {
                    content.hash = [0; 32];
                }
            }
        }
        _ => {
            if let Some(content) = entry.contents.first_mut() {
                content.gone = draw.byte() % 3;
            }
        }
    }
}

fn forge(draw: &mut Draw<'_>, proofs: &mut Vec<oracle::Proof>) {
    let at = draw.below(proofs.len().max(1));
    match draw.below(6) {
        0 => drop(proofs.pop()),
        1 => proofs.reverse(),
        2 => proofs.extend(proofs.first().cloned()),
        _ => {
            let Some(proof) = proofs.get_mut(at) else { return };
            match draw.below(5) {
                0 => proof.place[0] ^= 1,
                1 => proof.content[0] ^= 1,
                2 => proof.stamp.lamport ^= 1,
                3 => proof.deleted.push(oracle::Deleted { part: draw.byte() % 4, change: (proof.stamp.writer, 1) }),
                _ => drop(proof.deleted.pop()),
            }
        }
    }
}
