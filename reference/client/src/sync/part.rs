//! Parts: what is here of large files whose transfer was cut short (SYN-075).
//!
//! A part is a file named by the place it is for, by the hash of the whole content, and by the user whose devices gave it, so that any
//! later session with any peer finds it. Nothing is noted about which bytes in it are good: they are verified against the MANIFEST of
//! the content when it is gone on with, so that neither a crash nor a peer that lied can make it say more than it has. A MANIFEST
//! may be a lie as well, which shows when all is there: so what comes from a user goes into that user's part alone, and those of others
//! are read beside it, until the whole is verified (SYN-115). Who writes a part holds its lock; whoever finds it locked makes a file of
//! its own.
//!
//! A part stays for a week after somebody wrote to it, whatever else a peer offers for its place, unless its place got all of another
//! large content, or its room is needed: for other parts, of which [`MOST`] bounds how much they take, or for a file that is on its way
//! and for which their room is enough. Then the least is lost.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{DirEntry, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;

use super::temp::{PREFIX, TempFile, open_private, remove_if_empty};

/// Where parts are, in the root of their folder: one file system with what they become.
pub(super) const DIRECTORY: &str = ".meshproof-tmp-parts";
/// How long a part waits for somebody who has the rest.
const AGE: Duration = Duration::from_hours(7 * 24);

/// How many parts a folder has at most, and how many bytes they take together. One may take as much as it likes, and users give way
/// to each other.
const MOST: (usize, u64) = (64, 32 << 30);

/// A part that may be written.
pub(super) struct Opened {
    pub(super) file: TempFile,
    /// How many bytes it has from an earlier session.
    pub(super) had: u64,
    /// What other users gave of the same content. Nobody writes it meanwhile.
    pub(super) beside: Vec<(PathBuf, File)>,
    /// What is here of other content for the same place. Nobody writes it meanwhile.
    pub(super) superseded: Vec<File>,
}

/// Opens or begins the part for `place` with the content `hash` that the devices of the user `giver` give. `None`: somebody else is at
/// it, or the file system has no locks.
pub(super) fn open(root: &Path, place: &str, hash: &MediaHash, giver: Id) -> Option<Opened> {
    debug_assert!(DIRECTORY.starts_with(PREFIX), "a scan would take it for a directory of the folder");
    let directory = root.join(DIRECTORY);
    // Not followed if it is a link: what is written stays in the folder.
    if std::fs::create_dir(&directory).is_err() && !is_directory(&directory) {
        return None;
    }
    let name = name_of(place, hash, giver);
    let others = take_others(&directory, &prefix_of(place), &name);
    let content = content_of(place, hash);
    let same = |(path, _): &(PathBuf, File)| path.file_name().is_some_and(|name| starts_with(name, &content));
    let (mut beside, superseded): (Vec<_>, Vec<_>) = others.into_iter().partition(same);
    let superseded = superseded.into_iter().map(|(_, file)| file).collect();
    let path = directory.join(name);
    make_room(&directory, &path, MOST);
    let mut options = OpenOptions::new();
    let file = open_private(options.read(true).write(true).create(true), &path).ok()?;
    file.try_lock().ok()?;
    // Between opening and locking, who had the lock may have put the file into its place.
    let still = is_still(&file, &path)?;
    if deviates(req::SYN_075) {
        file.set_len(0).ok()?;
        beside.clear();
    }
    let had = file.metadata().ok()?.len();
    still.then(|| Opened { file: TempFile::resume(path, file), had, beside, superseded })
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

/// Removes the parts for a place that has other content now.
pub(super) fn give_up(root: &Path, place: &str) {
    let directory = root.join(DIRECTORY);
    if is_directory(&directory) {
        for (path, _lock) in take_others(&directory, &prefix_of(place), "") {
            let _ = std::fs::remove_file(path);
        }
        remove_if_empty(Some(&directory));
    }
}

/// Removes parts that nobody writes, the oldest first, but those for `place` with the content `hash`, until that gave so many bytes. All
/// stay if all of them together are not enough: that would help nobody. Whether it did.
pub(super) fn give_up_others(root: &Path, place: &str, hash: &MediaHash, needed: u64) -> bool {
    let content = content_of(place, hash);
    let mut idle = idle(&root.join(DIRECTORY));
    idle.retain(|part| !part.path.file_name().is_some_and(|name| starts_with(name, &content)));
    let all = idle.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size));
    if all < needed {
        return false;
    }
    idle.sort_by_key(|part| part.changed);
    let mut freed = 0;
    for part in idle {
        if freed >= needed {
            break;
        }
        if part.remove() {
            freed += part.size;
        }
    }
    freed >= needed
}

/// How many bytes are taken by the largest part for `place` with the content `hash`: the others' are freed when they are in it.
pub(super) fn taken(root: &Path, place: &str, hash: &MediaHash) -> u64 {
    let content = content_of(place, hash);
    let directory = root.join(DIRECTORY);
    let parts = entries(&directory).filter(|entry| starts_with(&entry.file_name(), &content));
    parts.filter_map(|entry| Some(room_of(&entry.metadata().ok()?))).max().unwrap_or_default()
}

/// How much room a file takes, in bytes: it may have holes.
fn room_of(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(512);
    #[cfg(not(unix))]
    metadata.len()
}

/// Removes parts until there are no more than these, and one: of the user who has most, the smallest if there are too many, the oldest
/// if they are too large. Whether one was removed.
fn make_room(directory: &Path, but: &Path, (most, most_bytes): (usize, u64)) -> bool {
    let mut idle = idle(directory);
    idle.retain(|part| part.path != but);
    let mut removed = false;
    loop {
        let too_many = idle.len() > most;
        let bytes = idle.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size));
        if !too_many && (bytes <= most_bytes || idle.len() < 2) {
            return removed;
        }
        let mut by_giver: HashMap<&str, u64> = HashMap::new();
        for part in &idle {
            *by_giver.entry(part.giver()).or_default() += if too_many { 1 } else { part.size };
        }
        let of_most = |part: &&Idle| (by_giver[part.giver()], part.giver().to_owned());
        let worst = idle.iter().map(|part| of_most(&part)).max();
        let candidates = idle.iter().enumerate().filter(|(_, part)| Some(of_most(part)) == worst);
        let gives_way = if too_many {
            candidates.min_by_key(|(_, part)| part.size)
        } else {
            candidates.min_by_key(|(_, part)| part.changed)
        };
        let Some(at) = gives_way.map(|(at, _)| at) else { return removed };
        removed |= idle.swap_remove(at).remove();
    }
}

/// A part that is not being written, as far as its directory tells.
struct Idle {
    path: PathBuf,
    /// How much room it takes, in bytes.
    size: u64,
    changed: SystemTime,
}

impl Idle {
    fn of(entry: &DirEntry) -> Option<Self> {
        let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Self { path: entry.path(), size: room_of(&metadata), changed: metadata.modified().ok()? })
    }

    /// Who gave it, as its name says.
    fn giver(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.rsplit('-').next().unwrap_or_default()
    }

    /// Removes it. `false`: somebody writes it.
    fn remove(&self) -> bool {
        take(&self.path).is_some() && std::fs::remove_file(&self.path).is_ok()
    }
}

fn idle(directory: &Path) -> Vec<Idle> {
    entries(directory).filter_map(|entry| Idle::of(&entry)).collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = DirEntry> {
    let there = is_directory(directory).then(|| std::fs::read_dir(directory).ok()).flatten();
    there.into_iter().flatten().flatten()
}

fn starts_with(name: &OsStr, prefix: &str) -> bool {
    name.to_string_lossy().starts_with(prefix)
}

fn name_of(place: &str, hash: &MediaHash, giver: Id) -> String {
    format!("{}{}", content_of(place, hash), hex(&MediaHash::of(&giver.0).0[..4]))
}

/// How the names of all parts with this content begin.
fn content_of(place: &str, hash: &MediaHash) -> String {
    format!("{}-{}-", prefix_of(place), hex(&hash.0[..16]))
}

fn prefix_of(place: &str) -> String {
    hex(&MediaHash::of(place.as_bytes()).0[..8])
}

/// The other parts for a place that nobody writes, each with its lock.
fn take_others(directory: &Path, place: &str, but: &str) -> Vec<(PathBuf, File)> {
    let others =
        entries(directory).filter(|entry| starts_with(&entry.file_name(), place) && entry.file_name() != but);
    others.filter_map(|entry| Some((entry.path(), take(&entry.path())?))).collect()
}

/// Opens a part that nobody writes.
fn take(path: &Path) -> Option<File> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    let (opened, named) = (file.metadata().ok()?, std::fs::symlink_metadata(path).ok()?);
    Some(named.is_file() && (opened.dev(), opened.ino()) == (named.dev(), named.ino()))
}

#[cfg(not(unix))]
fn is_still(_: &File, path: &Path) -> Option<bool> {
    Some(std::fs::symlink_metadata(path).ok()?.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    const HASH: MediaHash = MediaHash([7; 32]);
    const GIVER: Id = Id([1; 16]);

    fn begin(root: &Path, place: &str, hash: &MediaHash, bytes: &[u8]) {
        open(root, place, hash, GIVER).unwrap().file.write(bytes).unwrap();
    }

    #[test]
    fn what_was_written_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "a/file", &HASH, b"begun");
        assert_eq!(open(root.path(), "a/file", &HASH, GIVER).unwrap().had, 5);
        assert_eq!(open(root.path(), "another", &HASH, GIVER).unwrap().had, 0);
        assert_eq!(open(root.path(), "a/file", &HASH, GIVER).unwrap().had, 5);
        open(root.path(), "a/file", &HASH, GIVER).unwrap().file.discard();
        assert!(!root.path().join(DIRECTORY).exists(), "the directory goes with the last part");
    }

    #[test]
    fn a_part_that_was_not_begun_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path(), "a", &HASH, GIVER).unwrap());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_writer_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), "a", &HASH, GIVER).unwrap();
        assert!(open(root.path(), "a", &HASH, GIVER).is_none());
        assert!(open(root.path(), "a", &MediaHash([8; 32]), GIVER).unwrap().superseded.is_empty());
        drop(first);
        assert!(open(root.path(), "a", &HASH, GIVER).is_some());
    }

    #[test]
    fn a_finished_part_is_nobody_elses_until_it_has_its_name() {
        let root = tempfile::tempdir().unwrap();
        let mut part = open(root.path(), "a", &HASH, GIVER).unwrap();
        part.file.write(b"all of it").unwrap();
        let mut ready = part.file.finish(0o600, 0).unwrap();
        assert!(open(root.path(), "a", &HASH, GIVER).is_none());
        let opened = open(root.path(), "a", &MediaHash([8; 32]), GIVER).unwrap();
        assert!(opened.superseded.is_empty());
        ready.place(&root.path().join("a")).unwrap();
        assert_eq!(open(root.path(), "a", &HASH, GIVER).unwrap().had, 0);
        assert_eq!(std::fs::read(root.path().join("a")).unwrap(), b"all of it");
    }

    #[test]
    fn other_content_for_the_place_is_no_loss() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "a", &HASH, b"begun");
        begin(root.path(), "b", &HASH, b"begun");
        let opened = open(root.path(), "a", &MediaHash([8; 32]), GIVER).unwrap();
        assert_eq!(opened.superseded.len(), 1);
        drop(opened);
        assert_eq!(open(root.path(), "a", &HASH, GIVER).unwrap().had, 5);
        assert_eq!(open(root.path(), "b", &HASH, GIVER).unwrap().had, 5);
        give_up(root.path(), "a");
        assert_eq!(open(root.path(), "a", &HASH, GIVER).unwrap().had, 0);
        assert_eq!(open(root.path(), "b", &HASH, GIVER).unwrap().had, 5);
    }

    #[test]
    fn parts_are_few_and_the_largest_stays() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "large", &HASH, &vec![7; 200_000]);
        for number in 0..=MOST.0 {
            begin(root.path(), &number.to_string(), &HASH, b"begun");
        }
        let count = || std::fs::read_dir(root.path().join(DIRECTORY)).unwrap().count();
        assert_eq!(count(), MOST.0 + 1, "and the last");
        assert_eq!(open(root.path(), "large", &HASH, GIVER).unwrap().had, 200_000);
        let writing = open(root.path(), "large", &HASH, GIVER).unwrap();
        assert_eq!(count(), MOST.0 + 1, "what is being written counts for nobody");
        drop(writing);
    }

    /// Parts of 100,000 bytes, each a second younger than the one before.
    fn begin_in_turn(root: &Path, parts: &[(&str, Id)]) {
        for (number, (name, giver)) in (0..).zip(parts) {
            open(root, name, &HASH, *giver).unwrap().file.write(&vec![7; 100_000]).unwrap();
            let part = root.join(DIRECTORY).join(name_of(name, &HASH, *giver));
            let times = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(100 - number));
            File::options().write(true).open(part).unwrap().set_times(times).unwrap();
        }
    }

    fn had(root: &Path, place: &str, giver: Id) -> u64 {
        open(root, place, &HASH, giver).unwrap().had
    }

    #[test]
    fn room_is_made_only_where_it_is_enough_and_no_more_than_that() {
        let root = tempfile::tempdir().unwrap();
        begin_in_turn(root.path(), &[("first", GIVER), ("second", GIVER), ("third", GIVER)]);
        assert!(
            !give_up_others(root.path(), "another", &HASH, 1 << 62),
            "an entry of a size that nobody can hold"
        );
        assert!(!give_up_others(root.path(), "first", &HASH, 250_000), "its own part is no room");
        let count = || std::fs::read_dir(root.path().join(DIRECTORY)).unwrap().count();
        assert_eq!(count(), 3);
        let writing = open(root.path(), "second", &HASH, GIVER).unwrap();
        assert!(give_up_others(root.path(), "another", &HASH, 150_000));
        drop(writing);
        assert_eq!([had(root.path(), "first", GIVER), had(root.path(), "third", GIVER)], [0, 0]);
        assert_eq!(had(root.path(), "second", GIVER), 100_000, "what is being written stays");
        begin_in_turn(root.path(), &[("older", GIVER)]);
        assert!(give_up_others(root.path(), "another", &HASH, 50_000));
        assert_eq!([had(root.path(), "older", GIVER), had(root.path(), "second", GIVER)], [100_000, 0]);
    }

    #[test]
    fn users_have_parts_of_their_own() {
        let (root, other) = (tempfile::tempdir().unwrap(), Id([2; 16]));
        begin(root.path(), "a", &HASH, b"begun");
        let opened = open(root.path(), "a", &HASH, other).unwrap();
        assert_eq!((opened.had, opened.beside.len(), opened.superseded.len()), (0, 1, 0));
        opened.file.discard();
        assert_eq!(had(root.path(), "a", GIVER), 5);
    }

    #[test]
    fn who_gives_most_gives_way_first() {
        let (root, other) = (tempfile::tempdir().unwrap(), Id([2; 16]));
        begin_in_turn(root.path(), &[("honest", GIVER), ("1", other), ("2", other), ("3", other)]);
        assert!(make_room(&root.path().join(DIRECTORY), Path::new(""), (10, 250_000)));
        assert_eq!([had(root.path(), "honest", GIVER), had(root.path(), "3", other)], [100_000, 100_000]);
        assert_eq!([had(root.path(), "1", other), had(root.path(), "2", other)], [0, 0]);
    }

    #[test]
    fn too_many_bytes_cost_the_oldest() {
        let root = tempfile::tempdir().unwrap();
        begin_in_turn(root.path(), &[("first", GIVER), ("second", GIVER), ("third", GIVER)]);
        let directory = root.path().join(DIRECTORY);
        assert!(make_room(&directory, Path::new(""), (10, 250_000)));
        assert_eq!(open(root.path(), "first", &HASH, GIVER).unwrap().had, 0);
        assert_eq!(open(root.path(), "third", &HASH, GIVER).unwrap().had, 100_000);
        assert!(make_room(&directory, Path::new(""), (10, 1)));
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "one may be larger than all may");
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
        assert_eq!(open(root.path(), "old", &HASH, GIVER).unwrap().had, 0);
        assert_eq!(open(root.path(), "new", &HASH, GIVER).unwrap().had, 5);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_way_out() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), root.path().join(DIRECTORY)).unwrap();
        assert!(open(root.path(), "a", &HASH, GIVER).is_none());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
