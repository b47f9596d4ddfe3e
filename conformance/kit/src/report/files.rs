//! Writes a report into a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::{RunReport, badge, html, json, junit, summary};
use crate::evidence::{self, file_name};

/// Where the files of a report are.
#[derive(Clone, Debug)]
pub struct Written {
    /// For people.
    pub html: PathBuf,
    /// For programs.
    pub json: PathBuf,
    /// For build servers.
    pub junit: PathBuf,
    /// One folder a check that did not pass.
    pub evidence: PathBuf,
}

/// Makes the folder, or says why no report can be written there: better before a run than after it.
pub fn prepare(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let evidence = folder.join("evidence");
    if evidence.exists() {
        // Only what a run has written is removed.
        let json = fs::read_to_string(folder.join("results.json"));
        let ours = json.is_ok_and(|text| text.contains("\"meshproof-results/"));
        ensure!(ours, "{} exists and is not of a report; choose another folder", evidence.display());
    }
    Ok(())
}

/// Writes `report.html`, `results.json`, `junit.xml`, `summary.txt`, `badge.svg` and `evidence/<check>/` into a folder, which is
/// made if need be. Evidence of an earlier report in the same place is removed.
///
/// # Errors
/// Also if there is an `evidence` that no report wrote.
pub fn write_all(report: &RunReport, folder: &Path) -> anyhow::Result<Written> {
    let written = Written {
        html: folder.join("report.html"),
        json: folder.join("results.json"),
        junit: folder.join("junit.xml"),
        evidence: folder.join("evidence"),
    };
    prepare(folder)?;
    if written.evidence.exists() {
        fs::remove_dir_all(&written.evidence)
            .with_context(|| format!("clearing {}", written.evidence.display()))?;
    }
    let put = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    };
    put(&written.html, html(report, folder)?)?;
    put(&written.json, json(report)?)?;
    put(&written.junit, junit(report)?)?;
    put(&folder.join("summary.txt"), summary(report))?;
    put(&folder.join("badge.svg"), badge(report))?;
    for result in report.results.iter().filter(|result| !result.evidence.is_empty()) {
        let place = written.evidence.join(file_name(&result.id));
        evidence::write(&place, &result.evidence).with_context(|| format!("writing {}", place.display()))?;
    }
    Ok(written)
}
