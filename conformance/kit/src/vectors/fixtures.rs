//! The fixed people, devices, keys and times of the vectors. Keys are public test keys: `vectors/keys/README.md`.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::oracle::crypto::{
    RsaPrivateKey, base64, fingerprint, h, hex, private_key_from_pem, private_key_to_der, spki,
};
use crate::oracle::ticket::{ConfirmationKey, Decision, TicketFields, time, uri};

/// The clock reading of most tests: 2026-09-21T14:13:20Z.
pub const NOW: u64 = 1_790_000_000;
/// The issuer that every group trusts.
pub const ISSUER: &str = "https://account.mesh.example/";
/// A second issuer.
pub const OTHER_ISSUER: &str = "https://account.other.example/";
/// The audience of the cloud's services.
pub const CLOUD: &str = "https://cloud.mesh.example/";
/// A user.
pub const ALICE: &str = "a11ce000000000000000000000000001";
/// Another user.
pub const BOB: &str = "b0b00000000000000000000000000002";
/// The initiator.
pub const DEVICE_X: &str = "0d00000000000000000000000000000a";
/// The responder.
pub const DEVICE_Y: &str = "0d00000000000000000000000000000b";
/// A third device.
pub const DEVICE_Z: &str = "0d00000000000000000000000000000c";
/// A folder.
pub const FOLDER: &str = "f01de400000000000000000000000001";
/// Another folder.
pub const OTHER_FOLDER: &str = "f01de400000000000000000000000002";

/// A key by the name of its file in `vectors/keys/`.
pub struct Key {
    /// The name.
    pub name: &'static str,
    /// The key.
    pub private: RsaPrivateKey,
}

macro_rules! keys {
    ($($constant:ident $name:literal),* $(,)?) => {$(
        #[doc = concat!("`vectors/keys/", $name, ".pem`.")]
        pub static $constant: LazyLock<Key> =
            LazyLock::new(|| Key::read($name, include_str!(concat!("../../vectors/keys/", $name, ".pem"))));
    )*};
}

keys! {
    ISSUER_A "issuer-a",
    ISSUER_B "issuer-b",
    ISSUER_EVIL "issuer-evil",
    KEY_X "device-x",
    KEY_Y "device-y",
    KEY_Z "device-z",
    KEY_3072 "device-3072",
    KEY_3080 "device-3080",
    KEY_2047 "device-2047",
    KEY_1024 "device-weak-1024",
    KEY_E3 "device-e3",
}

impl Key {
    fn read(name: &'static str, pem: &str) -> Self {
        Self { name, private: private_key_from_pem(pem).expect("a committed key") }
    }

    /// The SPKI.
    pub fn spki(&self) -> Vec<u8> {
        spki(&self.private.to_public_key())
    }

    /// The SPKI in base64, as groups and inputs hold it.
    pub fn spki_text(&self) -> Value {
        json!(base64(&self.spki()))
    }

    /// PKCS#8 DER.
    pub fn pkcs8(&self) -> Vec<u8> {
        private_key_to_der(&self.private)
    }

    /// PKCS#8 in base64.
    pub fn pkcs8_text(&self) -> Value {
        json!(base64(&self.pkcs8()))
    }

    /// The fingerprint in hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex(&fingerprint(&self.private.to_public_key()))
    }

    /// The slots of a holder-of-key confirmation.
    pub fn confirmation(&self) -> ConfirmationKey {
        ConfirmationKey::of(&self.private.to_public_key())
    }
}

/// 32 bytes that look random and are the same every time.
pub fn bytes32(what: &str) -> [u8; 32] {
    h(&[b"meshproof vectors: ", what.as_bytes()])
}

/// A ticket `ID` by a label.
pub fn ticket_id(what: &str) -> String {
    format!("_{}", hex(&bytes32(what)[..16]))
}

/// A user's name in a ticket.
pub fn user(id: &str) -> String {
    format!("{}{id}", uri::USER)
}

/// A device's name in a ticket.
pub fn device(id: &str) -> String {
    format!("{}{id}", uri::DEVICE)
}

/// Issuers as groups hold them.
pub fn issuers(list: &[(&str, &[&Key])]) -> Value {
    let issuer = |(name, keys): &(&str, &[&Key])| -> Value {
        json!({"name": name, "keys": keys.iter().map(|key| key.spki_text()).collect::<Vec<_>>()})
    };
    list.iter().map(issuer).collect()
}

/// A ticket that says nothing yet: issued at [`NOW`], for 600 s, bearer.
pub fn blank(id: &str, subject: String, audience: &str) -> TicketFields {
    TicketFields {
        id: ticket_id(id),
        issue_instant: time::to_text(NOW),
        issuer: ISSUER.to_owned(),
        subject,
        confirmation: None,
        not_before: time::to_text(NOW),
        not_on_or_after: time::to_text(NOW + 600),
        audience: audience.to_owned(),
        authn: None,
        authz: Vec::new(),
        attributes: Vec::new(),
    }
}

/// An authentication ticket of a user.
pub fn authentication(id: &str) -> TicketFields {
    let class = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned();
    TicketFields { authn: Some((time::to_text(NOW - 60), class)), ..blank(id, user(ALICE), CLOUD) }
}

/// An authorization ticket of a user on a folder.
pub fn authorization(id: &str) -> TicketFields {
    let resource = format!("/mesh/objects/{FOLDER}");
    TicketFields {
        authz: vec![Decision::new("Permit", &resource, &["Read", "Write"])],
        ..blank(id, user(ALICE), CLOUD)
    }
}

/// The pair ticket of devices X and Y, of one user and with one folder in common.
pub fn pair(id: &str) -> TicketFields {
    TicketFields {
        confirmation: Some(KEY_X.confirmation()),
        attributes: vec![
            key_values(&[(DEVICE_X, &KEY_X), (DEVICE_Y, &KEY_Y)]),
            claim_values(&[(DEVICE_X, ALICE), (DEVICE_Y, ALICE)]),
            mapping_values(&[(FOLDER, DEVICE_X, "owner"), (FOLDER, DEVICE_Y, "reader")]),
        ],
        ..blank(id, device(DEVICE_X), &device(DEVICE_Y))
    }
}

/// The `key` attribute.
pub fn key_values(values: &[(&str, &Key)]) -> (String, Vec<String>) {
    let values = values.iter().map(|(device, key)| format!("{device} {}", key.fingerprint()));
    (uri::KEY.to_owned(), values.collect())
}

/// The `claim` attribute.
pub fn claim_values(values: &[(&str, &str)]) -> (String, Vec<String>) {
    (uri::CLAIM.to_owned(), values.iter().map(|(device, user)| format!("{device} {user}")).collect())
}

/// The `mapping` attribute.
pub fn mapping_values(values: &[(&str, &str, &str)]) -> (String, Vec<String>) {
    let values = values.iter().map(|(folder, device, role)| format!("{folder} {device} {role}"));
    (uri::MAPPING.to_owned(), values.collect())
}
