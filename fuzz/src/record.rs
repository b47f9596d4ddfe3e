//! Records: whatever arrives, and whatever a sender who has the key seals.

use std::sync::LazyLock;

use meshproof_kit::oracle::record::{self as oracle, Direction};
use meshproof_kit::vectors;
use meshproof_proto::codec::hex_array;
use meshproof_proto::crypto::{DEFAULT, Provider, RUSTCRYPTO, Secret};
use meshproof_proto::record::{Event, Opener};

use crate::draw::Draw;

/// The traffic secret of the vectors, so that their streams are good input.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let stream = vectors::all().iter().find(|test| test.kind == "RecordOpen");
    let secret = stream.and_then(|test| hex_array(test.inputs["traffic"].as_str()?));
    secret.expect("the record vectors have a traffic secret")
});

/// The first byte chooses: a stream as it is, or one that is sealed as the rest says. It opens the same in one piece and in
/// many, with both providers, and as the oracle has it. Whether it has a good end.
pub fn record(data: &[u8]) -> bool {
    match data.split_first() {
        Some((first, rest)) if first % 2 == 0 => same(rest, 1),
        Some((_, rest)) => {
            let mut draw = Draw(rest);
            let step = 1 + draw.below(40);
            same(&sealed(&mut draw), step)
        }
        None => false,
    }
}

/// What a sender might seal, who knows the keys and keeps no rule.
fn sealed(draw: &mut Draw<'_>) -> Vec<u8> {
    let mut direction = Direction::new(&*SECRET);
    let mut stream = Vec::new();
    while !draw.is_empty() && stream.len() < 400_000 {
        let mut record = match draw.below(10) {
            0..=2 => {
                let content = draw.bytes(60).to_vec();
                direction.seal(1 + draw.byte() % 6, &content, 0)
            }
            3 => direction.seal(oracle::DATA, b"padded", draw.below(300)),
            4 => {
                let record = direction.seal(oracle::KEY_UPDATE, &[], 0);
                direction.update();
                record
            }
            5 => direction.seal(oracle::CLOSE_NOTIFY, &[], 0),
            6 => direction.seal_plaintext(&vec![0; 1 + draw.below(80)]),
            7 => direction.seal_plaintext(&vec![1; 65_530 + draw.below(12)]),
            8 => {
                // Out of turn, or twice.
                direction.seq = direction.seq.wrapping_add(draw.below(3) as u64).saturating_sub(1);
                continue;
            }
            _ => direction.seal(oracle::TICKET, draw.bytes(20), 0),
        };
        if draw.one_in(8) {
            draw.edit(&mut record);
        }
        stream.extend(record);
    }
    stream
}

/// What was in the data records, what in the others, whether the end was seen, and the rule that was broken.
type Opened = (Vec<Vec<u8>>, Vec<Vec<u8>>, bool, Option<&'static str>);

fn same(stream: &[u8], step: usize) -> bool {
    let whole = open(stream, stream.len().max(1), DEFAULT);
    assert_eq!(whole, open(stream, step, RUSTCRYPTO), "delivery or provider changed the result");
    let (contents, tickets, closed, error) = whole;
    match oracle::open(&*SECRET, stream, true) {
        Ok(opened) => {
            assert_eq!(error, None, "refused what the oracle opens");
            assert_eq!((contents, tickets, closed), (opened.contents, opened.tickets, opened.closed));
        }
        Err(rule) => assert_eq!(error, Some(rule.requirement), "the oracle says the right"),
    }
    // Vectors of less than a session are not closed.
    error.is_none() || error == Some("REC-016") && stream.len() > 35
}

fn open(data: &[u8], step: usize, provider: &'static dyn Provider) -> Opened {
    let mut opener = Opener::new(provider, Secret::new(*SECRET));
    let (mut contents, mut tickets, mut closed) = (Vec::new(), Vec::new(), false);
    let name = |error: meshproof_proto::error::Error| error.requirement().map(|rule| rule.id);
    for piece in data.chunks(step) {
        opener.push(piece);
        loop {
            match opener.next() {
                Ok(Some(Event::Data(content))) => contents.push(content.to_vec()),
                Ok(Some(Event::Ticket(ticket))) => tickets.push(ticket.to_vec()),
                Ok(Some(Event::Closed)) => closed = true,
                Ok(None) => break,
                Err(error) => return (contents, tickets, closed, name(error)),
            }
        }
    }
    (contents, tickets, closed, opener.fin().err().and_then(name))
}
