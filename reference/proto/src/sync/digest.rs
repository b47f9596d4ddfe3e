//! What two devices compare before they send anything (`spec/sync.md`, section 3.2): a hash of the entries for each first
//! byte of an identifier.

use alloc::vec::Vec;

use super::entry::Entry;
use crate::codec::Id;

/// How many buckets there are.
pub const BUCKETS: usize = 256;

/// The hash of the entries in a bucket. Zeros for none.
pub type Digest = [u8; 16];

/// The digests of all buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests(pub [Digest; BUCKETS]);

impl Default for Digests {
    fn default() -> Self {
        Self([[0; 16]; BUCKETS])
    }
}

/// Where an entry counts.
pub fn bucket(id: Id) -> u8 {
    id.0[0]
}

/// The digest of the entries of one bucket, ascending by identifier.
pub fn digest<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"meshproof entries");
    let (mut bytes, mut any) = (Vec::new(), false);
    for entry in entries {
        any = true;
        bytes.clear();
        entry.write(&mut bytes);
        hasher.update(&bytes);
    }
    let mut digest = [0; 16];
    if any {
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    }
    digest
}
