//! Frozen sets: what a released version of the specification was checked by.
//!
//! `spec/sets/<version>.txt` has a line a requirement and a line a check. A run with `--set` scores those alone, so that a
//! later kit does not change what an implementation of that version was said to be.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Catalog;
use crate::check::Check;

/// The committed files: version and text. A test compares this list with the folder.
const FILES: &[(&str, &str)] = &[("0.1", include_str!("../../spec/sets/0.1.txt"))];

/// The requirements and checks of a released version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenSet {
    /// The version: `0.1`.
    pub version: String,
    requirements: BTreeSet<String>,
    checks: BTreeSet<String>,
}

impl FrozenSet {
    /// The versions that have a set.
    pub fn versions() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(version, _)| *version)
    }

    /// The set of a version.
    pub fn of(version: &str) -> Option<Self> {
        FILES.iter().find(|(known, _)| *known == version).map(|(_, text)| Self::parse(version, text))
    }

    /// Reads a file of `spec/sets/`.
    pub fn parse(version: &str, text: &str) -> Self {
        let named = |word: &str| {
            text.lines().filter_map(|line| line.strip_prefix(word)).map(|id| id.trim().to_owned()).collect()
        };
        let (requirements, checks) = (named("requirement "), named("check "));
        Self { version: version.to_owned(), requirements, checks }
    }

    /// Everything that there is now, as a file of `spec/sets/`.
    pub fn render(version: &str, catalog: &Catalog, checks: &[Check]) -> String {
        let mut text = format!(
            "# What an implementation of version {version} of the specification is judged by: `meshproof run --set {version}`.\n\
             # Written by `meshproof freeze {version}` at the release of the version, and never changed after it: checks and\n\
             # requirements that came later are run, shown as added-after, and not scored.\n"
        );
        let requirements =
            catalog.requirements().iter().map(|requirement| ("requirement", requirement.id.as_str()));
        for (what, id) in requirements.chain(checks.iter().map(|check| ("check", check.id.as_str()))) {
            writeln!(text, "{what} {id}").expect("writing to a String");
        }
        text
    }

    /// The requirements of the version, in order.
    pub fn requirements(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().map(String::as_str)
    }

    /// What keeps a check out of the score: it is later itself, or cites what is later.
    pub fn added_after(&self, check: &str, reqs: &[String]) -> Option<String> {
        if let Some(later) = reqs.iter().find(|id| !self.requirements.contains(*id)) {
            return Some(format!("{later} is later than version {}", self.version));
        }
        (!self.checks.contains(check)).then(|| format!("the check is later than version {}", self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Part;
    use crate::check::{Context, Role};

    #[test]
    fn what_is_written_is_read_and_what_comes_later_is_known() {
        let check = |id: &str, reqs: &[&str]| {
            Check::new(Role::Peer, Part::Handshake, id, reqs, id, |_: Context| async { Ok(()) })
        };
        let catalog = Catalog::embedded();
        let text = FrozenSet::render("0.1", catalog, &[check("old", &["HSK-014"])]);
        let set = FrozenSet::parse("0.1", &text);
        assert_eq!(set.requirements().count(), catalog.requirements().len());
        let later = |id: &str, req: &str| set.added_after(id, &[req.to_owned()]);
        assert_eq!(later("old", "HSK-014"), None);
        assert_eq!(later("new", "HSK-014").as_deref(), Some("the check is later than version 0.1"));
        assert_eq!(later("old", "HSK-999").as_deref(), Some("HSK-999 is later than version 0.1"));
    }
}
