//! Errors, split by blame.

use core::fmt;

use crate::requirement::Requirement;

/// Why an operation failed, and whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are no message of the protocol.
    InvalidMessage(Requirement),
    /// The bytes are a message, but one that the protocol forbids here.
    PeerMisbehaved(Requirement),
    /// The caller broke the contract of the function.
    ApiMisuse(&'static str),
}

impl Error {
    /// The requirement that the rejection enforces. `None` for the caller's own faults.
    pub fn requirement(&self) -> Option<Requirement> {
        match self {
            Self::InvalidMessage(requirement) | Self::PeerMisbehaved(requirement) => Some(*requirement),
            Self::ApiMisuse(_) => None,
        }
    }

    /// Whether the rejection enforces `requirement`.
    pub fn is(&self, requirement: Requirement) -> bool {
        self.requirement() == Some(requirement)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidMessage(r) | Self::PeerMisbehaved(r) => write!(f, "{} ({})", r.error, r.id),
            Self::ApiMisuse(what) => write!(f, "misuse: {what}"),
        }
    }
}

impl core::error::Error for Error {}
