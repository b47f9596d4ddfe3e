//! The seam between a folder and the cloud: every byte of an entry or a content that goes to the cloud, or comes from it, passes
//! here, and nowhere else. What the cloud sees of a folder is decided by these functions alone.
//!
//! ```text
//!  entry   --out-->  identifier and bytes of a state  --in-->  entry
//!  content --out-->  media                            --in-->  content
//! ```
//!
//! Nothing that comes in is believed because of the seam: entries are verified by their signatures, contents by their hashes,
//! after they came through.

use std::fs::File;
use std::path::Path;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Entry;

use crate::cloud::Cloud;
use crate::error::Result;

/// The seam of one folder.
#[derive(Clone, Copy)]
pub(super) struct Seam<'a> {
    cloud: &'a Cloud,
    folder: Id,
}

impl<'a> Seam<'a> {
    pub(super) fn new(cloud: &'a Cloud, folder: Id) -> Self {
        Self { cloud, folder }
    }

    /// Under which identifier, and as which bytes, the cloud keeps an entry.
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // a seam that seals may fail, and has keys
    pub(super) fn entry_out(&self, entry: &Entry) -> Result<(Id, Vec<u8>)> {
        Ok((entry.id, entry.to_bytes()))
    }

    /// The entry that the cloud shows as these bytes under this identifier.
    #[allow(clippy::unused_self)]
    pub(super) fn entry_in(&self, id: Id, bytes: &[u8]) -> Result<Entry> {
        let entry = Entry::from_bytes(bytes)?;
        demand(entry.id == id, req::SYN_086)?;
        Ok(entry)
    }

    /// Brings a content to the cloud.
    pub(super) async fn media_out(&self, hash: MediaHash, size: u64, file: File) -> Result<()> {
        self.cloud.upload(self.folder, hash, size, file).await
    }

    /// Gets a content into a file, behind what an earlier attempt left there.
    pub(super) async fn media_in(&self, hash: MediaHash, size: u64, to: &Path) -> Result<()> {
        self.cloud.download(self.folder, hash, size, to).await
    }
}
