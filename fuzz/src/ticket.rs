//! Tickets: as bytes that anybody may have made, and as fields that the issuer signed. The reference and the kit's oracle
//! have to say the same of each, and to name the same rule.

use std::sync::LazyLock;

use meshproof_kit::oracle::crypto::{base64url, public_key_from_spki};
use meshproof_kit::oracle::ticket::{self as oracle, TicketFields, Verification, time, uri};
use meshproof_kit::vectors;
use meshproof_kit::vectors::fixtures::{self, ISSUER_A, ISSUER_EVIL, KEY_3072, KEY_3080, KEY_X};
use meshproof_proto::crypto::{DEFAULT, Spki};
use meshproof_proto::ticket::{MAX_TICKET, Presenter, Verifier, parse};
use meshproof_proto::time::UnixTime;

use crate::draw::Draw;

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
        change(&mut draw, &mut fields);
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
    // Markup in a slot: for the reference it departs from the grammar, for the oracle from the rule of that slot.
    let literal = [&ours, &theirs].contains(&&Err(Some("TKT-006")));
    let alike = ours == theirs || literal && ours.is_err() && theirs.is_err();
    assert!(alike, "the reference says {ours:?}, the oracle {theirs:?} of {}", String::from_utf8_lossy(bytes));
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

/// Changes one field.
pub(crate) fn change(draw: &mut Draw<'_>, fields: &mut TicketFields) {
    match draw.below(13) {
        0 => text(draw, &mut fields.id),
        1 => instant(draw, &mut fields.issue_instant),
        2 => text(draw, &mut fields.issuer),
        3 => text(draw, &mut fields.subject),
        4 => {
            let keys = [&KEY_X, &KEY_3072, &KEY_3080, &fixtures::KEY_2047, &fixtures::KEY_E3];
            fields.confirmation = (!draw.one_in(4)).then(|| draw.pick(&keys).confirmation());
            if let Some(key) = &mut fields.confirmation {
                if draw.one_in(3) {
                    text(draw, &mut key.modulus);
                }
                if draw.one_in(3) {
                    key.exponent = (*draw.pick(&["AQAB", "Aw==", "AAEAAQ==", "AQAB="])).to_owned();
                }
            }
        }
        5 => instant(draw, &mut fields.not_before),
        6 => instant(draw, &mut fields.not_on_or_after),
        7 => text(draw, &mut fields.audience),
        8 => {
            let mut authn = (time::to_text(fixtures::NOW), "urn:oasis:names:tc:SAML:2.0:ac:classes:Password".to_owned());
            if draw.one_in(2) {
                instant(draw, &mut authn.0);
            }
            if draw.one_in(3) {
                text(draw, &mut authn.1);
            }
            fields.authn = (!draw.one_in(3)).then_some(authn);
        }
        9 | 10 => {
            let mut statement = oracle::Decision {
                decision: (*draw.pick(&["Permit", "Deny", "Indeterminate", "permit", ""])).to_owned(),
                resource: (*draw.pick(&["/mesh", "/", "", "/mesh/objects/f01de400000000000000000000000001"])).to_owned(),
                actions: (0..draw.below(6))
                    .map(|_| (*draw.pick(&["Read", "Write", "Delete", "Control", "read", "Execute"])).to_owned())
                    .collect(),
            };
            if draw.one_in(8) {
                text(draw, &mut statement.resource);
            }
            match draw.below(4) {
                0 => drop(fields.authz.pop()),
                1 => fields.authz = vec![statement; 1 + draw.below(18)],
                _ => fields.authz.push(statement),
            }
        }
        _ => attribute(draw, fields),
    }
}

fn attribute(draw: &mut Draw<'_>, fields: &mut TicketFields) {
    let ids = [fixtures::DEVICE_X, fixtures::DEVICE_Y, fixtures::ALICE, fixtures::FOLDER, "0D", ""];
    let name = (*draw.pick(&[uri::KEY, uri::CLAIM, uri::MAPPING, "urn:meshproof:attribute:other"])).to_owned();
    let mut value = format!("{} {}", draw.pick(&ids), draw.pick(&ids));
    match draw.below(4) {
        0 => value = format!("{} {}", draw.pick(&ids), KEY_X.fingerprint()),
        1 => value = format!("{value} {}", draw.pick(&["owner", "reader", "contributor", "guest", "Owner"])),
        _ => {}
    }
    if draw.one_in(6) {
        text(draw, &mut value);
    }
    match draw.below(6) {
        0 => drop(fields.attributes.pop()),
        1 => fields.attributes.push((name, Vec::new())),
        2 => fields.attributes.push((name, vec![value; 1 + draw.below(65)])),
        3 => {
            if let Some((_, values)) = fields.attributes.first_mut() {
                values.push(value);
            }
        }
        _ => fields.attributes.push((name, vec![value])),
    }
}

fn text(draw: &mut Draw<'_>, text: &mut String) {
    const PIECES: [&str; 12] =
        ["&amp;", "<!-- -->", " ", "\n", "\"", "x", "/", "_", "urn:meshproof:user:", "<ds:Object>", "\u{e9}", "A"];
    let mut bytes = std::mem::take(text).into_bytes();
    match draw.below(4) {
        0 => bytes.clear(),
        1 => bytes.extend(std::iter::repeat_n(b'a', 1 + draw.below(300))),
        2 => {
            let at = draw.below(bytes.len() + 1);
            bytes.splice(at..at, draw.pick(&PIECES).bytes());
        }
        _ => draw.edit(&mut bytes),
    }
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

fn instant(draw: &mut Draw<'_>, text: &mut String) {
    const ODD: [&str; 8] = [
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-09-21T24:00:00Z",
        "2026-09-21T14:13:60Z",
        "2026-09-21T14:13:20.0Z",
        "2026-09-21T14:13:20+00:00",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
    ];
    const TIMES: [u64; 8] = [1_000, 1_030, 1_031, 400, 1_600, 1_601, 0, 1_001];
    *text = match draw.below(3) {
        0 => (*draw.pick(&ODD)).to_owned(),
        _ => time::to_text(fixtures::NOW - 1_000 + draw.pick(&TIMES)),
    };
}
