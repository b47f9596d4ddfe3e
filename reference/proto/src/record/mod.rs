//! Protection of data after the handshake (`spec/record.md`).
//!
//! A [`Sealer`] writes one direction of a channel, an [`Opener`] reads it. Both forget the keys of an epoch when they
//! leave it.
//!
//! ```
//! use meshproof_proto::crypto::{DEFAULT, Secret};
//! use meshproof_proto::record::{Event, Opener, Sealer};
//!
//! let traffic = || Secret::new([7; 32]); // both ends have it from the handshake
//! let (mut sealer, mut opener) = (Sealer::new(DEFAULT, traffic()), Opener::new(DEFAULT, traffic()));
//!
//! let mut bytes = Vec::new();
//! sealer.seal(b"hello", &mut bytes)?;
//! sealer.close(&mut bytes);
//!
//! opener.push(&bytes);
//! assert_eq!(opener.next()?, Some(Event::Data(b"hello")));
//! assert_eq!(opener.next()?, Some(Event::Closed));
//! opener.fin()?; // without `close` this is REC-016
//! # Ok::<(), meshproof_proto::error::Error>(())
//! ```

mod epoch;
mod open;
mod seal;

pub use open::{Event, Opener};
pub use seal::Sealer;

/// The longest plaintext: content, type and padding, in bytes (REC-010).
pub const MAX_PLAINTEXT: usize = 65_536;
/// The longest content of a record without padding, in bytes.
pub const MAX_CONTENT: usize = MAX_PLAINTEXT - 1;

/// Length field.
const HEADER: usize = 3;
/// HMAC-SHA256 in full.
const TAG: usize = 32;

/// All record types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum RecordType {
    Data = 1,
    CloseNotify = 2,
    KeyUpdate = 3,
    Ticket = 4,
}

impl RecordType {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::CloseNotify, Self::KeyUpdate, Self::Ticket].into_iter().find(|t| *t as u8 == byte)
    }
}

#[cfg(test)]
mod tests;
