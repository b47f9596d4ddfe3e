//! The sync vectors: `vectors/sync/`.

mod ignore;
mod index;
mod matrix;
mod merge;
mod name;
mod signed;
mod view;

use serde_json::json;

pub(super) use self::view::paths_value;
use super::envelope::{File, Group, Test};
use crate::oracle::sync::{Entry, Id, Stamp};
use crate::target::fixture::PeerFixture;

const X: Id = PeerFixture::DEVICE_X;
const Y: Id = PeerFixture::DEVICE_Y;
const Z: Id = PeerFixture::DEVICE_Z;
/// What no counter and no lamport reaches.
const END: u64 = 1 << 48;

/// All files of the part.
pub(super) fn files() -> Vec<File> {
    vec![
        ignore::file(),
        name::file(),
        index::file(),
        merge::file(),
        view::file(),
        view::digest_file(),
        signed::file(),
    ]
}

fn file(name: &'static str, header: &'static [&'static str], kind: &'static str, tests: Vec<Test>) -> File {
    let algorithm = "Meshproof sync: entries, what they become together, and their paths";
    File { part: "sync", name, algorithm, header, groups: vec![Group { kind, fields: json!({}), tests }] }
}

fn two_contents() -> Entry {
    let mut entry = Entry::file("two", b"x").by(X, 3, &[(X, 3), (Z, 2)]);
    let mut second = entry.contents[0].clone();
    (second.stamp, second.hash) = (Stamp { lamport: 4, writer: Z, counter: 2 }, [7; 32]);
    entry.contents.push(second);
    entry
}

/// A file with so many contents, each by a device of its own: all concurrent.
fn contents(path: &str, count: u8) -> Entry {
    let device = |n: u8| [n; 16];
    let version: Vec<(Id, u64)> = (1..=count).map(|n| (device(n), 1)).collect();
    let mut entry = Entry::file(path, b"1").by(device(1), 1, &version);
    for n in 2..=count {
        let mut content = Entry::file(path, &[n]).contents.remove(0);
        content.stamp = Stamp { lamport: 1, writer: device(n), counter: 1 };
        entry.contents.push(content);
    }
    entry
}

/// A file that so many devices changed.
fn devices(path: &str, count: u8) -> Entry {
    let version: Vec<(Id, u64)> = (1..=count).map(|n| ([n; 16], 1)).collect();
    Entry::file(path, b"1").by([1; 16], 1, &version)
}

/// The same numbers for the same seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}
