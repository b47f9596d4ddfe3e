//! Issuer, digest, signature, time, audience, possession, revocation: TKT-014 and TKT-019 to TKT-026.

use serde_json::json;

use super::draft::{Cases, Draft, replacing};
use crate::oracle::crypto::{base64, h, modulus};
use crate::oracle::ticket::{Signing, time};
use crate::vectors::fixtures::{
    ALICE, BOB, CLOUD, DEVICE_X, DEVICE_Y, DEVICE_Z, ISSUER_A, ISSUER_B, ISSUER_EVIL, KEY_X, KEY_Y, NOW,
    OTHER_ISSUER, device, user,
};

const SYNTAX: (&str, &str) = ("TKT-006", "ticket-syntax");
const ISSUER_RULE: (&str, &str) = ("TKT-019", "ticket-issuer");
const DIGEST: (&str, &str) = ("TKT-020", "ticket-digest");
const SIGNATURE: (&str, &str) = ("TKT-021", "ticket-signature");
const EARLY: (&str, &str) = ("TKT-022", "ticket-not-yet-valid");
const EXPIRED: (&str, &str) = ("TKT-014", "ticket-expired");
const LIFETIME: (&str, &str) = ("TKT-023", "ticket-lifetime");
const AUDIENCE: (&str, &str) = ("TKT-024", "ticket-audience");
const POSSESSION: (&str, &str) = ("TKT-025", "ticket-possession");
const REVOKED: (&str, &str) = ("TKT-026", "ticket-revoked");

pub(super) fn cases(cases: &mut Cases) {
    cases.from("user-authentication", Draft::user);
    issuer(cases);
    digest(cases);
    signature(cases);
    clock(cases);
    for (id, comment, audience) in [
        ("other", "another service", "https://other.mesh.example/"),
        ("no-slash", "a slash less", "https://cloud.mesh.example"),
        ("upper-case", "capitals", "https://CLOUD.mesh.example/"),
        ("longer", "a longer path", "https://cloud.mesh.example/x"),
        ("http", "another scheme", "http://cloud.mesh.example/"),
        ("device", "a device", &device(DEVICE_Y)),
    ] {
        let comment = format!("for another audience: {comment}");
        cases.invalid(&format!("audience-{id}"), AUDIENCE, &comment, |draft| {
            audience.clone_into(&mut draft.fields.audience);
        });
    }
    cases.valid("revoked-other", "TKT-026", "another user is revoked", |draft| {
        draft.revoked = vec![user(BOB)];
    });
    cases.invalid("revoked-user", REVOKED, "the user is revoked", |draft| {
        draft.revoked = vec![user(BOB), user(ALICE)];
    });
    cases.from("device-authentication", Draft::device);
    cases.valid("revoked-other-device", "TKT-026", "another device is revoked", |draft| {
        draft.revoked = vec![device(DEVICE_Z)];
    });
    cases.invalid("revoked-device", REVOKED, "the device is revoked", |draft| {
        draft.revoked = vec![device(DEVICE_X)];
    });
    order(cases);
}

fn issuer(cases: &mut Cases) {
    cases.invalid("issuer-unknown", ISSUER_RULE, "an unknown issuer and its own key", |draft| {
        draft.fields.issuer = OTHER_ISSUER.into();
        draft.key = &ISSUER_EVIL;
    });
    for (id, comment, name) in [
        ("no-slash", "a slash less", "https://account.mesh.example"),
        ("upper-case", "capitals", "https://ACCOUNT.mesh.example/"),
        ("longer", "a longer path", "https://account.mesh.example/x"),
    ] {
        let comment = format!("the issuer's name with {comment}");
        cases.invalid(&format!("issuer-{id}"), ISSUER_RULE, &comment, |draft| {
            name.clone_into(&mut draft.fields.issuer);
        });
    }
}

/// Changes after digest and signature, and digests of something else that are correctly signed.
fn digest(cases: &mut Cases) {
    for (id, comment, from, to) in [
        ("subject", "another user", ALICE, BOB),
        ("expiry", "a later end", "T14:23:20Z", "T14:23:21Z"),
        ("begin", "an earlier begin", "NotBefore=\"2026-09-21T14:13:20Z", "NotBefore=\"2026-09-21T14:13:19Z"),
        ("issue-instant", "another instant of issue", "IssueInstant=\"2026", "IssueInstant=\"2025"),
        (
            "authn-instant",
            "a later authentication",
            "AuthnInstant=\"2026-09-21T14:12",
            "AuthnInstant=\"2026-09-21T14:13",
        ),
        ("class", "another class of authentication", "PasswordProtectedTransport", "Smartcard"),
    ] {
        let comment = format!("after signing: {comment}");
        cases.invalid(&format!("altered-{id}"), DIGEST, &comment, |draft| draft.replace_after(from, to));
    }
    cases.from("authorization", Draft::rights);
    for (id, comment, from, to) in [
        ("decision", "a decision", "Decision=\"Permit\"", "Decision=\"Deny\""),
        ("resource", "another resource", "Resource=\"/mesh/objects/f0", "Resource=\"/mesh/objects/f1"),
        ("action", "another action", ">Write<", ">Delete<"),
    ] {
        let comment = format!("after signing: {comment}");
        cases.invalid(&format!("altered-{id}"), DIGEST, &comment, |draft| draft.replace_after(from, to));
    }
    cases.from("user-authentication", Draft::user);
    let set = |cases: &mut Cases, id: &str, comment: &str, bytes: Vec<u8>| {
        let comment = format!("correctly signed, but the digest is {comment}");
        cases.invalid(&format!("digest-{id}"), DIGEST, &comment, move |draft| {
            draft.signing(move |signing| signing.digest = base64(&bytes));
        });
    };
    let right = h(&[Draft::user().fields.unsigned().as_bytes()]);
    set(
        cases,
        "of-other-ticket",
        "that of another ticket",
        h(&[Draft::rights().fields.unsigned().as_bytes()]).to_vec(),
    );
    set(cases, "of-nothing", "that of nothing", h(&[]).to_vec());
    set(cases, "zeros", "zeros", vec![0; 32]);
    set(cases, "short", "cut by a byte", right[..31].to_vec());
    set(cases, "long", "a byte longer", [&right[..], &[0]].concat());
    set(cases, "empty", "empty", Vec::new());
    let mut flipped = right;
    flipped[31] ^= 1;
    set(cases, "bit", "wrong in its last bit", flipped.to_vec());
    let text = Draft::user().text();
    set(cases, "with-signature", "over another ticket's signature too", h(&[text.as_bytes()]).to_vec());
    cases.invalid("digest-no-padding", SYNTAX, "a digest without padding", |draft| {
        draft.signing(|signing| signing.digest = signing.digest.trim_end_matches('=').to_owned());
    });
    cases.invalid("digest-trailing-bits", SYNTAX, "an unused bit of the digest's last digit is 1", |draft| {
        draft.signing(|signing| {
            let mut digest: Vec<char> = signing.digest.chars().collect();
            let last = digest.len() - 2;
            digest[last] = char::from(digest[last] as u8 + 1);
            signing.digest = digest.into_iter().collect();
        });
    });
    // Sixty-four such digits are base64, of 48 other bytes.
    cases.invalid("digest-hex", DIGEST, "a digest in hexadecimal", |draft| {
        draft.signing(move |signing| signing.digest = crate::oracle::crypto::hex(&right));
    });
}

fn signature(cases: &mut Cases) {
    cases.invalid("signature-other-key", SIGNATURE, "signed with an unknown key", |draft| {
        draft.key = &ISSUER_EVIL;
    });
    cases.invalid("signature-untrusted-key", SIGNATURE, "signed with another issuer's key", |draft| {
        draft.key = &ISSUER_B;
    });
    let with = |cases: &mut Cases, id: &str, comment: &str, change: fn(Vec<u8>) -> Vec<u8>| {
        cases.invalid(&format!("signature-{id}"), SIGNATURE, comment, |draft| {
            draft.forge.signer =
                Some(Box::new(move |key, text| change(crate::oracle::crypto::sign(key, text.as_bytes()))));
        });
    };
    with(cases, "first-bit", "a bit of the signature's first byte", |mut bytes| {
        bytes[0] ^= 1;
        bytes
    });
    with(cases, "last-bit", "the last bit of the signature", |mut bytes| {
        bytes[255] ^= 1;
        bytes
    });
    with(cases, "empty", "an empty signature", |_| Vec::new());
    with(cases, "zero", "a signature of zeros", |_| vec![0; 256]);
    with(cases, "one", "a signature of the number 1", |mut bytes| {
        bytes.fill(0);
        bytes[255] = 1;
        bytes
    });
    with(cases, "modulus", "the modulus as signature", |_| modulus(&ISSUER_A.private.to_public_key()));
    with(cases, "ones", "a signature above the modulus", |_| vec![0xff; 256]);
    with(cases, "short", "a signature without its last byte", |mut bytes| {
        bytes.pop();
        bytes
    });
    with(cases, "leading-zero", "a zero before the signature", |bytes| [vec![0], bytes].concat());
    with(cases, "trailing-zero", "a zero after the signature", |bytes| [bytes, vec![0]].concat());
    with(cases, "plus-modulus", "the signature plus the modulus, the same number modulo it", |bytes| {
        add(&bytes, &modulus(&ISSUER_A.private.to_public_key()))
    });
    with(cases, "reversed", "the signature's bytes in reverse", |mut bytes| {
        bytes.reverse();
        bytes
    });
    cases.invalid(
        "signature-of-other-ticket",
        SIGNATURE,
        "the signature of another ticket of the issuer",
        |draft| {
            let (user, rights) = (Draft::user().fields, Draft::rights().fields);
            let other = if draft.fields.id == rights.id { user } else { rights };
            let signed_info = Signing::over(&other.unsigned(), &other.id).signed_info();
            draft.forge.signer =
                Some(Box::new(move |key, _| crate::oracle::crypto::sign(key, signed_info.as_bytes())));
        },
    );
    cases.invalid(
        "signature-stale",
        SIGNATURE,
        "another user and the right digest, with the old signature",
        |draft| {
            let old = Draft::user();
            let signed_info = Signing::over(&old.fields.unsigned(), &old.fields.id).signed_info();
            draft.fields.subject = user(BOB);
            draft.forge.signer =
                Some(Box::new(move |key, _| crate::oracle::crypto::sign(key, signed_info.as_bytes())));
        },
    );
    // What is no base64 departs from the grammar.
    cases.invalid("signature-no-padding", SYNTAX, "a signature without padding", |draft| {
        draft.forge.signature = Some(replacing("==</ds:SignatureValue>", "</ds:SignatureValue>"));
    });
    cases.invalid("signature-spaces", SYNTAX, "a space in the signature", |draft| {
        draft.forge.signature = Some(replacing("==</ds:SignatureValue>", " ==</ds:SignatureValue>"));
    });
    cases.invalid(
        "signature-trailing-bits",
        SYNTAX,
        "an unused bit of the signature's last digit is 1",
        |draft| {
            draft.forge.signature = Some(Box::new(|text| {
                let at = text.find("==</ds:SignatureValue>").unwrap_or_default() - 1;
                let digit = char::from(text.as_bytes()[at] + 1);
                format!("{}{digit}{}", &text[..at], &text[at + 1..])
            }));
        },
    );
}

/// The sum of two numbers of equal length; a carry makes it longer.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut sum = Vec::new();
    let mut carry = 0;
    for (a, b) in a.iter().rev().zip(b.iter().rev()) {
        let digit = u16::from(*a) + u16::from(*b) + carry;
        sum.push(digit.to_le_bytes()[0]);
        carry = digit >> 8;
    }
    if carry > 0 {
        sum.push(1);
    }
    sum.reverse();
    sum
}

fn clock(cases: &mut Cases) {
    let at = |now: u64| move |draft: &mut Draft| draft.now = now;
    cases.valid("not-before-30-seconds-ahead", "TKT-022", "the clock is 30 s behind", at(NOW - 30));
    cases.beside("not-before-30-seconds-ahead", "not-before-31-seconds-ahead", EARLY, "31 s", at(NOW - 31));
    cases.invalid("not-before-a-day-ahead", EARLY, "the clock is a day behind", at(NOW - 86_400));
    cases.valid("last-second", "TKT-014", "one second before the end", at(NOW + 599));
    cases.beside(
        "last-second",
        "expired-at-boundary",
        EXPIRED,
        "the clock reads NotOnOrAfter",
        at(NOW + 600),
    );
    cases.beside("last-second", "expired-by-a-second", EXPIRED, "a second after the end", at(NOW + 601));
    cases.invalid("expired-by-30-seconds", EXPIRED, "no skew is granted at the end", at(NOW + 630));
    cases.invalid("expired-by-a-year", EXPIRED, "a year after the end", at(NOW + 31_536_000));
    let span = |from: u64, to: u64| {
        move |draft: &mut Draft| {
            draft.fields.not_before = time::to_text(from);
            draft.fields.not_on_or_after = time::to_text(to);
        }
    };
    cases.valid("lifetime-1", "TKT-023", "a lifetime of one second", span(NOW, NOW + 1));
    cases.beside("lifetime-1", "lifetime-0", LIFETIME, "a lifetime of zero", span(NOW + 1, NOW + 1));
    cases.invalid("lifetime-negative", LIFETIME, "the end before the begin", span(NOW + 20, NOW + 10));
    cases.invalid("lifetime-601", LIFETIME, "a lifetime of 601 s", span(NOW, NOW + 601));
    cases.invalid("lifetime-601-from-past", LIFETIME, "601 s, begun in the past", span(NOW - 300, NOW + 301));
    cases.invalid("lifetime-a-day", LIFETIME, "a lifetime of a day", span(NOW, NOW + 86_400));
}

/// The valid ticket, what the names of its cases end with, and what it is made of.
type Kind = (&'static str, &'static str, fn() -> Draft);

/// Issuer, signature and time again, for the other kinds of tickets that a service reads.
pub(super) fn kind_cases(cases: &mut Cases) {
    let kinds: [Kind; 2] = [
        ("device-authentication", "-of-device", Draft::device),
        ("authorization", "-of-rights", Draft::rights),
    ];
    for (base, tag, draft) in kinds {
        cases.from(base, draft);
        of_kind(cases, tag);
    }
}

/// The same for pair tickets, and each two rules broken at once.
pub(super) fn pair_kind_cases(cases: &mut Cases) {
    cases.from("pair", Draft::pair);
    of_kind(cases, "-of-pair");
    orders(cases);
}

fn of_kind(cases: &mut Cases, tag: &'static str) {
    cases.tag = tag;
    issuer(cases);
    signature(cases);
    clock(cases);
    cases.tag = "";
}

/// Two rules broken at once: the first in the order of section 4.3 is reported, whichever two.
fn orders(cases: &mut Cases) {
    type Break = (&'static str, (&'static str, &'static str), fn(&mut Draft));
    let breaks: [Break; 9] = [
        ("issuer", ISSUER_RULE, |draft| draft.fields.issuer = OTHER_ISSUER.into()),
        ("digest", DIGEST, |draft| draft.replace_after(DEVICE_X, DEVICE_Z)),
        ("signature", SIGNATURE, |draft| draft.key = &ISSUER_EVIL),
        ("early", EARLY, |draft| draft.now = NOW - 40),
        ("expired", EXPIRED, |draft| draft.now = NOW + 600),
        ("lifetime", LIFETIME, |draft| draft.fields.not_before = time::to_text(NOW - 1)),
        ("audience", AUDIENCE, |draft| draft.fields.audience = device(DEVICE_Z)),
        ("possession", POSSESSION, |draft| draft.presenter = json!("none")),
        ("revoked", REVOKED, |draft| draft.revoked = vec![device(DEVICE_X), device(DEVICE_Z)]),
    ];
    for (at, (first, rule, one)) in breaks.iter().enumerate() {
        for (second, _, other) in &breaks[at + 1..] {
            // One clock cannot be before the begin and behind the end; and an unknown issuer has a key of its own.
            if ![("early", "expired"), ("issuer", "signature")].contains(&(*first, *second)) {
                let (id, comment) = (format!("order-{first}-{second}"), format!("{first}, and {second}"));
                cases.invalid(&id, *rule, &comment, |draft| {
                    one(draft);
                    other(draft);
                });
            }
        }
    }
}

/// Two rules broken at once: the first in the order of section 4.3 is reported.
fn order(cases: &mut Cases) {
    cases.from("user-authentication", Draft::user);
    cases.invalid("first-signature-then-expiry", SIGNATURE, "wrong signature, and expired", |draft| {
        draft.key = &ISSUER_EVIL;
        draft.now = NOW + 600;
    });
    cases.invalid("first-digest-then-signature", DIGEST, "altered, and signed with a wrong key", |draft| {
        draft.key = &ISSUER_EVIL;
        draft.replace_after(ALICE, BOB);
    });
    cases.invalid("first-expiry-then-audience", EXPIRED, "expired, and for another audience", |draft| {
        draft.fields.audience = format!("{CLOUD}x");
        draft.now = NOW + 600;
    });
    cases.invalid("first-audience-then-revocation", AUDIENCE, "for another audience, and revoked", |draft| {
        draft.fields.audience = format!("{CLOUD}x");
        draft.revoked = vec![user(ALICE)];
    });
}

/// Holder-of-key tickets, at device Y.
pub(super) fn possession_cases(cases: &mut Cases) {
    cases.from("pair", Draft::pair);
    cases.invalid("possession-none", POSSESSION, "the presenter proved nothing", |draft| {
        draft.presenter = json!("none");
    });
    cases.invalid("possession-other-key", POSSESSION, "the presenter proved another key", |draft| {
        draft.presenter = json!({"spki": KEY_Y.spki_text()});
    });
    cases.valid(
        "possession-not-needed",
        "TKT-025",
        "a bearer ticket, whatever the presenter proved",
        |draft| {
            draft.fields.confirmation = None;
            draft.presenter = json!({"spki": KEY_X.spki_text()});
        },
    );
    cases.invalid("pair-for-another-device", AUDIENCE, "a pair ticket for another responder", |draft| {
        draft.fields.audience = device(DEVICE_Z);
    });
    cases.invalid("pair-revoked", REVOKED, "the initiator is revoked", |draft| {
        draft.revoked = vec![device(DEVICE_X)];
    });
}
