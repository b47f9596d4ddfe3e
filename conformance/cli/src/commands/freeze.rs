//! `meshproof freeze`

use std::path::Path;

use anyhow::{Context as _, ensure};
use meshproof_kit::catalog::{Catalog, FrozenSet};
use meshproof_kit::checks;

/// Writes the set of a version.
pub(crate) fn execute(version: &str, directory: &Path) -> anyhow::Result<u8> {
    let plain = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    ensure!(plain && !version.is_empty(), "{version:?} is no version");
    let path = directory.join(format!("{version}.txt"));
    let text = FrozenSet::render(version, Catalog::embedded(), &checks::all());
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say!("{}", path.display());
    Ok(0)
}
