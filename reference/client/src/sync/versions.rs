//! What a sync replaced or deleted on this device's disk, kept for a while beside the folder's files.
//!
//! ```text
//!  <root>/.meshproof-versions/20261122T235959Z-000/notes/today.txt      what was at notes/today.txt until then
//! ```
//!
//! One directory a session, named by the time, with the paths as they were. Nothing of it is synchronised. A file is given
//! its second name there before it loses the first, so that a crash loses neither; where the file system has no second
//! names, it is copied.

use std::fs::DirBuilder;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use meshproof_proto::sync::PortablePath;
use meshproof_proto::time::UnixTime;

use super::disk::{self, Directories, Found};
use super::temp::rename_new;
use crate::error::{Error, Result};

/// Where the versions are, in the root of their folder.
pub const DIRECTORY: &str = ".meshproof-versions";

/// How much is kept in a folder. What of what is beyond goes first says [`super::prune`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How long a version is kept, in days. 0: nothing is kept.
    pub days: u64,
    /// How many of one path, once they are older than a week.
    pub number: usize,
    /// How many bytes in all.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { days: 30, number: 20, bytes: 2 * 1024 * 1024 * 1024 }
    }
}

/// One version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which file it was.
    pub path: String,
    /// When something else took its place.
    pub replaced: UnixTime,
    /// In bytes.
    pub size: u64,
    /// The directory that it is in.
    stamp: String,
}

/// Where the versions of one session go.
pub(super) struct Keep {
    root: PathBuf,
    /// Made when there is something to keep.
    directory: Option<PathBuf>,
    give: Give,
}

/// Gives a file a second name.
type Give = fn(&Path, &Path) -> std::io::Result<()>;

impl Keep {
    pub(super) fn new(root: &Path) -> Self {
        Self::giving(root, give)
    }

    /// The same with another way to keep a file: a test is as slow as a disk on which each has to be copied.
    pub(super) fn giving(root: &Path, give: Give) -> Self {
        Self { root: root.into(), directory: None, give }
    }

    pub(super) fn has_kept(&self) -> bool {
        self.directory.is_some()
    }

    /// Gives the file at `path` a second name, and says which. Another version of one path, or of one that it is in, has a directory of its
    /// own.
    pub(super) fn keep(&mut self, path: &str) -> std::io::Result<PathBuf> {
        self.keep_under(path, path)
    }

    /// The same for one that has another path for the moment, as a version of `known`.
    pub(super) fn keep_under(&mut self, path: &str, known: &str) -> std::io::Result<PathBuf> {
        let from = self.root.join(path);
        if let Some(directory) = &self.directory {
            let to = directory.join(known);
            if is_same(&from, &to) {
                return Ok(to);
            }
            match (self.give)(&from, &to) {
                // Something else is there, or on the way there.
                Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory) => {
                }
                given => return given.map(|()| to),
            }
        }
        let to = self.directory.insert(make_directory(&self.root)?).join(known);
        (self.give)(&from, &to).map(|()| to)
    }
}

fn give(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(above) = to.parent() {
        private(DirBuilder::new().recursive(true)).create(above)?;
    }
    match std::fs::hard_link(from, to) {
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => Err(error),
        Err(_) => copy(from, to),
        given => given,
    }
}

/// Whether both are names of one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let seen = |path| std::fs::symlink_metadata(path).ok().map(|found| disk::Seen::of(&found));
    matches!((seen(one), seen(other)), (Some(one), Some(other)) if one == other && one.inode != 0)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let copied = std::fs::copy(from, to).and_then(|_| std::fs::File::open(to)?.sync_all());
    copied.inspect_err(|_| drop(std::fs::remove_file(to)))
}

fn make_directory(root: &Path) -> std::io::Result<PathBuf> {
    let store = root.join(DIRECTORY);
    match private(&mut DirBuilder::new()).create(&store) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Not followed if it is a link: what is kept stays in the folder.
    if !is_directory(&store) {
        return Err(IoError::new(ErrorKind::NotADirectory, format!("{DIRECTORY} is no directory")));
    }
    let time = crate::now().to_string().replace(['-', ':'], "");
    for number in 0..1_000 {
        let directory = store.join(format!("{time}-{number:03}"));
        match private(&mut DirBuilder::new()).create(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(IoError::other("a thousand sessions in one second"))
}

fn private(builder: &mut DirBuilder) -> &mut DirBuilder {
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
    builder
}

fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// All versions of a folder, or those of one path, or of all in one directory. The newest first.
pub fn list(root: &Path, path: Option<&str>) -> Vec<Version> {
    let store = root.join(DIRECTORY);
    let mut versions = Vec::new();
    if !is_directory(&store) {
        return versions;
    }
    for directory in std::fs::read_dir(&store).into_iter().flatten().flatten() {
        let Some(stamp) = directory.file_name().to_str().map(str::to_owned) else { continue };
        let Some(replaced) = time_of(&stamp) else { continue };
        let found =
            |path: String, size| versions.push(Version { path, replaced, size, stamp: stamp.clone() });
        walk(&directory.path(), "", &mut { found });
    }
    if let Some(path) = path {
        let below = format!("{}/", path.trim_end_matches('/'));
        versions.retain(|version| version.path == path || version.path.starts_with(&below));
    }
    versions.sort_by(|a, b| b.stamp.cmp(&a.stamp).then_with(|| a.path.cmp(&b.path)));
    versions
}

fn walk(directory: &Path, prefix: &str, found: &mut dyn FnMut(String, u64)) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (name, Ok(metadata)) = (entry.file_name(), entry.metadata()) else { continue };
        let Some(name) = name.to_str() else { continue };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if metadata.is_dir() {
            walk(&entry.path(), &path, found);
        } else if metadata.is_file() {
            found(path, metadata.len());
        }
    }
}

/// `20261122T235959Z-000`
fn time_of(stamp: &str) -> Option<UnixTime> {
    let (time, _) = stamp.split_once('-')?;
    let part = |range| time.get(range);
    let (date, clock) =
        ((part(0..4)?, part(4..6)?, part(6..8)?), (part(9..11)?, part(11..13)?, part(13..16)?));
    UnixTime::parse(&format!("{}-{}-{}T{}:{}:{}", date.0, date.1, date.2, clock.0, clock.1, clock.2))
}

impl Version {
    pub(super) fn file(&self, root: &Path) -> PathBuf {
        root.join(DIRECTORY).join(&self.stamp).join(&self.path)
    }

    /// Puts a copy of it back to its path. What is there now is kept as a version.
    ///
    /// # Errors
    /// If something else than a file or nothing is at the path, or the disk takes no more.
    pub fn restore(&self, root: &Path) -> Result<()> {
        self.restore_by(root, Keep::new(root))
    }

    fn restore_by(&self, root: &Path, mut keep: Keep) -> Result<()> {
        let damaged = |_| Error::usage(format!("{} is no path of a folder", self.path));
        let path = PortablePath::parse(&self.path).map_err(damaged)?;
        let in_the_way =
            || Error::usage(format!("something else is at {}: move it away and try again", self.path));
        if !Directories::default().make_way(root, &path)? {
            return Err(in_the_way());
        }
        let target = root.join(&self.path);
        let failed = |source| Error::Io { what: format!("restoring {}", self.path), source };
        // A scan of another program would remove a temporary file beside the others.
        let temporary = root.join(DIRECTORY).join(format!("restoring-{}", std::process::id()));
        copy(&self.file(root), &temporary).map_err(failed)?;
        // The time is that of now: it is a change of now.
        let now = std::fs::FileTimes::new().set_modified(std::time::SystemTime::now());
        let opened = std::fs::OpenOptions::new().write(true).open(&temporary);
        let _ = opened.and_then(|file| file.set_times(now));
        let mut place = || match disk::look(root, &path)? {
            Found::Nothing if rename_new(&temporary, &target).map_err(failed)? => Ok(()),
            found @ Found::File { .. } => {
                keep.keep(&self.path).map_err(failed)?;
                // To keep it may take long: what was saved meanwhile has no version.
                if disk::look(root, &path)? != found {
                    return Err(Error::usage(format!("{} changes at the moment: try again", self.path)));
                }
                std::fs::rename(&temporary, &target).map_err(failed)
            }
            _ => Err(in_the_way()),
        };
        place().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn put(root: &Path, stamp: &str, path: &str, content: &str) {
        write(root, &format!("{DIRECTORY}/{stamp}/{path}"), content);
    }

    #[test]
    fn what_is_kept_survives_its_replacement() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "a/b", "first");
        let mut keep = Keep::new(root);
        assert!(list(root, None).is_empty() && !keep.has_kept());
        keep.keep("a/b").unwrap();
        keep.keep("a/b").unwrap();
        std::fs::remove_file(root.join("a/b")).unwrap();
        write(root, "a/b", "second");
        let versions = list(root, Some("a"));
        assert_eq!(versions.len(), 1);
        assert_eq!((versions[0].path.as_str(), versions[0].size), ("a/b", 5));
        assert!(versions[0].replaced.distance(crate::now()) < 100);
        versions[0].restore(root).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("a/b")).unwrap(), "first");
        let versions = list(root, Some("a/b"));
        assert_eq!(versions.len(), 2);
        assert_eq!(std::fs::read_to_string(versions[0].file(root)).unwrap(), "second");
        std::fs::remove_dir_all(root.join("a")).unwrap();
        versions[0].restore(root).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("a/b")).unwrap(), "second");
    }

    #[test]
    fn every_version_of_a_session_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let mut keep = Keep::new(root);
        let versions = [("a", "first"), ("a", "second"), ("a/b", "third"), ("a", "fourth")];
        for (path, content) in versions {
            write(root, path, content);
            keep.keep(path).unwrap();
            std::fs::remove_file(root.join(path)).unwrap();
            let _ = std::fs::remove_dir(root.join("a"));
        }
        let mut kept: Vec<_> = list(root, None)
            .iter()
            .map(|version| (version.path.clone(), std::fs::read_to_string(version.file(root)).unwrap()))
            .collect();
        let mut expected = versions.map(|(path, content)| (path.to_owned(), content.to_owned())).to_vec();
        kept.sort();
        expected.sort();
        assert_eq!(kept, expected);
    }

    #[test]
    fn nothing_is_restored_over_what_is_no_file() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "20200101T000000Z-000", "a/b", "old");
        write(root, "a", "a file now");
        assert!(list(root, None)[0].restore(root).is_err());
        std::fs::remove_file(root.join("a")).unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        assert!(list(root, None)[0].restore(root).is_err());
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn what_is_saved_while_it_is_kept_is_not_restored_over() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "20200101T000000Z-000", "a", "old");
        write(root, "a", "of now");
        let slow: Give = |from, to| {
            copy(from, to)?;
            std::fs::write(from, "saved meanwhile")
        };
        let version = list(root, None).remove(0);
        assert!(version.restore_by(root, Keep::giving(root, slow)).is_err());
        assert_eq!(std::fs::read_to_string(root.join("a")).unwrap(), "saved meanwhile");
        version.restore(root).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("a")).unwrap(), "old");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_way_out() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), root.path().join(DIRECTORY)).unwrap();
        write(root.path(), "a", "content");
        assert!(Keep::new(root.path()).keep("a").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
