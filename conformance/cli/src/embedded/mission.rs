//! The demonstration.

use std::path::PathBuf;

use meshproof_kit::report::Mission;

pub(crate) fn sources(dirs: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    Ok(dirs.to_vec())
}

pub(crate) async fn run(_sources: &[PathBuf]) -> anyhow::Result<Mission> {
    Ok(Mission::default())
}
