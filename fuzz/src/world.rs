//! Two devices with a ticket for each other, made once.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Entropy};
use meshproof_proto::handshake::{Device, Target, Vouched};
use meshproof_proto::ticket::{
    Attributes, Claim, Issuer, KeyBinding, Subject, Ticket, Verifier, device_audience,
};
use meshproof_proto::time::UnixTime;

pub(crate) const NOW: UnixTime = UnixTime(1_211_000_000);
const X: Id = Id([0xA; 16]);
const Y: Id = Id([0xB; 16]);
const USER: Id = Id([0xC; 16]);
const ISSUER: &str = "urn:meshproof:fuzz";

pub(crate) struct World {
    pub(crate) initiator: Arc<Device>,
    pub(crate) responder: Arc<Device>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) target: Target,
    pub(crate) vouched: Vouched,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let device = |id, pem| Device::load(DEFAULT, id, &pkcs8(pem), &mut Counter(1)).expect("a test key");
    let initiator = device(X, include_str!("../../vectors/keys/device-x.pem"));
    let responder = device(Y, include_str!("../../vectors/keys/device-y.pem"));
    let issuer_key = DEFAULT.private_key(&pkcs8(include_str!("../../vectors/keys/issuer-a.pem")));
    let issuer = Issuer::new(DEFAULT, issuer_key.expect("a test key"));
    let mut verifier = Verifier::new(DEFAULT, device_audience(Y));
    verifier.trust(ISSUER, &[issuer.key().spki().clone()]).expect("a test key");
    let ticket = Ticket {
        id: Id([9; 16]),
        issue_instant: NOW,
        issuer: ISSUER.to_owned(),
        subject: Subject::Device(X),
        confirmation: Some(initiator.spki().clone()),
        not_before: NOW,
        not_on_or_after: NOW.plus(600),
        audience: device_audience(Y),
        authn: None,
        authz: Vec::new(),
        attributes: Attributes {
            keys: vec![KeyBinding { device: Y, fingerprint: responder.spki().fingerprint(DEFAULT) }],
            claims: vec![Claim { device: X, user: USER }, Claim { device: Y, user: USER }],
            mappings: Vec::new(),
        },
    };
    let ticket = issuer.issue(&ticket).expect("a good ticket");
    let target = Target::new(Y, responder.spki().clone(), ticket);
    let vouched = target.verify(&initiator, &verifier, NOW).expect("a good ticket");
    World {
        initiator: Arc::new(initiator),
        responder: Arc::new(responder),
        verifier: Arc::new(verifier),
        target,
        vouched,
    }
});

fn pkcs8(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).expect("a PEM file")
}

/// Fixed input for the generators: fuzzing has to be repeatable.
pub(crate) struct Counter(pub(crate) u8);

impl Entropy for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(17);
            *byte = self.0;
        }
    }
}
