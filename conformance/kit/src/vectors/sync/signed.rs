//! What writers and the issuer sign.

use serde_json::json;

use super::super::envelope::{File, Group, Test};
use super::{X, Z, two_contents};
use crate::oracle::crypto::hex;
use crate::oracle::sync::{self, Entry};
use crate::target::fixture::PeerFixture;

pub(super) fn file() -> File {
    let mut tests = Vec::new();
    let keys = json!([X, Z].map(|device| json!([hex(&device), hex(&sync::public_key(device))])));
    let mut test = |id: &str, what: &str, comment: &str, bad: Option<(&str, &str)>, bytes: &[u8]| {
        let inputs = json!({"what": what, "bytes": hex(bytes), "keys": keys.clone()});
        let (id, twin) = (format!("sync.signed.{id}"), format!("sync.signed.{what}"));
        tests.push(match bad {
            None => Test::valid(&id, comment, &[], inputs),
            Some((requirement, reason)) => Test::invalid(&id, &twin, comment, &[requirement], reason, inputs),
        });
    };
    let entry = two_contents().deleted(&[(X, 4), (Z, 2)]);
    let forged = Some(("SYN-052", "change-forged"));
    test("entry", "entry", "an entry that its writers signed", None, &entry.bytes());
    for number in 0..3 {
        let mut proofs = entry.proofs();
        proofs[number].signature[63 - number] ^= 1;
        let bad = Entry { proofs: Some(proofs), ..entry.clone() };
        test(&format!("entry-{number}"), "entry", "one signature with another bit", forged, &bad.bytes());
    }
    let mut proofs = entry.proofs();
    proofs[1].place = [1; 32];
    let bad = Entry { proofs: Some(proofs), ..entry.clone() };
    test("entry-more", "entry", "a proof that says more than was signed", forged, &bad.bytes());
    let mut elsewhere = entry.clone();
    elsewhere.id[15] ^= 1;
    elsewhere.proofs = Some(entry.proofs());
    test("entry-elsewhere", "entry", "the proofs of another entry", forged, &elsewhere.bytes());
    let head = sync::head(PeerFixture::FOLDER, X, 7, [3; 32]);
    test("head", "head", "a head that its writer signed", None, &head.bytes());
    let forged = Some(("SYN-055", "head-forged"));
    let later = sync::Head { counter: 8, ..head };
    test("head-later", "head", "a head with another counter", forged, &later.bytes());
    let other = sync::Head { chain: [4; 32], ..head };
    test("head-other", "head", "a head with another chain", forged, &other.bytes());
    let whose = sync::Head { device: Z, ..head };
    test("head-of-another", "head", "a head of another device", forged, &whose.bytes());
    let card = sync::card(PeerFixture::FOLDER, X);
    test("card", "card", "a card that the issuer signed", None, &card.bytes());
    let forged = Some(("SYN-056", "none"));
    let other = sync::Card { device: Z, ..card.clone() };
    test("card-of-another", "card", "the card of another device", forged, &other.bytes());
    let mut other = card;
    other.key[0] ^= 1;
    test("card-key", "card", "a card with another key", forged, &other.bytes());
    let fields = json!({
        "folder": hex(&PeerFixture::FOLDER),
        "issuer": hex(&crate::oracle::crypto::spki(&PeerFixture::get().issuer.to_public_key())),
    });
    let header = &["spec/sync.md sections 3.4 and 3.5: what writers and the issuer sign"];
    let file = super::file("signed", header, "SyncSigned", tests);
    let groups = file.groups.into_iter().map(|group| Group { fields: fields.clone(), ..group }).collect();
    File { groups, ..file }
}
