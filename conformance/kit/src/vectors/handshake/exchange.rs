//! The two devices of all handshake vectors, and the messages they write when nothing is wrong.

use serde_json::{Value, json};

use crate::oracle::crypto::{from_hex, hex};
use crate::oracle::handshake::{M1, M1Fields, M2, M2Fields};
use crate::vectors::fixtures::{
    DEVICE_X, DEVICE_Y, ISSUER, ISSUER_A, KEY_X, KEY_Y, Key, NOW, bytes32, issuers, pair,
};

/// What an initiator draws, in order.
pub(super) struct Draws {
    pub(super) nonce: [u8; 32],
    pub(super) k: [u8; 32],
    pub(super) seed: [u8; 32],
}

impl Draws {
    /// The draws of X: `nonce_I`, `k_R`, the seed of `ct_R`.
    pub(super) fn initiator() -> Self {
        Self { nonce: bytes32("nonce_I"), k: bytes32("k_R"), seed: bytes32("seed of ct_R") }
    }

    /// The draws of Y: `nonce_R`, `k_I`, the seed of `ct_I`.
    pub(super) fn responder() -> Self {
        Self { nonce: bytes32("nonce_R"), k: bytes32("k_I"), seed: bytes32("seed of ct_I") }
    }

    pub(super) fn entropy(&self) -> String {
        hex(&[self.nonce, self.k, self.seed].concat())
    }
}

/// The pair ticket, as its bytes.
pub(super) fn ticket() -> Vec<u8> {
    pair("pair").issue(&ISSUER_A.private).into_bytes()
}

/// The fields of a good M1 from X to Y.
pub(super) fn m1_fields() -> M1Fields {
    let draws = Draws::initiator();
    let responder = KEY_Y.private.to_public_key();
    M1Fields {
        time: NOW,
        spki_i: KEY_X.spki(),
        ticket: ticket(),
        ..M1Fields::new(&responder, draws.nonce, draws.k, &draws.seed)
    }
}

/// A good M1 from X to Y.
pub(super) fn m1() -> M1 {
    m1_fields().build()
}

/// The fields of a good M2 from Y to X.
pub(super) fn m2_fields() -> M2Fields {
    let draws = Draws::responder();
    M2Fields {
        initiator: device_bytes(DEVICE_X),
        responder: device_bytes(DEVICE_Y),
        ..M2Fields::new(&KEY_X.private.to_public_key(), draws.nonce, draws.k, &draws.seed)
    }
}

/// A good M2 from Y to X.
pub(super) fn m2() -> M2 {
    let m1 = m1();
    m2_fields().build(&m1.keys.ck1, &m1.frame)
}

/// The 16 bytes of an identifier.
pub(super) fn device_bytes(id: &str) -> Vec<u8> {
    from_hex(id).expect("a device identifier of the fixtures")
}

/// The fields of a group in which a responder is tested.
pub(super) fn responder_group(key: &Key) -> Value {
    json!({
        "responder_key": key.pkcs8_text(),
        "responder": DEVICE_Y,
        "issuers": issuers(&[(ISSUER, &[&ISSUER_A])]),
    })
}

/// The values of section 3.1 that M1 fixes.
pub(super) fn m1_intermediates(m1: &M1) -> Value {
    json!({
        "m1_prefix": hex(&m1.prefix),
        "ck1": hex(&m1.keys.ck1),
        "K1": hex(&m1.keys.k1),
        "box1": hex(&m1.plaintext),
        "KREF": hex(&m1.keys.kref(&m1.frame)),
    })
}

/// The values of section 3.1 that M2 fixes.
pub(super) fn m2_intermediates(m2: &M2) -> Value {
    json!({
        "m2_prefix": hex(&m2.prefix),
        "ck2": hex(&m2.keys.ck2),
        "K2": hex(&m2.keys.k2),
        "box2": hex(&m2.plaintext),
        "ck3": hex(&m2.confirmation.ck3),
        "th": hex(&m2.confirmation.th),
        "tag_R": hex(&m2.confirmation.tag_r),
        "th2": hex(&m2.confirmation.th2),
    })
}
