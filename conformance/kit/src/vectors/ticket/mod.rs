//! The ticket vectors: `vectors/ticket/`.

mod attacks;
mod draft;
mod fields;
mod issue;
mod pair;
mod set;
mod trust;
mod verify;
mod wire;

use super::envelope::File;

/// All files of the part.
pub(super) fn files() -> Vec<File> {
    vec![verify::file(), issue::file(), set::file(), pair::file()]
}
