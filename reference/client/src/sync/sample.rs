//! What the tests of this folder share.

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::{Item, Kind, PortablePath, Stamp};

/// A file of another device.
pub(super) fn file(path: &str, content: &[u8]) -> Item {
    Item {
        path: PortablePath::parse(path).unwrap(),
        id: Id([3; 16]),
        kind: Kind::File { size: content.len() as u64, hash: MediaHash::of(content) },
        mode: 0o640,
        mtime: 1_000_000_000_000_000_000,
        stamp: Stamp::default(),
        place: Stamp::default(),
        copy: false,
        renamed: false,
    }
}
