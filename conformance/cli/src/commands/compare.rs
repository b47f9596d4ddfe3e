//! `meshproof compare`

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use meshproof_kit::report::{Results, compare};

/// Prints the comparison.
pub(crate) fn execute(reports: &[PathBuf], everything: bool) -> anyhow::Result<u8> {
    let mut all = Vec::new();
    for path in reports {
        let file = if path.is_dir() { path.join("results.json") } else { path.clone() };
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        all.push(Results::parse(&text).with_context(|| file.display().to_string())?);
    }
    crate::out::text(&compare(&all, everything));
    Ok(0)
}
