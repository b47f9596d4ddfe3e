//! Names of stored bytes (`spec/storage.md`, section 1), and what a cloud keeps of an encrypted folder: [`sealed`] objects,
//! and the record of its [`keys`].

pub mod keys;
pub mod sealed;

use crate::codec::{hex, hex_array};

/// BLAKE3-256 of some bytes, in text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaHash(pub [u8; 32]);

impl MediaHash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Parses the text form.
    pub fn parse(text: &str) -> Option<Self> {
        hex_array(text).map(Self)
    }
}

/// Hashes bytes that come in pieces.
#[derive(Default)]
pub struct MediaHasher(blake3::Hasher);

impl MediaHasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces so far.
    pub fn finish(&self) -> MediaHash {
        MediaHash(*self.0.finalize().as_bytes())
    }
}

impl core::fmt::Display for MediaHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl core::fmt::Debug for MediaHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn known_hash() {
        // `printf '' | b3sum`
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(MediaHash::of(b"").to_string(), empty);
        assert_eq!(MediaHash::parse(empty), Some(MediaHash::of(b"")));
        assert_eq!(MediaHasher::default().finish(), MediaHash::of(b""));
    }
}
