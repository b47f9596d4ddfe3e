//! Records: whatever arrives, and whatever a sender who has the key seals.

use std::sync::LazyLock;

use meshproof_kit::fuzz::{Draw, records};
use meshproof_kit::oracle::record::{self as oracle, Direction};
use meshproof_kit::vectors;
use meshproof_proto::codec::hex_array;
use meshproof_proto::crypto::{DEFAULT, Provider, RUSTCRYPTO, Secret};
use meshproof_proto::record::{Event, Opener};

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
            same(&records(&mut draw, &mut Direction::new(&*SECRET)), step)
        }
        None => false,
    }
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
