//! The kit's own reading of the specification: a dumb, straight-line transcription of `spec/`, one file a part.
//!
//! It shares no code with any implementation under test and uses another cryptographic library (`RustCrypto`; private operations
//! of RSA, which take long, come from aws-lc as far as `RustCrypto` confirms them). It writes the test vectors, and it judges
//! them: [`crate::vectors::reader`] answers every vector with it. Builders let a caller change one thing and sign or seal the
//! rest correctly, so that an invalid message breaks exactly one rule.

pub mod crypto;
mod fast;
pub mod handshake;
pub mod passkey;
pub mod record;
pub mod relay;
pub mod storage;
pub mod sync;
pub mod ticket;

use std::fmt;

/// A rejection that the specification demands: which requirement, and its error name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The requirement, such as `TKT-014`.
    pub requirement: &'static str,
    /// The error name of that requirement, such as `ticket-expired`.
    pub reason: &'static str,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.requirement, self.reason)
    }
}

/// The one way to reject: names the requirement and its error.
pub fn reject<T>(requirement: &'static str, reason: &'static str) -> Result<T, Rejection> {
    Err(Rejection { requirement, reason })
}

/// Rejects unless the condition holds.
pub fn require(holds: bool, requirement: &'static str, reason: &'static str) -> Result<(), Rejection> {
    if holds { Ok(()) } else { reject(requirement, reason) }
}
