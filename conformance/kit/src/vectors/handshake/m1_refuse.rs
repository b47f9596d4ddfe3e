//! The M1 messages of `vectors/handshake/m1.json` that come from a peer who knows the responder's key, and are refused in
//! box1: clock, keys and tickets, HSK-019 to HSK-024.

use super::exchange::ticket;
use super::m1::{List, Sends};
use crate::oracle::crypto::base64;
use crate::oracle::handshake::M1Fields;
use crate::oracle::ticket::{TicketFields, time, uri};
use crate::vectors::fixtures::{
    ALICE, BOB, DEVICE_X, DEVICE_Y, DEVICE_Z, ISSUER_A, ISSUER_EVIL, KEY_1024, KEY_2047, KEY_3080, KEY_E3,
    KEY_X, KEY_Y, KEY_Z, Key, NOW, claim_values, device, key_values, pair, user,
};

impl List {
    pub(super) fn refusals(&mut self) {
        let clock = ("HSK-019", "clock");
        for (id, twin, time) in [
            ("clock-301-behind", "clock-300-behind", NOW - 301),
            ("clock-301-ahead", "clock-300-ahead", NOW + 301),
            ("clock-zero", "good", 0),
            ("clock-max", "good", u64::MAX),
        ] {
            let comment = format!("the initiator's clock reads {time}");
            self.beside(twin, id, clock, Sends::Refuse(1), &comment, |m1| m1.time = time);
        }
        let rule = ("HSK-020", "peer-key");
        for (id, comment, key) in [
            ("key-1024", "a key of 1,024 bits", &*KEY_1024),
            ("key-2047", "a key of 2,047 bits", &*KEY_2047),
            ("key-exponent-3", "a key with exponent 3", &*KEY_E3),
        ] {
            self.refused(id, rule, 1, comment, |m1| m1.spki_i = key.spki());
        }
        self.beside("key-3072", "key-3080", rule, Sends::Refuse(1), "a key of 3,080 bits", |m1| {
            m1.spki_i = KEY_3080.spki();
        });
        let spki = |bytes: Vec<u8>| move |m1: &mut M1Fields| m1.spki_i = bytes;
        self.refused(
            "spki-trailing-byte",
            rule,
            1,
            "a byte after the SPKI",
            spki([KEY_X.spki(), vec![0]].concat()),
        );
        let mut even = KEY_X.spki();
        // Behind the modulus are the five bytes of the exponent.
        let last = even.len() - 6;
        even[last] ^= 1;
        self.refused("key-even", rule, 1, "a key with an even modulus", spki(even));
        self.refused("spki-empty", rule, 1, "no SPKI", spki(Vec::new()));
        self.refused("spki-garbage", rule, 1, "no DER", spki(vec![0x5a; 294]));
        // 30 82 01 22 | 30 0d 06 09 .. | 05 00 | 03 82 01 0f 00 | 30 82 01 0a 02 82 01 01 00 <modulus> 02 03 01 00 01
        self.refused("spki-pkcs1", rule, 1, "a PKCS#1 key", spki(KEY_X.spki()[24..].to_vec()));
        self.refused(
            "spki-no-null",
            rule,
            1,
            "an algorithm identifier without NULL",
            spki({
                let mut bytes = KEY_X.spki();
                bytes.drain(17..19);
                bytes[3] -= 2;
                bytes[5] -= 2;
                bytes
            }),
        );
        self.refused(
            "spki-pss",
            rule,
            1,
            "the algorithm RSASSA-PSS",
            spki({
                let mut bytes = KEY_X.spki();
                bytes[16] = 0x0a;
                bytes
            }),
        );
        self.refused(
            "spki-long-length",
            rule,
            1,
            "a length that is not the shortest",
            spki({
                let der = KEY_X.spki();
                [&[0x30, 0x83, 0, der[2], der[3]], &der[4..]].concat()
            }),
        );
        self.refused("self-connection", ("HSK-021", "self-connection"), 1, "the responder's own key", |m1| {
            with_key(m1, &KEY_Y);
        });
    }

    /// HSK-022 to HSK-024, and behind HSK-023 the rules of ticket.md.
    pub(super) fn tickets(&mut self) {
        let expired = ("HSK-022", "ticket-expired");
        let reissue = |m1: &mut M1Fields, change: &dyn Fn(&mut TicketFields)| {
            let mut fields = pair("pair");
            change(&mut fields);
            m1.ticket = fields.issue(&ISSUER_A.private).into_bytes();
        };
        let ends = |at: u64| {
            move |ticket: &mut TicketFields| {
                ticket.not_before = time::to_text(NOW - 600);
                ticket.not_on_or_after = time::to_text(at);
            }
        };
        self.valid("ticket-last-second", &["HSK-022"], "a ticket that ends in a second", |m1| {
            reissue(m1, &|ticket| {
                ticket.not_before = time::to_text(NOW - 599);
                ticket.not_on_or_after = time::to_text(NOW + 1);
            });
        });
        let code = Sends::Refuse(2);
        self.beside("ticket-last-second", "ticket-expired", expired, code, "a ticket that ends now", |m1| {
            reissue(m1, &ends(NOW));
        });
        self.beside(
            "ticket-last-second",
            "ticket-expired-long-ago",
            expired,
            code,
            "a ticket long ended",
            |m1| {
                reissue(m1, &|ticket| {
                    ticket.not_before = time::to_text(NOW - 86_400);
                    ticket.not_on_or_after = time::to_text(NOW - 86_000);
                });
            },
        );
        let rule = ("HSK-023", "ticket");
        let mut refused = |id: &str, comment: &str, change: &dyn Fn(&mut TicketFields)| {
            self.refused(&format!("ticket-{id}"), rule, 1, comment, |m1| reissue(m1, change));
        };
        refused("not-yet-valid", "TKT-022", &|ticket| {
            ticket.not_before = time::to_text(NOW + 31);
            ticket.not_on_or_after = time::to_text(NOW + 600);
        });
        refused("lifetime", "TKT-023", &|ticket| ticket.not_on_or_after = time::to_text(NOW + 601));
        refused("for-another-device", "TKT-024", &|ticket| ticket.audience = device(DEVICE_Z));
        refused("for-a-user", "TKT-024: a user with the responder's digits", &|ticket| {
            ticket.audience = user(DEVICE_Y);
        });
        refused("unrelated", "TKT-032: two users, no folder", &|ticket| {
            ticket.attributes.truncate(2);
            ticket.attributes[1] = claim_values(&[(DEVICE_X, ALICE), (DEVICE_Y, BOB)]);
        });
        refused("responder-key", "TKT-033: another key under the responder's name", &|ticket| {
            ticket.attributes[0] = key_values(&[(DEVICE_X, &KEY_X), (DEVICE_Y, &KEY_Z)]);
        });
        refused("bearer", "TKT-034: a bearer ticket", &|ticket| ticket.confirmation = None);
        refused("of-a-user", "TKT-034: a user's ticket", &|ticket| {
            ticket.subject = format!("{}{DEVICE_X}", uri::USER);
        });
        refused("issuer-unknown", "TKT-019", &|ticket| ticket.issuer = "https://evil.example/".into());
        refused("attribute-unknown", "TKT-017", &|ticket| {
            ticket.attributes.push(("urn:x".to_owned(), vec!["x".to_owned()]));
        });
        self.refused("ticket-forged", rule, 1, "TKT-021: signed with an unknown key", |m1| {
            m1.ticket = pair("pair").issue(&ISSUER_EVIL.private).into_bytes();
        });
        self.refused("ticket-altered", rule, 1, "TKT-020: altered after signing", |m1| {
            let text = String::from_utf8_lossy(&ticket()).replacen(
                "\"2026-09-21T14:13:20Z\" V",
                "\"2026-09-21T14:13:19Z\" V",
                1,
            );
            m1.ticket = text.into_bytes();
        });
        self.refused("ticket-garbage", rule, 1, "TKT-006: no ticket", |m1| m1.ticket = b"hello".to_vec());
        self.refused("ticket-base64", rule, 1, "TKT-006: base64 of a ticket", |m1| {
            m1.ticket = base64(&ticket()).into_bytes();
        });
        self.refused("ticket-trailing-byte", rule, 1, "TKT-005: a line feed after the ticket", |m1| {
            m1.ticket.push(b'\n');
        });
        let rule = ("HSK-029", "self-connection");
        self.refused(
            "ticket-of-responder",
            rule,
            1,
            "a ticket that names the responder as initiator",
            |m1| {
                reissue(m1, &|ticket| {
                    ticket.subject = device(DEVICE_Y);
                    ticket.attributes[0] = key_values(&[(DEVICE_Y, &KEY_Y)]);
                    ticket.attributes[1] = claim_values(&[(DEVICE_Y, ALICE)]);
                    ticket.attributes.truncate(2);
                });
            },
        );
        let rule = ("HSK-024", "ticket-key");
        self.refused("ticket-of-another", rule, 1, "another device shows the initiator's ticket", |m1| {
            m1.spki_i = KEY_Z.spki();
        });
    }
}

/// Presents another key, confirmed by a ticket that names it.
pub(super) fn with_key(m1: &mut M1Fields, key: &'static Key) {
    let mut fields = pair("pair");
    fields.confirmation = Some(key.confirmation());
    fields.attributes[0] = key_values(&[(DEVICE_X, key), (DEVICE_Y, &KEY_Y)]);
    m1.spki_i = key.spki();
    m1.ticket = fields.issue(&ISSUER_A.private).into_bytes();
}
