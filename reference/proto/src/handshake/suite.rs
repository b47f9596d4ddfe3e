//! The suites, and what each adds to the messages (`spec/handshake.md`, section 3).

use alloc::vec::Vec;

use crate::crypto::{KEM_CIPHERTEXT, KEM_KEY};

/// A set of algorithms. A larger number is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Suite {
    /// RSA-OAEP, AES-128-CTR, HMAC-SHA256. No forward secrecy.
    Baseline = 0x0101,
    /// The same with X25519: forward secrecy.
    X25519 = 0x0201,
    /// The same with X25519 and ML-KEM-768: forward secrecy against a later quantum computer.
    Hybrid = 0x0301,
}

impl Suite {
    /// The suites of this implementation, strongest first.
    pub const ALL: [Self; 3] = [Self::Hybrid, Self::X25519, Self::Baseline];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The suite of a number on the wire.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// How long the share is in an M1 in which this is the strongest suite, in bytes (HSK-013).
    pub fn initiator_share(self) -> usize {
        match self {
            Self::Baseline => 0,
            Self::X25519 => 32,
            Self::Hybrid => KEM_KEY + 32,
        }
    }

    /// How long the share is in an M2 of this suite, in bytes (HSK-031).
    pub fn responder_share(self) -> usize {
        match self {
            Self::Baseline => 0,
            Self::X25519 => 32,
            Self::Hybrid => KEM_CIPHERTEXT + 32,
        }
    }
}

/// The suites that a device uses, strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suites(Vec<Suite>);

impl Suites {
    /// These of the suites.
    pub fn only(these: &[Suite]) -> Self {
        Self(Suite::ALL.into_iter().filter(|suite| these.contains(suite)).collect())
    }

    /// All from this one upwards.
    pub fn from_floor(floor: Suite) -> Self {
        Self(Suite::ALL.into_iter().filter(|suite| *suite >= floor).collect())
    }

    /// The same without those below `floor`.
    #[must_use]
    pub fn above(&self, floor: Suite) -> Self {
        Self(self.0.iter().copied().filter(|suite| *suite >= floor).collect())
    }

    /// Strongest first.
    pub fn as_slice(&self) -> &[Suite] {
        &self.0
    }

    /// HSK-016: the strongest that is in an offer too.
    pub(super) fn choose(&self, offered: &[u16]) -> Option<Suite> {
        self.0.iter().copied().find(|suite| offered.contains(&suite.number()))
    }
}

impl Default for Suites {
    fn default() -> Self {
        Self::from_floor(Suite::Baseline)
    }
}
