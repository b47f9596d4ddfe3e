//! The oracle's verifier takes nothing but what the issuer wrote.

use super::{Issuer, Verification, verify};
use crate::vectors::fixtures::{CLOUD, ISSUER, ISSUER_A, NOW, authentication, pair};

fn by() -> Verification {
    Verification {
        now: NOW,
        audience: CLOUD.to_owned(),
        issuers: vec![Issuer { name: ISSUER.to_owned(), keys: vec![ISSUER_A.private.to_public_key()] }],
        ..Verification::default()
    }
}

#[test]
fn no_change_of_a_byte_is_accepted() {
    let good = authentication("mutants").issue(&ISSUER_A.private).into_bytes();
    verify(&good, &by()).expect("a good ticket");
    for at in 0..good.len() {
        for change in [1, 0x20, b'"' ^ good[at], b'<' ^ good[at], b'A' ^ good[at], b'0' ^ good[at]] {
            let mut ticket = good.clone();
            ticket[at] ^= change;
            assert!(ticket == good || verify(&ticket, &by()).is_err(), "byte {at} changed by {change:#04x}");
        }
    }
}

#[test]
fn no_byte_left_out_or_added_is_accepted() {
    let good = pair("mutants").issue(&ISSUER_A.private).into_bytes();
    let mut by = by();
    by.audience = format!("{}{}", super::uri::DEVICE, crate::vectors::fixtures::DEVICE_Y);
    by.proved = Some(crate::vectors::fixtures::KEY_X.spki());
    verify(&good, &by).expect("a good ticket");
    for at in 0..good.len() {
        let mut shorter = good.clone();
        shorter.remove(at);
        assert!(verify(&shorter, &by).is_err(), "without byte {at}");
        let mut longer = good.clone();
        longer.insert(at, b' ');
        assert!(verify(&longer, &by).is_err(), "a space before byte {at}");
    }
}
