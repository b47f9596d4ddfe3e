//! The handshake vectors: `vectors/handshake/`.

mod exchange;
mod m1;
mod m1_refuse;
mod m2;
mod m3;
mod retry;
mod suites;

use super::envelope::File;

/// All files of the part.
pub(super) fn files() -> Vec<File> {
    vec![m1::file(), m2::file(), m3::file(), retry::file()]
}
