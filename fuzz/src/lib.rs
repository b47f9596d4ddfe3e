//! What fuzzing feeds: plain functions that take input and panic if a promise of the specification is broken.
//!
//! `fuzz_targets/` wraps them for libFuzzer; `tests/replay.rs` runs them over the corpora and the vectors in every
//! `cargo test`.

mod handshake;
mod relay;
mod storage;
mod world;

use std::sync::LazyLock;

use meshproof_kit::vectors;
use meshproof_proto::codec::hex_array;
use meshproof_proto::crypto::{DEFAULT, RUSTCRYPTO, Secret};
use meshproof_proto::record::{Event, Opener};
use meshproof_proto::sync::Decoder;
use meshproof_proto::ticket::parse;

pub use handshake::{Step, Trace, handshake, handshake_puppet};
pub use relay::relay;
pub use storage::storage;

/// A ticket that the reference parses has only bytes of the grammar, and no signature of ours that we did not make.
pub fn ticket(data: &[u8]) {
    let Ok(parsed) = parse::parse(data) else { return };
    assert!(data.len() <= meshproof_proto::ticket::MAX_TICKET, "TKT-004");
    assert!(data.iter().all(|b| (0x20..=0x7E).contains(b)), "TKT-005");
    assert!(data.starts_with(b"<saml2:Assertion ") && data.ends_with(b"</saml2:Assertion>"), "TKT-006");
    for needle in [&b"<!"[..], b"<?", b"&", b"</saml2:Assertion>x"] {
        assert!(!data.windows(needle.len()).any(|window| window == needle), "TKT-006: {needle:?}");
    }
    let again = parse::parse(data).map(|again| again.ticket);
    assert_eq!(again, Ok(parsed.ticket), "parsing depends on nothing but the bytes");
}

/// The traffic secret of the vectors, so that their streams are good input.
static RECORD_SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let stream = vectors::all().iter().find(|test| test.kind == "RecordOpen");
    let secret = stream.and_then(|test| hex_array(test.inputs["traffic"].as_str()?));
    secret.expect("the record vectors have a traffic secret")
});

/// Whatever arrives, records open the same in one piece and byte by byte, with both providers.
pub fn record(data: &[u8]) {
    let whole = open(data, data.len().max(1), DEFAULT);
    assert_eq!(whole, open(data, 1, RUSTCRYPTO), "delivery or provider changed the result");
}

type Opened = (Vec<Vec<u8>>, bool, Option<meshproof_proto::error::Error>);

fn open(data: &[u8], step: usize, provider: &'static dyn meshproof_proto::crypto::Provider) -> Opened {
    let mut opener = Opener::new(provider, Secret::new(*RECORD_SECRET));
    let (mut contents, mut closed) = (Vec::new(), false);
    for piece in data.chunks(step) {
        opener.push(piece);
        loop {
            match opener.next() {
                Ok(Some(Event::Data(content))) => contents.push(content.to_vec()),
                Ok(Some(Event::Ticket(ticket))) => contents.push(ticket.to_vec()),
                Ok(Some(Event::Closed)) => closed = true,
                Ok(None) => break,
                Err(error) => return (contents, closed, Some(error)),
            }
        }
    }
    (contents, closed, opener.fin().err())
}

/// A message that the reference reads is written back as the same bytes, and the paths of its entries stay in
/// their folder.
pub fn sync(data: &[u8]) {
    let mut decoder = Decoder::default();
    decoder.push(data);
    let mut written = Vec::new();
    while let Ok(Some(message)) = decoder.next() {
        message.write(&mut written);
        assert_eq!(data.get(..written.len()), Some(&written[..]), "one message, one spelling");
        if let meshproof_proto::sync::Message::Index { entries, .. } = &message {
            for item in meshproof_proto::sync::Tree::of(entries).items {
                assert!(item.path.components().all(|c| !matches!(c, "" | "." | "..")), "SYN-010");
            }
        }
    }
}
