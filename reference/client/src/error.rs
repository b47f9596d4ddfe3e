//! Why something did not work, in words for the person in front of the device, with the requirement where there is one.

use std::fmt::Display;
use std::path::Path;

use meshproof_proto::handshake::{Failure, Refusal};
use meshproof_proto::requirement::Requirement;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer broke a rule of the protocol after the handshake, or this program misused it.
    #[error("{0}")]
    Protocol(#[from] meshproof_proto::error::Error),
    /// The channel failed.
    #[error("{message}")]
    Channel {
        /// All that is known.
        message: String,
        /// The rule that was enforced.
        requirement: Option<Requirement>,
        /// What the responder said, if it authenticated.
        refused: Option<Refusal>,
    },
    /// A relay does not join this device with the peer.
    #[error("{0}")]
    Relay(meshproof_proto::relay::Refusal),
    /// The peer gave what a writer did not say, or a writer said two things.
    #[error("{rule}: changes of the device {writer}")]
    Writer {
        /// The rule that was enforced.
        rule: meshproof_proto::error::Error,
        /// Whose changes they are said to be.
        writer: meshproof_proto::codec::Id,
    },
    /// The peer did something that no requirement names yet.
    #[error("the peer broke the protocol: {0}")]
    Peer(&'static str),
    /// The cloud answered with a problem document.
    #[error(transparent)]
    Problem(#[from] crate::cloud::Problem),
    /// The cloud could not be reached, or answered with something else than the specification says.
    #[error("{0}")]
    Cloud(String),
    /// The cloud gave other bytes than it was asked for (STO-052).
    #[error("the cloud has other bytes than {0}")]
    WrongBytes(meshproof_proto::storage::MediaHash),
    /// A file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The index of the home failed.
    #[error("the index of this device: {0}")]
    Index(#[from] rusqlite::Error),
    /// What was asked for cannot be done; the text says what to do instead.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// The requirement of `spec/` that the failure enforces, if it enforces one.
    pub fn requirement(&self) -> Option<Requirement> {
        match self {
            Self::Protocol(error) | Self::Writer { rule: error, .. } => error.requirement(),
            Self::Channel { requirement, .. } => *requirement,
            Self::Problem(problem) => meshproof_proto::requirement::by_id(&problem.requirement),
            _ => None,
        }
    }

    /// The id of [`requirement`](Self::requirement), for logs.
    pub fn requirement_id(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.requirement,
            _ => self.requirement().map_or("none", |requirement| requirement.id),
        }
    }

    pub(crate) fn io(what: impl Display, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |source| Self::Io { what, source }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        // The cause is the more precise one: HSK-023 sums up all rules of ticket.md.
        let requirement = failure.cause.unwrap_or(failure.error).requirement();
        Self::Channel { message: failure.to_string(), requirement, refused: failure.refused }
    }
}
