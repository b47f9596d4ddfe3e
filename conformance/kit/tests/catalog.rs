//! The specification keeps its own style, and `spec/coverage.txt` says truly what tests it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use meshproof_kit::catalog::{Catalog, FrozenSet};
use meshproof_kit::checks;

fn spec() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec")
}

#[test]
fn every_document_is_compiled_in() {
    let folder: BTreeSet<String> = fs::read_dir(spec())
        .expect("the folder of the specification")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let compiled: BTreeSet<String> = Catalog::documents().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(folder, compiled);
}

#[test]
fn the_specification_keeps_its_style() {
    let problems: Vec<String> = Catalog::lint().iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(Catalog::embedded().requirements().len() > 100);
}

/// `MESHPROOF_BLESS=1 cargo test -p meshproof-kit coverage` writes the file anew.
#[test]
fn coverage_is_complete_and_up_to_date() {
    let (catalog, coverage) = (Catalog::embedded(), checks::coverage());
    let path = spec().join("coverage.txt");
    let text = coverage.render(catalog);
    if std::env::var_os("MESHPROOF_BLESS").is_some() {
        fs::write(&path, &text).expect("spec/coverage.txt can be written");
    }
    let problems = coverage.problems(catalog);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "spec/coverage.txt is stale: run with MESHPROOF_BLESS=1");
}

/// Ids are never reused: what a released version asked for is still there.
#[test]
fn the_sets_of_released_versions_are_known() {
    let files: BTreeSet<String> = fs::read_dir(spec().join("sets"))
        .expect("the folder of the sets")
        .map(|entry| {
            entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".txt").to_owned()
        })
        .collect();
    assert_eq!(files, FrozenSet::versions().map(str::to_owned).collect());
    for set in FrozenSet::versions().filter_map(FrozenSet::of) {
        assert!(set.requirements().count() > 300, "{} is empty", set.version);
        for id in set.requirements() {
            assert!(Catalog::embedded().get(id).is_some(), "{id} of {} is gone", set.version);
        }
    }
}

#[test]
fn checks_have_unique_ids_and_existing_twins() {
    let checks = checks::all();
    let mut seen = BTreeSet::new();
    for check in &checks {
        assert!(seen.insert(check.id.as_str()), "{} is used twice", check.id);
        assert!(
            check.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b)),
            "{}",
            check.id
        );
    }
    for check in &checks {
        if let Some(twin) = &check.twin {
            assert!(seen.contains(twin.as_str()), "{}: there is no twin {twin}", check.id);
        }
    }
}
