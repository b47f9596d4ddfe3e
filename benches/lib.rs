//! What the benchmarks share: test keys, repeatable entropy, and two devices with a ticket for each other.

pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{AWS_LC, Entropy, Provider, RUSTCRYPTO};
use meshproof_proto::handshake::frame::Frame;
use meshproof_proto::handshake::{Answer, AwaitM1, AwaitM2, AwaitM3, Device, Heard, Suites, Target, start};
use meshproof_proto::ticket::{
    Attributes, Claim, Issuer, KeyBinding, Subject, Ticket, Verifier, device_audience,
};
use meshproof_proto::time::UnixTime;

/// When everything happens.
pub const NOW: UnixTime = UnixTime(1_211_000_000);
/// The initiator.
pub const X: Id = Id([0xA; 16]);
/// The responder.
pub const Y: Id = Id([0xB; 16]);

/// Criterion with short runs: there are many of them, and what is compared should lie close together in time. The many
/// samples are short too, so that some of them are undisturbed on a machine that does other things.
pub fn criterion() -> criterion::Criterion {
    criterion::Criterion::default()
        .sample_size(100)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
}

/// Both providers, by name.
pub fn providers() -> [&'static dyn Provider; 2] {
    [AWS_LC, RUSTCRYPTO]
}

/// Bytes that are the same in every run.
pub struct Counter(pub u8);

impl Entropy for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(17);
            *byte = self.0;
        }
    }
}

/// PKCS#8 DER of a test key.
pub fn pkcs8(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).expect("a PEM file")
}

/// Two devices with a ticket for each other, and who believes it.
pub struct World {
    /// X.
    pub initiator: Arc<Device>,
    /// Y.
    pub responder: Arc<Device>,
    /// Y's verifier.
    pub verifier: Arc<Verifier>,
    /// Y as X knows it.
    pub target: Target,
}

impl World {
    /// All with one provider, 2,048-bit keys and these suites.
    pub fn with_suites(provider: &'static dyn Provider, suites: &Suites) -> Self {
        let device = |id, pem| {
            let device = Device::load(provider, id, &pkcs8(pem), &mut Counter(1)).expect("a test key");
            device.with_suites(suites.clone())
        };
        let initiator = device(X, include_str!("../vectors/keys/device-x.pem"));
        let responder = device(Y, include_str!("../vectors/keys/device-y.pem"));
        let issuer_key = provider.private_key(&pkcs8(include_str!("../vectors/keys/issuer-a.pem")));
        let issuer = Issuer::new(provider, issuer_key.expect("a test key"));
        let mut verifier = Verifier::new(provider, device_audience(Y));
        verifier.trust("urn:meshproof:bench", &[issuer.key().spki().clone()]).expect("a test key");
        let user = Id([0xC; 16]);
        let ticket = Ticket {
            id: Id([9; 16]),
            issue_instant: NOW,
            issuer: "urn:meshproof:bench".to_owned(),
            subject: Subject::Device(X),
            confirmation: Some(initiator.spki().clone()),
            not_before: NOW,
            not_on_or_after: NOW.plus(600),
            audience: device_audience(Y),
            authn: None,
            authz: Vec::new(),
            attributes: Attributes {
                keys: vec![KeyBinding { device: Y, fingerprint: responder.spki().fingerprint(provider) }],
                claims: vec![Claim { device: X, user }, Claim { device: Y, user }],
                mappings: Vec::new(),
            },
        };
        let ticket = issuer.issue(&ticket).expect("a good ticket");
        let target = Target::new(Y, responder.spki().clone(), ticket);
        let (initiator, responder) = (Arc::new(initiator), Arc::new(responder));
        Self { initiator, responder, verifier: Arc::new(verifier), target }
    }

    /// A whole handshake in memory, the work of both sides.
    pub fn handshake(&self) {
        let frame =
            |mut bytes, awaited| Frame::take(&mut bytes, awaited).expect("a frame").expect("a whole frame");
        let entropy = &mut Counter(6);
        let (await_m2, m1) = start(self.initiator.clone(), &self.target, NOW, entropy).expect("M1");
        let responder = AwaitM1::new(self.responder.clone(), self.verifier.clone());
        let answer = responder.handle(&frame(m1, AwaitM1::AWAITS), NOW, entropy).expect("M2");
        let Answer::M2(await_m3, m2) = answer else { unreachable!("nobody asks for a cookie") };
        let heard = await_m2.handle(&frame(m2, AwaitM2::AWAITS)).expect("M3");
        let Heard::Established(mine, m3) = heard else { unreachable!("nobody asks for a cookie") };
        let theirs = await_m3.handle(&frame(m3, AwaitM3::AWAITS)).expect("established");
        assert_eq!(mine.transcript, theirs.established.transcript);
    }
}
