//! Mutual authentication and key exchange between two devices (`spec/handshake.md`).
//!
//! ```text
//!  initiator:  start --M1--> AwaitM2 --M2 ok / M3--> Established
//!                               |
//!                               +-- RETRY, once / M1 with the cookie --> AwaitM2
//!                               +-- REFUSE, NO_COMMON_SUITE, anything else --> Failure
//!
//!  responder:  AwaitM1 --M1 ok / M2--> AwaitM3 --M3 ok--> Established
//!                 |                       |
//!                 +-- under load / RETRY, once --> AwaitM1
//!                 +-- NO_COMMON_SUITE, REFUSE or silence --> Failure
//! ```
//!
//! One struct a state; `handle` consumes it. A failure is final: there is no state to go on from.
//! [`Channel`](crate::channel::Channel) has all of this behind bytes in and bytes out.
//!
//! ```
//! # use meshproof_proto::codec::Id;
//! # use meshproof_proto::crypto::{DEFAULT, KeyBits};
//! # use meshproof_proto::ticket::{self, Attributes, Claim, Issuer, KeyBinding, Subject, Ticket, Verifier};
//! # use meshproof_proto::time::UnixTime;
//! # extern crate alloc;
//! # use alloc::sync::Arc;
//! use meshproof_proto::handshake::frame::Frame;
//! use meshproof_proto::handshake::{Answer, AwaitM1, AwaitM2, AwaitM3, Device, Heard, Target, start};
//!
//! # // The operating system's, in a program.
//! # let mut seed = 1_u64;
//! # let mut entropy = move |out: &mut [u8]| {
//! #     for byte in out {
//! #         seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
//! #         *byte = seed.to_be_bytes()[0];
//! #     }
//! # };
//! # let (x, y, user, now) = (Id([2; 16]), Id([3; 16]), Id([1; 16]), UnixTime(1_211_000_000));
//! # let mut key = || DEFAULT.generate_key(KeyBits::B2048, &mut entropy);
//! # let (issuer, key_x, key_y) = (Issuer::new(DEFAULT, DEFAULT.private_key(&key())?), key(), key());
//! # let key_of = |pkcs8: &[u8]| DEFAULT.private_key(pkcs8).map(|key| key.spki().clone());
//! # let pair_ticket = issuer.issue(&Ticket {
//! #     id: Id([9; 16]),
//! #     issue_instant: now,
//! #     issuer: "https://account.example/".into(),
//! #     subject: Subject::Device(x),
//! #     confirmation: Some(key_of(&key_x)?),
//! #     not_before: now,
//! #     not_on_or_after: now.plus(600),
//! #     audience: ticket::device_audience(y),
//! #     authn: None,
//! #     authz: Vec::new(),
//! #     attributes: Attributes {
//! #         keys: vec![KeyBinding { device: y, fingerprint: key_of(&key_y)?.fingerprint(DEFAULT) }],
//! #         claims: [x, y].map(|device| Claim { device, user }).to_vec(),
//! #         mappings: Vec::new(),
//! #     },
//! # })?;
//! # let mut verifier = Verifier::new(DEFAULT, ticket::device_audience(y));
//! # verifier.trust("https://account.example/", &[issuer.key().spki().clone()])?;
//! # let mut seed = 2_u8;
//! # let mut entropy = move |out: &mut [u8]| { seed += 1; out.fill(seed) };
//! # let frame = |mut bytes: Vec<u8>, awaited| Frame::take(&mut bytes, awaited).map(|frame| frame.ok_or("cut short"));
//! // X opens a connection to Y: it has Y's key and a ticket for the two from the cloud.
//! let device_x = Arc::new(Device::load(DEFAULT, x, &key_x, &mut entropy)?);
//! let target = Target::new(y, key_of(&key_y)?, pair_ticket);
//! target.verify(&device_x, &verifier, now)?; // HSK-039
//! let (await_m2, m1) = start(device_x, &target, now, &mut entropy)?;
//!
//! // Y answers. (`frame` cuts a frame out of the bytes.)
//! let device_y = Arc::new(Device::load(DEFAULT, y, &key_y, &mut entropy)?);
//! let await_m1 = AwaitM1::new(device_y, Arc::new(verifier));
//! let answer = await_m1.handle(&frame(m1, AwaitM1::AWAITS)??, now, &mut entropy);
//! let Ok(Answer::M2(await_m3, m2)) = answer else { panic!("Y refuses X") };
//!
//! let heard = await_m2.handle(&frame(m2, AwaitM2::AWAITS)??);
//! let Ok(Heard::Established(of_x, m3)) = heard else { panic!("that was not Y") };
//!
//! let admission = await_m3.handle(&frame(m3, AwaitM3::AWAITS)??);
//! let Ok(admission) = admission else { panic!("that was not X") };
//! assert_eq!(admission.grounds.user, Some(user)); // why they may meet
//! assert_eq!(admission.established.transcript, of_x.transcript);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod boxes;
pub mod frame;
pub mod guard;
mod initiator;
mod messages;
pub mod nearby;
mod renewal;
mod responder;
mod schedule;
mod share;
mod suite;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::codec::Id;
use crate::crypto::{Entropy, KeyRejected, PrivateKey, Provider, Secret, Spki, draw_secret};
use crate::error::Error;
use crate::requirement::Requirement;

pub use initiator::{AwaitM2, Heard, Target, Vouched, start};
pub use renewal::{CurrentVerifier, Renewal};
pub use responder::{Admission, Answer, AwaitM1, AwaitM3, SuiteMemory};
pub use schedule::Traffic;
pub use suite::{Suite, Suites};

/// The protocol version of M1.
const VERSION: u16 = 1;
/// How far the clocks of two devices may be apart, in seconds (HSK-019).
const MAX_CLOCK_DIFFERENCE: u64 = 300;
/// How long a handshake may take, in seconds (HSK-005).
pub const DEADLINE: u64 = 30;

/// This device: its name and its key.
pub struct Device {
    provider: &'static dyn Provider,
    id: Id,
    key: Box<dyn PrivateKey>,
    rejection_key: Secret,
    blinding: Blinding,
    suites: Suites,
}

impl Device {
    /// Loads the device's key from PKCS#8 DER.
    pub fn load(
        provider: &'static dyn Provider,
        id: Id,
        pkcs8: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, KeyRejected> {
        let key = provider.private_key(pkcs8)?;
        let (rejection_key, seed) = (draw_secret(entropy), draw_secret(entropy));
        let blinding = Blinding { seed, used: AtomicU64::new(0) };
        Ok(Self { provider, id, key, rejection_key, blinding, suites: Suites::default() })
    }

    /// Uses these suites only.
    #[must_use]
    pub fn with_suites(self, suites: Suites) -> Self {
        Self { suites, ..self }
    }

    fn party(&self) -> schedule::Party {
        schedule::Party { id: self.id, fingerprint: self.spki().fingerprint(self.provider) }
    }

    /// The device's identifier.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The device's public key.
    pub fn spki(&self) -> &Spki {
        self.key.spki()
    }

    /// The device's private key.
    pub fn key(&self) -> &dyn PrivateKey {
        &*self.key
    }

    /// The library that computes for this device.
    pub fn provider(&self) -> &'static dyn Provider {
        self.provider
    }

    /// HSK-017, HSK-033: never fails; see [`crate::crypto::decapsulate`].
    fn decapsulate(&self, label: &[u8], ciphertext: &[u8]) -> (Secret, bool) {
        let p = self.provider;
        let mut entropy = |out: &mut [u8]| self.blinding.fill(p, out);
        let found =
            crate::crypto::decapsulate(p, &*self.key, &self.rejection_key, label, ciphertext, &mut entropy);
        #[cfg(feature = "mutants")]
        if crate::requirement::leaks() && !found.1 {
            // A hundred microseconds or so.
            core::hint::black_box(p.sha256(&[&[0_u8; 10_000][..]; 10]));
        }
        found
    }
}

/// Random bytes for blinding, apart from the draws of the protocol: how many it takes is the provider's affair.
struct Blinding {
    seed: Secret,
    used: AtomicU64,
}

impl Blinding {
    fn fill(&self, p: &dyn Provider, out: &mut [u8]) {
        let generator = p.mac_key(&*self.seed);
        for chunk in out.chunks_mut(32) {
            let block = self.used.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&generator.mac(&[&block.to_be_bytes()])[..chunk.len()]);
        }
    }
}

/// What both sides agree on when a handshake is done.
pub struct Established {
    /// The suite that was chosen.
    pub suite: Suite,
    /// Who opened the connection.
    pub initiator: Id,
    /// Who accepted it.
    pub responder: Id,
    /// `th2`: the same on both sides, and in no other handshake.
    pub transcript: [u8; 32],
    /// The secrets of the two directions.
    pub traffic: Traffic,
}

/// A handshake that ended without success.
#[derive(Debug)]
pub struct Failure {
    /// Why, for the log.
    pub error: Error,
    /// The rule of another document that was broken, where `error` sums it up.
    pub cause: Option<Error>,
    /// What to send before closing. `None`: close without a byte (HSK-006).
    pub answer: Option<Vec<u8>>,
    /// The refusal that was sent, or that was received and authenticated.
    pub refused: Option<Refusal>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, cause: None, answer: None, refused: None }
    }
}

impl From<Requirement> for Failure {
    fn from(requirement: Requirement) -> Self {
        Error::from(requirement).into()
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match (self.refused, self.cause) {
            (Some(refusal), _) if self.answer.is_none() => {
                write!(f, "the responder refused: {}", refusal.name())
            }
            (_, Some(cause)) => write!(f, "{}: {cause}", self.error),
            (_, None) => core::fmt::Display::fmt(&self.error, f),
        }
    }
}

/// Why a responder does not let an initiator in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Refusal {
    /// The ticket or the key is not good enough.
    NotAuthorised = 1,
    /// The ticket is over: get a new one.
    TicketExpired = 2,
    /// Not now.
    Busy = 3,
}

impl Refusal {
    /// The name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAuthorised => "not-authorised",
            Self::TicketExpired => "ticket-expired",
            Self::Busy => "busy",
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        [Self::NotAuthorised, Self::TicketExpired, Self::Busy].into_iter().find(|r| *r as u16 == code)
    }
}

#[cfg(test)]
pub(crate) mod tests;
