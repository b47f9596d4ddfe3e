//! Parts: what is here of large files whose transfer was cut short (SYN-075).
//!
//! A part is a file named by the place it is for and by the hash of the whole content, so that any later session with any
//! peer finds it. Nothing is noted about which bytes in it are good: they are verified against the MANIFEST of the content
//! when it is gone on with, so that neither a crash nor a peer that lied can make it say more than it has. Who writes a part
//! holds its lock; whoever finds it locked makes a file of its own.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime};

use meshproof_proto::codec::hex;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;

use super::temp::{PREFIX, TempFile, open_private, remove_if_empty};

/// Where parts are, in the root of their folder: one file system with what they become.
pub(super) const DIRECTORY: &str = ".meshproof-tmp-parts";
/// How long a part waits for somebody who has the rest.
const AGE: Duration = Duration::from_hours(7 * 24);

/// A part that may be written.
pub(super) struct Opened {
    pub(super) file: TempFile,
    /// How many bytes it has from an earlier session.
    pub(super) had: u64,
    /// What was here of other content for the same place. It has no name any more.
    pub(super) superseded: Vec<File>,
}

/// Opens or begins the part for `place` with the content `hash`. `None`: somebody else is at it, or the file system has no
/// locks.
pub(super) fn open(root: &Path, place: &str, hash: &MediaHash) -> Option<Opened> {
    debug_assert!(DIRECTORY.starts_with(PREFIX), "a scan would take it for a directory of the folder");
    let directory = root.join(DIRECTORY);
    // Not followed if it is a link: what is written stays in the folder.
    if std::fs::create_dir(&directory).is_err() && !is_directory(&directory) {
        return None;
    }
    let place = hex(&MediaHash::of(place.as_bytes()).0[..8]);
    let name = format!("{place}-{}", hex(&hash.0[..16]));
    let superseded = take_superseded(&directory, &place, &name);
    let path = directory.join(name);
    let mut options = OpenOptions::new();
    let file = open_private(options.read(true).write(true).create(true), &path).ok()?;
    file.try_lock().ok()?;
    // Between opening and locking, who had the lock may have put the file into its place.
    let still = same(&file, &path)?;
    if deviates(req::SYN_075) {
        file.set_len(0).ok()?;
    }
    let had = file.metadata().ok()?.len();
    still.then(|| Opened { file: TempFile::resume(path, file), had, superseded })
}

/// Removes the parts for which nobody had the rest for a week.
pub(super) fn sweep(root: &Path) {
    let directory = root.join(DIRECTORY);
    if !is_directory(&directory) {
        return;
    }
    for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > AGE) && take(&entry.path()).is_some() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    remove_if_empty(Some(&directory));
}

fn take_superseded(directory: &Path, place: &str, but: &str) -> Vec<File> {
    let mut superseded = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(place)
            && name != but
            && let Some(file) = take(&entry.path())
        {
            let _ = std::fs::remove_file(entry.path());
            superseded.push(file);
        }
    }
    superseded
}

/// Opens a part that nobody writes.
fn take(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(unix)]
fn same(file: &File, path: &Path) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    let (opened, named) = (file.metadata().ok()?, std::fs::symlink_metadata(path).ok()?);
    Some(named.is_file() && (opened.dev(), opened.ino()) == (named.dev(), named.ino()))
}

#[cfg(not(unix))]
fn same(_: &File, path: &Path) -> Option<bool> {
    Some(std::fs::symlink_metadata(path).ok()?.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    const HASH: MediaHash = MediaHash([7; 32]);

    fn begin(root: &Path, place: &str, hash: &MediaHash, bytes: &[u8]) {
        open(root, place, hash).unwrap().file.write(bytes).unwrap();
    }

    #[test]
    fn what_was_written_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "a/file", &HASH, b"begun");
        assert_eq!(open(root.path(), "a/file", &HASH).unwrap().had, 5);
        assert_eq!(open(root.path(), "another", &HASH).unwrap().had, 0);
        assert_eq!(open(root.path(), "a/file", &HASH).unwrap().had, 5);
        open(root.path(), "a/file", &HASH).unwrap().file.discard();
        assert!(!root.path().join(DIRECTORY).exists(), "the directory goes with the last part");
    }

    #[test]
    fn a_part_that_was_not_begun_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path(), "a", &HASH).unwrap());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_writer_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), "a", &HASH).unwrap();
        assert!(open(root.path(), "a", &HASH).is_none());
        assert!(open(root.path(), "a", &MediaHash([8; 32])).unwrap().superseded.is_empty());
        drop(first);
        assert!(open(root.path(), "a", &HASH).is_some());
    }

    #[test]
    fn a_finished_part_is_nobody_elses_until_it_has_its_name() {
        let root = tempfile::tempdir().unwrap();
        let mut part = open(root.path(), "a", &HASH).unwrap();
        part.file.write(b"all of it").unwrap();
        let mut ready = part.file.finish(0o600, 0).unwrap();
        assert!(open(root.path(), "a", &HASH).is_none());
        let opened = open(root.path(), "a", &MediaHash([8; 32])).unwrap();
        assert!(opened.superseded.is_empty());
        ready.place(&root.path().join("a")).unwrap();
        assert_eq!(open(root.path(), "a", &HASH).unwrap().had, 0);
        assert_eq!(std::fs::read(root.path().join("a")).unwrap(), b"all of it");
    }

    #[test]
    fn other_content_for_the_place_supersedes() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "a", &HASH, b"begun");
        begin(root.path(), "b", &HASH, b"begun");
        let opened = open(root.path(), "a", &MediaHash([8; 32])).unwrap();
        assert_eq!(opened.superseded.len(), 1);
        drop(opened);
        assert_eq!(open(root.path(), "a", &HASH).unwrap().had, 0);
        assert_eq!(open(root.path(), "b", &HASH).unwrap().had, 5);
    }

    #[test]
    fn what_nobody_finished_goes_after_a_week() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "old", &HASH, b"begun");
        let part = std::fs::read_dir(root.path().join(DIRECTORY)).unwrap().next().unwrap().unwrap().path();
        let long_ago = SystemTime::now() - AGE - Duration::from_mins(1);
        File::options()
            .write(true)
            .open(part)
            .unwrap()
            .set_times(FileTimes::new().set_modified(long_ago))
            .unwrap();
        begin(root.path(), "new", &HASH, b"begun");
        sweep(root.path());
        assert_eq!(open(root.path(), "old", &HASH).unwrap().had, 0);
        assert_eq!(open(root.path(), "new", &HASH).unwrap().had, 5);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_way_out() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), root.path().join(DIRECTORY)).unwrap();
        assert!(open(root.path(), "a", &HASH).is_none());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
