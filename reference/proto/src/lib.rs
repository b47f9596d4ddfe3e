//! The Meshproof protocol: every wire format and state machine of `spec/`, without I/O.
//!
//! Nothing here has a clock, a socket, a file, a thread or a random generator of its own: time and entropy are passed
//! in. One module a spec document; a rejection that the spec demands goes through [`requirement::demand`], which names
//! the requirement, so that `grep TKT-014` finds the sentence, its vectors, its check and the line that enforces it.
//!
//! An issuer, a ticket and who verifies it:
//!
//! ```
//! use meshproof_proto::codec::Id;
//! use meshproof_proto::crypto::{DEFAULT, KeyBits};
//! use meshproof_proto::requirement::TKT_014;
//! use meshproof_proto::ticket::{Attributes, Authn, Issuer, Presenter, Subject, Ticket, Verifier};
//! use meshproof_proto::time::UnixTime;
//!
//! let mut entropy = |out: &mut [u8]| getrandom::fill(out).expect("random bytes");
//! let key = DEFAULT.private_key(&DEFAULT.generate_key(KeyBits::B2048, &mut entropy))?;
//! let issuer = Issuer::new(DEFAULT, key);
//! let now = UnixTime(1_790_000_000);
//! let bytes = issuer.issue(&Ticket {
//!     id: Id([7; 16]),
//!     issue_instant: now,
//!     issuer: "https://account.example/".into(),
//!     subject: Subject::User(Id([1; 16])),
//!     confirmation: None,
//!     not_before: now,
//!     not_on_or_after: now.plus(600),
//!     audience: "https://mesh.example/".into(),
//!     authn: Some(Authn { instant: now, class: "urn:example:password".into() }),
//!     authz: Vec::new(),
//!     attributes: Attributes::default(),
//! })?;
//!
//! let mut verifier = Verifier::new(DEFAULT, "https://mesh.example/");
//! verifier.trust("https://account.example/", &[issuer.key().spki().clone()])?;
//! let ticket = verifier.verify(&bytes, now, Presenter::Anyone)?;
//! assert_eq!(ticket.subject, Subject::User(Id([1; 16])));
//!
//! // What it refuses, it refuses with the sentence of the specification.
//! let late = verifier.verify(&bytes, now.plus(600), Presenter::Anyone).unwrap_err();
//! assert_eq!(late.requirement(), Some(TKT_014));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod channel;
pub mod codec;
pub mod crypto;
pub mod error;
pub mod handshake;
pub mod identity;
pub mod record;
pub mod relay;
pub mod requirement;
pub mod storage;
pub mod sync;
pub mod ticket;
pub mod time;

#[cfg(test)]
mod test_keys;
