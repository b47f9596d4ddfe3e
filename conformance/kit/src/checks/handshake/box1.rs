//! handshake.md section 4.2, what box1 says: clock, key and ticket. Its sender has proved to know the responder's key, so
//! it is told with REFUSE why it is not let in.

use super::{Answer, sends_m1, sends_ticket};
use crate::check::Check;
use crate::oracle::crypto::hex;
use crate::oracle::ticket::{Decision, Forge, TicketFields, time, uri};
use crate::target::fixture::PeerFixture;
use crate::target::peer::now;
use crate::vectors::fixtures::{self, Key};

pub(super) fn checks() -> Vec<Check> {
    [fields(), clock_and_key(), ticket(), pair()].concat()
}

fn fields() -> Vec<Check> {
    use Answer::{M2, Silence};
    vec![
        sends_m1("hs.box1.params-unknown", &[], "box1 with parameters nobody knows", M2, |m1| {
            m1.params = vec![0x7f, 0x01, 0, 2, 1, 2, 0x7f, 0x02, 0, 0];
        }),
        sends_m1(
            "hs.box1.params-cut",
            &["HSK-003"],
            "box1 with a parameter longer than the rest",
            Silence,
            |m1| {
                m1.params = vec![0x7f, 0x01, 0, 3, 1, 2];
            },
        ),
        sends_m1("hs.box1.ticket-empty", &["HSK-003"], "box1 with a ticket of no bytes", Silence, |m1| {
            m1.ticket.clear();
        }),
        sends_m1(
            "hs.box1.ticket-length",
            &["HSK-003"],
            "box1 whose ticket is said to be longer than the box",
            Silence,
            |m1| {
                m1.forge.fields = Some(Box::new(|fields| {
                    let at = ticket_length_at(fields);
                    fields[at] = 0x7f;
                }));
            },
        ),
        sends_m1(
            "hs.box1.padding-nonzero",
            &["HSK-004"],
            "box1 whose padding ends in a one",
            Silence,
            |m1| {
                m1.forge.plaintext = Some(Box::new(|plaintext| *plaintext.last_mut().expect("padding") = 1));
            },
        ),
        sends_m1(
            "hs.box1.padding-extra-block",
            &["HSK-004"],
            "box1 with 1,024 zeros more than needed",
            Silence,
            |m1| {
                m1.forge.plaintext = Some(Box::new(|plaintext| plaintext.extend([0; 1024])));
            },
        ),
        sends_m1("hs.box1.padding-short", &["HSK-004"], "box1 padded to one byte less", Silence, |m1| {
            m1.forge.plaintext = Some(Box::new(|plaintext| {
                plaintext.pop();
            }));
        }),
    ]
}

fn clock_and_key() -> Vec<Check> {
    use Answer::{M2, Refuse};
    vec![
        sends_m1("hs.box1.clock-200-slow", &[], "an initiator whose clock is 200 s slow", M2, |m1| {
            m1.time -= 200;
        }),
        sends_m1("hs.box1.clock-200-fast", &[], "an initiator whose clock is 200 s fast", M2, |m1| {
            m1.time += 200;
        }),
        sends_m1(
            "hs.box1.clock-slow",
            &["HSK-019"],
            "an initiator whose clock is 400 s slow",
            Refuse(1),
            |m1| {
                m1.time -= 400;
            },
        ),
        sends_m1(
            "hs.box1.clock-fast",
            &["HSK-019"],
            "an initiator whose clock is 400 s fast",
            Refuse(1),
            |m1| {
                m1.time += 400;
            },
        ),
        sends_m1("hs.box1.clock-max", &["HSK-019"], "an initiator at the end of time", Refuse(1), |m1| {
            m1.time = u64::MAX;
        }),
        sends_m1(
            "hs.box1.key-1024",
            &["HSK-020"],
            "an initiator with a key of 1,024 bits",
            Refuse(1),
            |m1| {
                m1.spki_i = fixtures::KEY_1024.spki();
            },
        ),
        sends_m1(
            "hs.box1.key-2047",
            &["HSK-020"],
            "an initiator with a key of 2,047 bits",
            Refuse(1),
            |m1| {
                m1.spki_i = fixtures::KEY_2047.spki();
            },
        ),
        sends_m1(
            "hs.box1.key-3080",
            &["HSK-020"],
            "an initiator with a key of 3,080 bits",
            Refuse(1),
            |m1| {
                m1.spki_i = fixtures::KEY_3080.spki();
            },
        ),
        sends_m1("hs.box1.key-e3", &["HSK-020"], "an initiator with a key of exponent 3", Refuse(1), |m1| {
            m1.spki_i = fixtures::KEY_E3.spki();
        }),
        sends_m1(
            "hs.box1.key-trailing",
            &["HSK-020"],
            "an initiator with a byte after its SPKI",
            Refuse(1),
            |m1| {
                m1.spki_i.push(0);
            },
        ),
        sends_m1("hs.box1.key-none", &["HSK-020"], "an initiator without a key", Refuse(1), |m1| {
            m1.spki_i.clear();
        }),
        sends_ticket(
            "hs.box1.ticket-names-responder",
            &["HSK-029"],
            "a ticket that names the responder as the initiator",
            Refuse(1),
            |ticket| {
                let y = hex(&PeerFixture::DEVICE_Y);
                ticket.subject = format!("{}{y}", uri::DEVICE);
                for (_, values) in &mut ticket.attributes {
                    values.retain(|value| value.contains(&y));
                }
            },
        ),
        // The ticket agrees with the key, so that nothing but the self-connection is wrong.
        super::sends(
            "hs.box1.key-own",
            &["HSK-021"],
            "an initiator with the key of the responder",
            Refuse(1),
            |ticket| confirm(ticket, &fixtures::KEY_Y),
            |m1| m1.spki_i = PeerFixture::get().spki_y(),
        ),
    ]
}

fn ticket() -> Vec<Check> {
    use Answer::{M2, Refuse};
    vec![
        sends_ticket(
            "hs.ticket.expired",
            &["HSK-022"],
            "a ticket that ended a minute ago",
            Refuse(2),
            |ticket| {
                lasts(ticket, now() - 300, now() - 60);
            },
        ),
        sends_ticket("hs.ticket.almost-expired", &[], "a ticket that ends in 20 s", M2, |ticket| {
            lasts(ticket, now() - 300, now() + 20);
        }),
        sends_ticket(
            "hs.ticket.not-yet",
            &["HSK-023"],
            "a ticket that begins in a minute",
            Refuse(1),
            |ticket| {
                lasts(ticket, now() + 60, now() + 300);
            },
        ),
        sends_ticket("hs.ticket.too-long", &["HSK-023"], "a ticket for 601 s", Refuse(1), |ticket| {
            lasts(ticket, now() - 1, now() + 600);
        }),
        sends_ticket(
            "hs.ticket.audience-other",
            &["HSK-023"],
            "a ticket for another responder",
            Refuse(1),
            |ticket| {
                ticket.audience = format!("{}{}", uri::DEVICE, hex(&PeerFixture::DEVICE_Z));
            },
        ),
        sends_ticket(
            "hs.ticket.audience-cloud",
            &["HSK-023"],
            "a ticket for the cloud",
            Refuse(1),
            |ticket| {
                fixtures::CLOUD.clone_into(&mut ticket.audience);
            },
        ),
        sends_ticket(
            "hs.ticket.issuer-unknown",
            &["HSK-023"],
            "a ticket of an issuer nobody trusts",
            Refuse(1),
            |ticket| {
                fixtures::OTHER_ISSUER.clone_into(&mut ticket.issuer);
            },
        ),
        sends_m1(
            "hs.ticket.signer-other",
            &["HSK-023"],
            "a ticket signed by somebody else",
            Refuse(1),
            |m1| {
                let ticket = PeerFixture::get().pair_ticket([8; 16], now());
                m1.ticket = ticket.issue(&fixtures::ISSUER_EVIL.private).into_bytes();
            },
        ),
        sends_m1(
            "hs.ticket.signature-flipped",
            &["HSK-023"],
            "a ticket with one bit of its signature flipped",
            Refuse(1),
            |m1| {
                let forge = Forge {
                    signer: Some(Box::new(|key, text| {
                        let mut signature = crate::oracle::crypto::sign(key, text.as_bytes());
                        signature[100] ^= 1;
                        signature
                    })),
                    ..Forge::default()
                };
                let fixture = PeerFixture::get();
                m1.ticket = fixture.pair_ticket([8; 16], now()).forge(&fixture.issuer, &forge).into_bytes();
            },
        ),
        sends_m1(
            "hs.ticket.altered",
            &["HSK-023"],
            "a ticket whose text was altered after signing",
            Refuse(1),
            |m1| {
                let text = String::from_utf8_lossy(&m1.ticket).replace(" owner<", " reader<");
                m1.ticket = text.into_bytes();
            },
        ),
        sends_m1("hs.ticket.garbage", &["HSK-023"], "bytes that are no ticket", Refuse(1), |m1| {
            m1.ticket = b"<not a ticket/>".to_vec();
        }),
        sends_m1("hs.ticket.trailing", &["HSK-023"], "a ticket with a space after it", Refuse(1), |m1| {
            m1.ticket.push(b' ');
        }),
        sends_ticket("hs.ticket.bearer", &["HSK-023", "TKT-034"], "a bearer ticket", Refuse(1), |ticket| {
            ticket.confirmation = None;
        }),
        sends_ticket(
            "hs.ticket.of-user",
            &["HSK-023", "TKT-034"],
            "a holder-of-key ticket of a user",
            Refuse(1),
            |ticket| {
                ticket.subject = format!("{}{}", uri::USER, hex(&PeerFixture::USER));
            },
        ),
        sends_ticket(
            "hs.ticket.other-key",
            &["HSK-024"],
            "a ticket that confirms another key",
            Refuse(1),
            |ticket| {
                confirm(ticket, &fixtures::KEY_Z);
            },
        ),
        sends_ticket(
            "hs.ticket.no-pair",
            &["HSK-023", "TKT-034", "TKT-032"],
            "a ticket that only permits to read",
            Refuse(1),
            |ticket| {
                ticket.attributes.clear();
                ticket.authz = vec![Decision::new("Permit", "/mesh", &["Read"])];
            },
        ),
    ]
}

fn pair() -> Vec<Check> {
    use Answer::{M2, Refuse};
    vec![
        sends_ticket(
            "hs.pair.same-user",
            &[],
            "one user claims both, and no folder is mapped",
            M2,
            |ticket| {
                ticket.attributes.retain(|(name, _)| name != uri::MAPPING);
            },
        ),
        sends_ticket(
            "hs.pair.same-folder",
            &[],
            "two users, and one folder is mapped on both",
            M2,
            |ticket| {
                other_user(ticket);
            },
        ),
        sends_ticket(
            "hs.pair.unrelated",
            &["TKT-032", "HSK-023"],
            "two users, and no folder is mapped",
            Refuse(1),
            |ticket| {
                other_user(ticket);
                ticket.attributes.retain(|(name, _)| name != uri::MAPPING);
            },
        ),
        sends_ticket(
            "hs.pair.two-folders",
            &["TKT-032", "HSK-023"],
            "two users, and each maps a folder of its own",
            Refuse(1),
            |ticket| {
                other_user(ticket);
                values(ticket, uri::MAPPING)[1] =
                    format!("{} {} owner", hex(&PeerFixture::OTHER_FOLDER), hex(&PeerFixture::DEVICE_Y));
            },
        ),
        sends_ticket(
            "hs.pair.folder-third-device",
            &["TKT-032", "HSK-023"],
            "a folder mapped on X and a third device",
            Refuse(1),
            |ticket| {
                other_user(ticket);
                values(ticket, uri::MAPPING)[1] =
                    format!("{} {} owner", hex(&PeerFixture::FOLDER), hex(&PeerFixture::DEVICE_Z));
            },
        ),
        sends_ticket(
            "hs.pair.responder-key-other",
            &["TKT-033", "HSK-023"],
            "a ticket that gives Y another fingerprint",
            Refuse(1),
            |ticket| {
                values(ticket, uri::KEY)[1] =
                    format!("{} {}", hex(&PeerFixture::DEVICE_Y), fixtures::KEY_Z.fingerprint());
            },
        ),
        sends_ticket(
            "hs.pair.responder-key-missing",
            &["TKT-033", "HSK-023"],
            "a ticket that gives Y no fingerprint",
            Refuse(1),
            |ticket| {
                values(ticket, uri::KEY).truncate(1);
            },
        ),
    ]
}

fn lasts(ticket: &mut TicketFields, from: u64, to: u64) {
    ticket.issue_instant = time::to_text(from);
    ticket.not_before = time::to_text(from);
    ticket.not_on_or_after = time::to_text(to);
}

fn confirm(ticket: &mut TicketFields, key: &Key) {
    ticket.confirmation = Some(key.confirmation());
    values(ticket, uri::KEY)[0] = format!("{} {}", hex(&PeerFixture::DEVICE_X), key.fingerprint());
}

/// Gives the responder to another user.
fn other_user(ticket: &mut TicketFields) {
    values(ticket, uri::CLAIM)[1] =
        format!("{} {}", hex(&PeerFixture::DEVICE_Y), hex(&PeerFixture::OTHER_USER));
}

fn values<'a>(ticket: &'a mut TicketFields, name: &str) -> &'a mut Vec<String> {
    let found = ticket.attributes.iter_mut().find(|(attribute, _)| attribute == name);
    &mut found.expect("the fixture's ticket has all three attributes").1
}

/// Where the length of the ticket stands in box1: behind time and SPKI.
fn ticket_length_at(fields: &[u8]) -> usize {
    10 + (usize::from(fields[8]) << 8 | usize::from(fields[9]))
}
