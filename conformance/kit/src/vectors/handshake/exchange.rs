//! The two devices of all handshake vectors, and the messages they write when nothing is wrong.

use serde_json::{Value, json};

use crate::oracle::crypto::{base64, from_hex, hex};
use crate::oracle::handshake::{Ephemeral, HYBRID, M1, M1Fields, M2, M2Fields, Names, SUITE, X25519};
use crate::vectors::fixtures::{
    DEVICE_X, DEVICE_Y, ISSUER, ISSUER_A, KEY_X, KEY_Y, Key, NOW, bytes32, issuers, pair,
};

/// What a device draws, in order.
pub(super) struct Draws {
    pub(super) nonce: [u8; 32],
    pub(super) k: [u8; 32],
    pub(super) seed: [u8; 32],
    pub(super) ephemeral: Ephemeral,
}

impl Draws {
    /// The draws of X: `nonce_I`, `k_R`, the seed of `ct_R`, the X25519 secret, `d` and `z` of ML-KEM.
    pub(super) fn initiator() -> Self {
        Self {
            nonce: bytes32("nonce_I"),
            k: bytes32("k_R"),
            seed: bytes32("seed of ct_R"),
            ephemeral: Ephemeral {
                x25519: bytes32("X25519 secret of X"),
                kem: [bytes32("ML-KEM d"), bytes32("ML-KEM z")].concat(),
            },
        }
    }

    /// The draws of Y: `nonce_R`, `k_I`, the seed of `ct_I`, the X25519 secret, `m` of ML-KEM.
    pub(super) fn responder() -> Self {
        Self {
            nonce: bytes32("nonce_R"),
            k: bytes32("k_I"),
            seed: bytes32("seed of ct_I"),
            ephemeral: Ephemeral { x25519: bytes32("X25519 secret of Y"), kem: bytes32("ML-KEM m").to_vec() },
        }
    }

    /// All that is drawn when this is the strongest suite on offer, or the suite chosen.
    pub(super) fn entropy(&self, suite: u16) -> String {
        let mut drawn = [self.nonce, self.k, self.seed].concat();
        if suite >= X25519 {
            drawn.extend(self.ephemeral.x25519);
        }
        if suite >= HYBRID {
            drawn.extend(&self.ephemeral.kem);
        }
        hex(&drawn)
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

/// The same with another offer, and the share that belongs to it.
pub(super) fn m1_offering(offer: &[u16]) -> M1Fields {
    let share = Draws::initiator().ephemeral.initiator_share(offer);
    M1Fields { suites: offer.to_vec(), share, ..m1_fields() }
}

/// A good M1 from X to Y.
pub(super) fn m1() -> M1 {
    m1_fields().build()
}

/// Who talks to whom.
pub(super) fn names() -> Names {
    Names {
        initiator: device_bytes(DEVICE_X),
        responder: device_bytes(DEVICE_Y),
        spki_i: KEY_X.spki(),
        spki_r: KEY_Y.spki(),
    }
}

/// The fields of a good M2 from Y to X.
pub(super) fn m2_fields() -> M2Fields {
    let draws = Draws::responder();
    M2Fields {
        names: names(),
        ..M2Fields::new(&KEY_X.private.to_public_key(), draws.nonce, draws.k, &draws.seed)
    }
}

/// The fields of an M2 of this suite that answers `m1`.
pub(super) fn m2_in(suite: u16, m1: &M1Fields) -> M2Fields {
    let answer = Draws::responder().ephemeral.answer(suite, &m1.share);
    let (share, ss_e) = answer.expect("the initiator's share is good");
    M2Fields { suite, share, ss_e, ..m2_fields() }
}

/// A good M2 from Y to X.
pub(super) fn m2() -> M2 {
    let m1 = m1();
    m2_fields().build(&m1.keys.ck1, &m1.frame)
}

/// The fields of a group in which an initiator that offers these suites is tested.
pub(super) fn initiator_group(offer: &[u16]) -> Value {
    json!({
        "suites": offer,
        "initiator_key": KEY_X.pkcs8_text(),
        "initiator": DEVICE_X,
        "responder": DEVICE_Y,
        "responder_spki": KEY_Y.spki_text(),
        "ticket": base64(&ticket()),
    })
}

/// The suites of the first groups.
pub(super) const BASELINE: &[u16] = &[SUITE];
/// The suites of the others, strongest first.
pub(super) const ALL: &[u16] = &[HYBRID, X25519, SUITE];

/// The 16 bytes of an identifier.
pub(super) fn device_bytes(id: &str) -> Vec<u8> {
    from_hex(id).expect("a device identifier of the fixtures")
}

/// The fields of a group in which a responder that has these suites is tested.
pub(super) fn responder_group(key: &Key, suites: &[u16]) -> Value {
    json!({
        "suites": suites,
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
