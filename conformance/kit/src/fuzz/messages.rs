//! Messages and what is in them, with one thing changed: in the grammar of the specification, or near it. What comes after
//! a change is signed and sealed rightly, so that it gets as far as the rule that it breaks.

use crate::oracle::crypto::{RsaPublicKey, oaep_encrypt, spki};
use crate::oracle::handshake::{Ephemeral, HYBRID, LABEL_I, LABEL_R, M1Fields, SUITE, X25519};
use crate::oracle::record::{self, Direction};
use crate::oracle::sync::{self, Entry, Proof};
use crate::oracle::ticket::{Decision, TicketFields, time, uri};
use crate::vectors::fixtures::{self, KEY_1024, KEY_2047, KEY_3072, KEY_3080, KEY_E3, KEY_X, KEY_Y};

use super::Draw;

/// Changes one field.
pub fn change_ticket(draw: &mut Draw<'_>, fields: &mut TicketFields, now: u64) {
    match draw.below(13) {
        0 => text(draw, &mut fields.id),
        1 => instant(draw, &mut fields.issue_instant, now),
        2 => text(draw, &mut fields.issuer),
        3 => text(draw, &mut fields.subject),
        4 => {
            let keys = [&KEY_X, &KEY_3072, &KEY_3080, &KEY_2047, &KEY_E3];
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
        5 => instant(draw, &mut fields.not_before, now),
        6 => instant(draw, &mut fields.not_on_or_after, now),
        7 => text(draw, &mut fields.audience),
        8 => {
            let mut authn =
                (time::to_text(now), "urn:oasis:names:tc:SAML:2.0:ac:classes:Password".to_owned());
            if draw.one_in(2) {
                instant(draw, &mut authn.0, now);
            }
            if draw.one_in(3) {
                text(draw, &mut authn.1);
            }
            fields.authn = (!draw.one_in(3)).then_some(authn);
        }
        9 | 10 => {
            let mut statement = Decision {
                decision: (*draw.pick(&["Permit", "Deny", "Indeterminate", "permit", ""])).to_owned(),
                resource: (*draw.pick(&["/mesh", "/", "", "/mesh/objects/f01de400000000000000000000000001"]))
                    .to_owned(),
                actions: (0..draw.below(6))
                    .map(|_| {
                        (*draw.pick(&["Read", "Write", "Delete", "Control", "read", "Execute"])).to_owned()
                    })
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
    let name =
        (*draw.pick(&[uri::KEY, uri::CLAIM, uri::MAPPING, "urn:meshproof:attribute:other"])).to_owned();
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
    const PIECES: [&str; 12] = [
        "&amp;",
        "<!-- -->",
        " ",
        "\n",
        "\"",
        "x",
        "/",
        "_",
        "urn:meshproof:user:",
        "<ds:Object>",
        "\u{e9}",
        "A",
    ];
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

fn instant(draw: &mut Draw<'_>, text: &mut String, now: u64) {
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
        _ => time::to_text(now - 1_000 + draw.pick(&TIMES)),
    };
}

/// Changes one field of an M1 to this responder, or what is made of it.
pub fn change_m1(draw: &mut Draw<'_>, fields: &mut M1Fields, responder: &RsaPublicKey, now: u64) {
    let ephemeral = Ephemeral { x25519: [6; 32], kem: vec![8; 64] };
    match draw.below(13) {
        0 => fields.version = u16::from(draw.byte()),
        1 | 2 => {
            let known = [SUITE, X25519, HYBRID, 0x0999, 0];
            fields.suites = (0..draw.below(10)).map(|_| *draw.pick(&known)).collect();
            fields.share = ephemeral.initiator_share(&fields.suites);
        }
        3 => fields.rdv_token = draw.array(),
        4 => fields.cookie = vec![1; *draw.pick(&[0, 1, 39, 40, 41])],
        5 => {
            fields.share = draw.bytes(64).to_vec();
        }
        6 => {
            let label = *draw.pick(&[LABEL_I, LABEL_R]);
            fields.ct_r = oaep_encrypt(responder, label, draw.bytes(40), &[5; 32]);
        }
        7 => draw.edit(&mut fields.ct_r),
        8 => fields.time = now - 400 + draw.pick(&[0, 99, 100, 101, 699, 700, 701, 800]),
        9 => {
            let keys = [&KEY_X, &KEY_Y, &KEY_3072, &KEY_1024];
            fields.spki_i = spki(&draw.pick(&keys).private.to_public_key());
            if draw.one_in(4) {
                draw.edit(&mut fields.spki_i);
            }
        }
        10 => fields.params = draw.bytes(20).to_vec(),
        11 => draw.edit(&mut fields.ticket),
        _ => {
            let bytes = draw.array::<8>();
            let change = Box::new(move |text: &mut Vec<u8>| {
                Draw(&bytes).edit(text);
                text.resize(text.len().max(4), 0); // the kit writes the length there
            });
            let forge = &mut fields.forge;
            *match draw.below(7) {
                0 => &mut forge.fields,
                1 => &mut forge.plaintext,
                2 => &mut forge.sealed,
                3 => &mut forge.before_mac,
                4 => &mut forge.mac1,
                5 => &mut forge.after,
                _ => {
                    forge.trailing = bytes.to_vec();
                    return;
                }
            } = Some(change);
        }
    }
}

/// What a sender might seal, who knows the keys and keeps no rule.
pub fn records(draw: &mut Draw<'_>, direction: &mut Direction) -> Vec<u8> {
    let mut stream = Vec::new();
    while !draw.is_empty() && stream.len() < 400_000 {
        let mut record = match draw.below(10) {
            0..=2 => {
                let content = draw.bytes(60).to_vec();
                direction.seal(1 + draw.byte() % 6, &content, 0)
            }
            3 => direction.seal(record::DATA, b"padded", draw.below(300)),
            4 => {
                let record = direction.seal(record::KEY_UPDATE, &[], 0);
                direction.update();
                record
            }
            5 => direction.seal(record::CLOSE_NOTIFY, &[], 0),
            6 => direction.seal_plaintext(&vec![0; 1 + draw.below(80)]),
            7 => direction.seal_plaintext(&vec![1; 65_530 + draw.below(12)]),
            8 => {
                // Out of turn, or twice.
                direction.seq = direction.seq.wrapping_add(draw.below(3) as u64).saturating_sub(1);
                continue;
            }
            _ => direction.seal(record::TICKET, draw.bytes(20), 0),
        };
        if draw.one_in(8) {
            draw.edit(&mut record);
        }
        stream.extend(record);
    }
    stream
}

/// The entries that are in the vectors' good INDEX bodies.
pub fn good_entries() -> &'static [Entry] {
    static SEEDS: std::sync::LazyLock<Vec<Entry>> = std::sync::LazyLock::new(|| {
        let bodies =
            crate::vectors::all().iter().filter(|test| test.kind == "SyncIndex" && test.expected.valid);
        let bodies = bodies.filter_map(|test| crate::oracle::crypto::from_hex(test.inputs["body"].as_str()?));
        let entries = bodies.filter_map(|body| sync::index(&body).ok()).flatten();
        entries.filter(|entry| entry.contents.len() < 8 && entry.version.len() < 8).collect()
    });
    &SEEDS
}

/// Changes one field of an entry; its writers sign what it becomes.
pub fn change_entry(draw: &mut Draw<'_>, entry: &mut Entry, others: &[Entry]) {
    const NAMES: [&[u8]; 17] = [
        b"a",
        b"A",
        b"b.txt",
        "\u{df}".as_bytes(),
        b"SS",
        b".",
        b"..",
        b"",
        b"a/b",
        b"CON",
        b"com1.x",
        b"a.",
        b"a:b",
        "u\u{308}".as_bytes(),
        b"\xff",
        b"a\\b",
        b"x\x7f",
    ];
    let content = entry.contents.first().cloned();
    match draw.below(14) {
        0 => entry.id = if draw.one_in(4) { sync::ROOT } else { [draw.byte(); 16] },
        1 => entry.parent = others.first().map_or([draw.byte() % 2; 16], |other| other.id),
        2 | 3 => entry.name = draw.pick(&NAMES).to_vec(),
        4 => entry.name = vec![b'n'; 250 + draw.below(10)],
        5 => entry.gone = draw.byte() % 3,
        6 => entry.place.counter = u64::from(draw.byte() % 4),
        7 => entry.place.lamport = *draw.pick(&[0, 1, (1 << 48) - 1, 1 << 48, u64::MAX]),
        8 => {
            let number = draw.below(4);
            let counter = |_| ([draw.byte() % 3; 16], u64::from(draw.byte() % 3));
            entry.version = (0..number).map(counter).collect();
        }
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

/// Changes one proof, or which there are.
pub fn change_proofs(draw: &mut Draw<'_>, proofs: &mut Vec<Proof>) {
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
                3 => proof
                    .deleted
                    .push(sync::Deleted { part: draw.byte() % 4, change: (proof.stamp.writer, 1) }),
                _ => drop(proof.deleted.pop()),
            }
        }
    }
}
