//! Which parts of a folder are on this device, by choice of its user: all else is as if it were ignored (`spec/sync.md`, section 4.8).
//!
//! The choice is in a file in the folder's root that is no part of the folder, so that it goes with the files, and who syncs at
//! the moment finds it with its next look.

use std::path::Path;

use meshproof_proto::codec::Id;
use meshproof_proto::sync::{Kind, PortablePath};

use super::{Index, Record, ignore};
use crate::error::{Error, Result};

/// The name of the file.
pub const FILE: &str = ".meshproof-only";

/// What is chosen: paths from the folder down, in whose names `*` stands for any characters and `?` for one.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Only {
    patterns: Vec<Vec<String>>,
}

impl Only {
    /// What the file in the root says now. Empty: everything.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let names = |pattern: &String| pattern.split('/').map(str::to_owned).collect();
        Ok(Self { patterns: patterns(root)?.iter().map(names).collect() })
    }

    /// Whether a path is chosen, or a directory on the way to something that is.
    pub(super) fn has(&self, path: &str, is_directory: bool) -> bool {
        if self.patterns.is_empty() || path == ignore::FILE {
            return true;
        }
        let names: Vec<&str> = path.split('/').collect();
        self.patterns.iter().any(|pattern| {
            let on_the_way = is_directory || names.len() >= pattern.len();
            on_the_way
                && pattern.iter().zip(&names).all(|(pattern, name)| fits(pattern.as_bytes(), name.as_bytes()))
        })
    }
}

/// Bytes will do: what `?` stands for takes all bytes of its character.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            fits(rest, name) || name.split_first().is_some_and(|(_, after)| fits(pattern, after))
        }
        (Some((b'?', rest)), Some((_, after))) => {
            let continued = after.iter().take_while(|byte| **byte & 0xC0 == 0x80).count();
            fits(rest, &after[continued..])
        }
        (Some((one, rest)), Some((other, after))) => one == other && fits(rest, after),
        _ => false,
    }
}

/// What is chosen. Empty: everything.
pub fn patterns(root: &Path) -> Result<Vec<String>> {
    let file = root.join(FILE);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("reading", &file)(error)),
    }
}

fn write(root: &Path, patterns: &[String]) -> Result<()> {
    let file = root.join(FILE);
    if patterns.is_empty() {
        return match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("removing", &file)(error))
            }
            _ => Ok(()),
        };
    }
    let text: String = patterns.iter().flat_map(|pattern| [pattern, "\n"]).collect();
    ignore::replace(root, &file, text.as_bytes()).map_err(Error::io("writing", &file))
}

/// Whether something could be chosen by this.
///
/// # Errors
/// If no path of a folder is like it.
pub fn check(pattern: &str) -> Result<()> {
    parse(pattern).map(drop)
}

/// The pattern as it is kept: without `/` at its ends.
fn parse(pattern: &str) -> Result<String> {
    let plain = pattern.trim_matches('/');
    let example: String = plain.chars().map(|one| if matches!(one, '*' | '?') { 'x' } else { one }).collect();
    if PortablePath::parse(&example).is_err() {
        return Err(Error::usage(format!(
            "{pattern} is no path of a folder: say it from the folder down, such as Photos/2026 or 'Work/*/drafts'"
        )));
    }
    Ok(plain.to_owned())
}

/// Chooses what of the folder at `root` is on this device; nothing chooses everything. What is not any more goes with the next
/// sync, if others have it.
///
/// # Errors
/// If a pattern is like no path, or the file cannot be written.
pub fn choose(index: &Index, folder: Id, root: &Path, patterns: &[String]) -> Result<()> {
    let patterns: Vec<String> = patterns.iter().map(|pattern| parse(pattern)).collect::<Result<_>>()?;
    ignore::change_here(index, folder, root, || write(root, &patterns))
}

impl Index {
    /// How many files and links are here that are not chosen: they stay until another device, or the cloud, keeps them (SYN-150).
    pub fn not_chosen(&self, folder: Id, root: &Path) -> Result<u64> {
        let only = Only::read(root)?;
        if only.patterns.is_empty() {
            return Ok(0);
        }
        let waits = |(path, record): &(String, Record)| {
            record.entry.kind != Kind::Directory && !only.has(path, false)
        };
        Ok(self.records(folder)?.into_iter().filter(waits).count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen() {
        let only = |patterns: &[&str]| Only {
            patterns: patterns
                .iter()
                .map(|pattern| pattern.split('/').map(str::to_owned).collect())
                .collect(),
        };
        for (patterns, path, expected) in [
            (&[][..], "a", true),
            (&["a"], "a", true),
            (&["a"], "a/", true),
            (&["a"], "a/b/c", true),
            (&["a"], "ab", false),
            (&["a"], "A", false),
            (&["a/b"], "a/", true),
            (&["a/b"], "a", false),
            (&["a/b"], "a/c", false),
            (&["a/b"], "a/b/c/", true),
            (&["a/b", "c"], "c/x", true),
            (&["a/*/c"], "a/b/", true),
            (&["a/*/c"], "a/b/c", true),
            (&["a/*/c"], "a/b/d", false),
            (&["*.txt"], "a.txt", true),
            (&["*.txt"], "d/", false),
            (&["a*b*c"], "a1b2c", true),
            (&["?b"], "äb", true),
            (&["?b"], "b", false),
            (&["a"], ".meshignore", true),
        ] {
            let (at, is_directory) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
            assert_eq!(only(patterns).has(at, is_directory), expected, "{path} of {patterns:?}");
        }
    }

    #[test]
    fn what_is_kept_of_a_choice() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(patterns(root.path()).unwrap(), [] as [&str; 0]);
        write(root.path(), &[parse("/a/b/").unwrap(), parse("*.txt").unwrap()]).unwrap();
        assert_eq!(patterns(root.path()).unwrap(), ["a/b", "*.txt"]);
        write(root.path(), &[]).unwrap();
        write(root.path(), &[]).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        for bad in ["", "/", "..", "../a", "a//b", "a\nb", "con", "what\\now"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
