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
pub use renewal::Renewal;
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
            core::hint::black_box(p.sha256(&[&[0; 100_000]]));
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
