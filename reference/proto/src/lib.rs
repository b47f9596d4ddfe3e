//! The Meshproof protocol: every wire format and state machine of `spec/`, without I/O.
//!
//! Nothing here has a clock, a socket, a file, a thread or a random generator of its own: time and entropy are passed
//! in. One module a spec document; a rejection that the spec demands goes through [`requirement::demand`], which names
//! the requirement, so that `grep TKT-014` finds the sentence, its vectors, its check and the line that enforces it.

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
