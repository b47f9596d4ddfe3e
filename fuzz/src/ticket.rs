//! Tickets: as bytes that anybody may have made, and as fields that the issuer signed. The reference and the kit's oracle
//! have to say the same of each, and to name the same rule.

use std::sync::LazyLock;

use meshproof_kit::fuzz::{Draw, change_ticket};
use meshproof_kit::oracle::crypto::{base64url, public_key_from_spki};
use meshproof_kit::oracle::ticket::{self as oracle, TicketFields, Verification};
use meshproof_kit::vectors;
use meshproof_kit::vectors::fixtures::{self, ISSUER_A, ISSUER_EVIL};
use meshproof_proto::crypto::{DEFAULT, Spki};
use meshproof_proto::ticket::{MAX_TICKET, Presenter, Verifier, parse};
use meshproof_proto::time::UnixTime;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let mut verifier = Verifier::new(DEFAULT, fixtures::CLOUD);
    let key = Spki::parse(&ISSUER_A.spki()).expect("a test key");
    verifier.trust(fixtures::ISSUER, &[key]).expect("a test key");
    verifier
});

static BY: LazyLock<Verification> = LazyLock::new(|| Verification {
    now: fixtures::NOW,
    audience: fixtures::CLOUD.to_owned(),
    issuers: vec![oracle::Issuer {
        name: fixtures::ISSUER.to_owned(),
        keys: vec![public_key_from_spki(&ISSUER_A.spki()).expect("a test key")],
    }],
    proved: None,
    revoked: Vec::new(),
});

/// A ticket that the reference takes has only bytes of the grammar, and the oracle says the same of it. Whether it took it.
pub fn ticket(data: &[u8]) -> bool {
    if let Ok(parsed) = parse::parse(data) {
        assert!(data.len() <= MAX_TICKET, "TKT-004");
        assert!(data.iter().all(|b| (0x20..=0x7E).contains(b)), "TKT-005");
        assert!(data.starts_with(b"<saml2:Assertion ") && data.ends_with(b"</saml2:Assertion>"), "TKT-006");
        for needle in [&b"<!"[..], b"<?", b"&", b"</saml2:Assertion>x"] {
            assert!(!data.windows(needle.len()).any(|window| window == needle), "TKT-006: {needle:?}");
        }
        let again = parse::parse(data).map(|again| again.ticket);
        assert_eq!(again, Ok(parsed.ticket), "parsing depends on nothing but the bytes");
    }
    same(data, fixtures::NOW)
}

/// The fields of a ticket, some changed, signed by the issuer. Whether it was taken.
pub fn ticket_fields(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let mut fields = good_fields(&mut draw);
    for _ in 0..draw.below(4) {
        change_ticket(&mut draw, &mut fields, fixtures::NOW);
    }
    let now = fixtures::NOW - 1_000 + draw.pick(&NOWS);
    let issuer = if draw.one_in(16) { &ISSUER_EVIL } else { &ISSUER_A };
    let text = fields.issue(&issuer.private);
    let mut header = base64url(text.as_bytes()).into_bytes();
    if draw.one_in(8) {
        draw.edit(&mut header);
    }
    let header = String::from_utf8_lossy(&header);
    let ours = parse::decode(&header).map_err(|error| error.requirement().map(|rule| rule.id));
    let theirs = oracle::from_header(&header).map_err(|rule| Some(rule.requirement));
    assert_eq!(ours, theirs, "the two decode {header} differently");
    ours.is_ok_and(|bytes| same(&bytes, now))
}

/// Beside the clock of the vectors, 1,000 seconds earlier.
const NOWS: [u64; 9] = [1_000, 1_001, 969, 970, 971, 1_299, 1_300, 1_599, 1_600];

/// Both verify these bytes; whether they take them.
fn same(bytes: &[u8], now: u64) -> bool {
    let ours = VERIFIER.verify(bytes, UnixTime(now), Presenter::CheckedByCaller);
    let ours = ours.map(drop).map_err(|error| error.requirement().map(|rule| rule.id));
    let proved = oracle::parse(bytes).ok().and_then(|ticket| ticket.confirmation);
    let theirs = oracle::verify(bytes, &Verification { now, proved, ..BY.clone() });
    let theirs = theirs.map(drop).map_err(|rule| Some(rule.requirement));
    assert!(
        ours == theirs,
        "the reference says {ours:?}, the oracle {theirs:?} of {}",
        String::from_utf8_lossy(bytes)
    );
    ours.is_ok()
}

/// The texts of the tickets that the vectors have for good.
pub(crate) fn good() -> &'static [Vec<u8>] {
    static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let valid = |test: &&vectors::VectorTest| test.kind == "TicketVerify" && test.expected.valid;
        let bytes = vectors::all().iter().filter(valid).filter_map(|test| {
            let bytes = parse::decode(test.inputs["ticket"].as_str()?).ok()?;
            oracle::verify(&bytes, &with_possession(&bytes)).is_ok().then_some(bytes)
        });
        bytes.collect()
    });
    &GOOD
}

fn with_possession(bytes: &[u8]) -> Verification {
    let proved = oracle::parse(bytes).ok().and_then(|ticket| ticket.confirmation);
    Verification { proved, ..BY.clone() }
}

/// The fields of one of the good tickets.
fn good_fields(draw: &mut Draw<'_>) -> TicketFields {
    let bytes = draw.pick(good());
    oracle::parse(bytes).map(|ticket| ticket.fields).expect("it was parsed before")
}
