//! An authenticator with one passkey of ES256. What it may not say is for the kit to say; here it is honest.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::crypto::{DEFAULT, draw};
use serde_json::{Value, json};

use crate::common::{Answer, World};

pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    credential: [u8; 16],
    /// What it learned when it was registered.
    handle: String,
    counter: u32,
}

impl Authenticator {
    /// One with a passkey that is not registered yet.
    pub(crate) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let credential = draw(&mut |out: &mut [u8]| getrandom::fill(out).unwrap());
        Self { key, credential, handle: String::new(), counter: 0 }
    }

    /// The members `client_data` and `attestation`, for what `/registration` answered.
    pub(crate) fn register(&mut self, asked: &Value) -> Value {
        let options = &asked["options"];
        self.handle = options["user"]["id"].as_str().unwrap().into();
        let client = client_data("webauthn.create", asked);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58\x94".to_vec();
        object.extend(self.data(options["rp"]["id"].as_str().unwrap(), 0x45));
        object.extend([0; 17]);
        object.push(16);
        object.extend(self.credential);
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        object.extend([b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y].concat());
        json!({ "client_data": encoded(&client), "attestation": encoded(&object) })
    }

    /// The request for `/token`, for what `/challenge` answered.
    pub(crate) fn sign_in(&mut self, asked: &Value) -> Value {
        self.counter += 1;
        let client = client_data("webauthn.get", asked);
        let data = self.data(asked["options"]["rpId"].as_str().unwrap(), 0x05);
        let message = [&data[..], &DEFAULT.sha256(&[&client])].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "credential": encoded(&self.credential),
            "client_data": encoded(&client),
            "authenticator_data": encoded(&data),
            "signature": encoded(signature.as_ref()),
            "user_handle": self.handle,
        })
    }

    /// Registers at the cloud with a token.
    pub(crate) async fn add_to(&mut self, world: &World, token: &str, label: &str) -> Answer {
        let post = |path: &str| world.http.post(world.url(path)).bearer_auth(token);
        let asked = Answer::of(post("/identity/passkeys/registration")).await;
        let mut body = self.register(&asked.is(200).body);
        body["label"] = label.into();
        Answer::of(post("/identity/passkeys").json(&body)).await
    }

    fn data(&self, rp_id: &str, flags: u8) -> Vec<u8> {
        [&DEFAULT.sha256(&[rp_id.as_bytes()])[..], &[flags], &self.counter.to_be_bytes()].concat()
    }
}

fn client_data(kind: &str, asked: &Value) -> Vec<u8> {
    let challenge = &asked["options"]["challenge"];
    json!({ "type": kind, "challenge": challenge, "origin": asked["origin"] }).to_string().into_bytes()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
