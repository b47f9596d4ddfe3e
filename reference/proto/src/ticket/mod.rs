//! Tickets: a strict canonical profile of SAML 2.0 (`spec/ticket.md`).
//!
//! ```text
//!  bytes --parse--> Ticket --verify--> VerifiedTicket --authorise--> principal may act
//!                                            \--------pair---------> two devices may meet
//! ```
//!
//! A [`VerifiedTicket`] can only come from [`verify::Verifier`], so a function that takes one has its proof.

mod attributes;
mod grammar;
pub mod issue;
pub mod pair;
pub mod parse;
pub mod set;
pub mod verify;

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::Id;
use crate::crypto::Spki;
use crate::time::UnixTime;

pub use attributes::{Attributes, Claim, KeyBinding, Mapping, NotAFact, Role};
pub use issue::Issuer;
pub use verify::{Presenter, VerifiedTicket, Verifier};

/// The longest ticket, in bytes (TKT-004).
pub const MAX_TICKET: usize = 8_192;
/// The longest life of a ticket, in seconds (TKT-002, TKT-023).
pub const MAX_LIFETIME: u64 = 600;
/// How far an issuer's clock may be ahead, in seconds (TKT-022).
pub const MAX_SKEW: u64 = 30;
/// The most tickets of a set (TKT-027).
pub const MAX_SET: usize = 16;

/// What a ticket says. As parsed it is a claim by whoever wrote it; see [`VerifiedTicket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The random part of `ID`, in text 32 hexadecimal digits.
    pub id: Id,
    /// When it was written.
    pub issue_instant: UnixTime,
    /// The issuer's uri.
    pub issuer: String,
    /// Whom it is about.
    pub subject: Subject,
    /// The key that the presenter has to prove, or `None` for a bearer ticket.
    pub confirmation: Option<Spki>,
    /// First second of its validity.
    pub not_before: UnixTime,
    /// First second after its validity.
    pub not_on_or_after: UnixTime,
    /// Whom it is for: a uri.
    pub audience: String,
    /// That the subject signed in.
    pub authn: Option<Authn>,
    /// Rights on resources.
    pub authz: Vec<Authz>,
    /// Facts about devices and folders.
    pub attributes: Attributes,
}

/// Whom a ticket is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `urn:meshproof:user:…`
    User(Id),
    /// `urn:meshproof:device:…`
    Device(Id),
}

impl Subject {
    /// Parses the name in a ticket.
    pub fn parse(name: &str) -> Option<Self> {
        let user = name.strip_prefix(grammar::USER).and_then(Id::parse).map(Self::User);
        user.or_else(|| name.strip_prefix(grammar::DEVICE).and_then(Id::parse).map(Self::Device))
    }
}

impl core::fmt::Display for Subject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::User(id) => write!(f, "{}{id}", grammar::USER),
            Self::Device(id) => write!(f, "{}{id}", grammar::DEVICE),
        }
    }
}

/// The audience of a pair ticket: `urn:meshproof:device:` and the responder's identifier.
pub fn device_audience(device: Id) -> String {
    alloc::string::ToString::to_string(&Subject::Device(device))
}

/// An authentication statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authn {
    /// When the subject signed in.
    pub instant: UnixTime,
    /// How: an AuthnContextClassRef uri.
    pub class: String,
}

/// An authorization decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authz {
    /// Whether the actions are permitted or denied.
    pub permit: bool,
    /// The path of a graph node.
    pub resource: String,
    /// In the order of [`Action`], each once, at least one.
    pub actions: Vec<Action>,
}

/// What may be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Look.
    Read,
    /// Create and change.
    Write,
    /// Remove.
    Delete,
    /// Decide who may do what.
    Control,
}

impl Action {
    /// All of them, in the order of the grammar.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Delete, Self::Control];

    /// The name in tickets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Delete => "Delete",
            Self::Control => "Control",
        }
    }

    /// The action of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

#[cfg(test)]
mod tests;
