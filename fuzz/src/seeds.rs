//! What corpora begin with: messages of the vectors, and random bytes that led somewhere. `prove seeds` writes them.

use meshproof_kit::fuzz::{Dice, good_entries};
use meshproof_kit::oracle::crypto::from_hex;
use meshproof_kit::oracle::sync::{card, head};
use meshproof_kit::target::fixture::PeerFixture;
use meshproof_kit::vectors::{self, VectorTest};
use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::message::{Request, State};
use meshproof_proto::sync::{Card, Chunk, Digests, Entry, Head, Message};

use crate::{TARGETS, ticket};

/// Names and bytes for the corpus of a target.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "ticket" => ticket::good()
            .iter()
            .take(6)
            .enumerate()
            .map(|(n, bytes)| (format!("good-{n}"), bytes.clone()))
            .collect(),
        "handshake" => of_vectors("HandshakeM1", "frame", &[]),
        "record" => of_vectors("RecordOpen", "stream", &[0]),
        "relay" => relay(),
        "sync" => messages(),
        _ => random(target),
    }
}

/// The first of each reason, and of those without.
fn of_vectors(kind: &str, field: &str, before: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reasons: Vec<&Option<String>> = Vec::new();
    let mut seeds = Vec::new();
    for test in vectors::all().iter().filter(|test| test.kind == kind) {
        let Some(bytes) = test.inputs[field].as_str().and_then(from_hex) else { continue };
        if reasons.contains(&&test.expected.reason) || bytes.len() > 4_096 {
            continue;
        }
        reasons.push(&test.expected.reason);
        seeds.push((name_of(test), [before, &bytes].concat()));
    }
    seeds
}

fn name_of(test: &VectorTest) -> String {
    test.id.rsplit('.').next().unwrap_or_default().to_owned()
}

fn relay() -> Vec<(String, Vec<u8>)> {
    let mut seeds = random("relay");
    for test in vectors::all().iter().filter(|test| test.kind == "RelayJoin").take(4) {
        let connection =
            test.inputs["connections"].as_array().and_then(|all| from_hex(all.first()?.as_str()?));
        seeds.extend(connection.map(|bytes| (name_of(test), [&[0], &bytes[..]].concat())));
    }
    seeds
}

/// One message of each kind of sync, as a session has them.
fn messages() -> Vec<(String, Vec<u8>)> {
    let folder = Id(PeerFixture::FOLDER);
    let writer = card(PeerFixture::FOLDER, PeerFixture::DEVICE_X);
    let said = head(PeerFixture::FOLDER, PeerFixture::DEVICE_X, 3, [7; 32]);
    let entries: Vec<Entry> = {
        let mut entries = good_entries().to_vec();
        entries.sort_by_key(|entry| entry.id);
        entries.dedup_by_key(|entry| entry.id);
        entries.iter().filter_map(|entry| Entry::from_bytes(&entry.bytes()).ok()).take(2).collect()
    };
    let state = State {
        folder,
        complete: true,
        heads: vec![Head {
            device: Id(said.device),
            counter: said.counter,
            chain: said.chain,
            signature: said.signature,
        }],
        digests: Digests::default(),
    };
    let asked = Request { request: 1, folder, hash: MediaHash::of(b"x"), offset: 0, length: 262_144 };
    let cards = vec![Card { device: Id(writer.device), key: writer.key, signature: writer.signature }];
    let chunks = vec![
        Chunk { hash: MediaHash::of(b"x"), length: 16_384 },
        Chunk { hash: MediaHash::of(b"y"), length: 1 },
    ];
    let session = [
        ("hello", Message::Hello(vec![folder])),
        ("writers", Message::Writers { folder, cards }),
        ("state", Message::State(Box::new(state))),
        ("index", Message::Index { folder, last: true, entries }),
        ("request", Message::Request(asked)),
        ("block", Message::Block { request: 1, content: Some(b"content".to_vec()) }),
        ("manifest", Message::Manifest { request: 2, chunks: Some(chunks) }),
        ("done-bye", Message::Done(folder)),
    ];
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, message) in session {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        if name == "done-bye" {
            Message::Bye.write(&mut bytes);
        }
        seeds.push((name.to_owned(), bytes));
    }
    seeds
}

/// The first random bytes that are accepted, and the first that are not.
fn random(target: &str) -> Vec<(String, Vec<u8>)> {
    let run = TARGETS.iter().find(|one| one.name == target).map(|one| one.run);
    let Some(run) = run else { return Vec::new() };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let length = 8 + dice.below(40);
        let bytes = dice.bytes(length);
        let kept = if run(&bytes) { &mut good } else { &mut bad };
        kept.push(bytes);
        if good.len() >= 4 && bad.len() >= 2 {
            break;
        }
    }
    let named = |what: &'static str, all: Vec<Vec<u8>>, most| {
        all.into_iter().take(most).enumerate().map(move |(n, bytes)| (format!("{what}-{n}"), bytes))
    };
    named("accepted", good, 4).chain(named("refused", bad, 2)).collect()
}
