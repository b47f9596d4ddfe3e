//! Tickets: a strict canonical profile of SAML 2.0 (`spec/ticket.md`).
//!
//! ```text
//!  bytes --parse--> Ticket --verify--> VerifiedTicket --authorise--> principal may act
//!                                            \--------pair---------> two devices may meet
//! ```
//!
//! A [`VerifiedTicket`] can only come from [`verify::Verifier`], so a function that takes one has its proof.
//!
//! ```
//! use meshproof_proto::codec::Id;
//! use meshproof_proto::crypto::{DEFAULT, KeyBits};
//! use meshproof_proto::requirement as req;
//! use meshproof_proto::ticket::{Attributes, Authn, Issuer, Presenter, Subject, Ticket, Verifier};
//! use meshproof_proto::time::UnixTime;
//!
//! # // The operating system's, in a program.
//! # let mut seed = 1_u64;
//! # let mut entropy = move |out: &mut [u8]| {
//! #     for byte in out {
//! #         seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
//! #         *byte = seed.to_be_bytes()[0];
//! #     }
//! # };
//! let pkcs8 = DEFAULT.generate_key(KeyBits::B2048, &mut entropy);
//! let issuer = Issuer::new(DEFAULT, DEFAULT.private_key(&pkcs8)?);
//! let now = UnixTime(1_211_000_000);
//! let ticket = Ticket {
//!     id: Id([9; 16]),
//!     issue_instant: now,
//!     issuer: "https://account.example/".into(),
//!     subject: Subject::User(Id([1; 16])),
//!     confirmation: None,
//!     not_before: now,
//!     not_on_or_after: now.plus(600),
//!     audience: "https://cloud.example/".into(),
//!     authn: Some(Authn { instant: now, class: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified".into() }),
//!     authz: Vec::new(),
//!     attributes: Attributes::default(),
//! };
//! let bytes = issuer.issue(&ticket)?;
//!
//! let mut verifier = Verifier::new(DEFAULT, "https://cloud.example/");
//! verifier.trust("https://account.example/", &[issuer.key().spki().clone()])?;
//! let verified = verifier.verify(&bytes, now, Presenter::Anyone)?;
//! assert_eq!(*verified, ticket);
//!
//! let late = verifier.verify(&bytes, now.plus(600), Presenter::Anyone).err();
//! assert!(late.is_some_and(|error| error.is(req::TKT_014)));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

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
