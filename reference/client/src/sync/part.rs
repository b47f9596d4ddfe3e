//! Parts: what is here of large files whose transfer was cut short (SYN-075).
//!
//! A part is a file named by the place it is for and by the hash of the whole content, so that any later session with any
//! peer finds it. Nothing is noted about which bytes in it are good: they are verified against the MANIFEST of the content
//! when it is gone on with, so that neither a crash nor a peer that lied can make it say more than it has. Who writes a part
//! holds its lock; whoever finds it locked writes another one. Nothing in a part is written over: where a MANIFEST says that
//! something else belongs there, its sender or who wrote the part lied, and what it leads to is a part of its own, beside the first and named by
//! the chunks too. So a peer that lies spoils nothing but what came by it.
//!
//! A part stays for a week after somebody wrote to it, whatever else a peer offers for its place, unless its place got all of another
//! large content, or its room is needed: for other parts, of which [`MOST`] bounds how much they take, or for a file that is on its way. Then the least is lost.

use std::fs::{DirEntry, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshproof_proto::codec::hex;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;

use super::temp::{PREFIX, TempFile, open_private, remove_if_empty};

/// Where parts are, in the root of their folder: one file system with what they become.
pub(super) const DIRECTORY: &str = ".meshproof-tmp-parts";
/// How long a part waits for somebody who has the rest.
const AGE: Duration = Duration::from_hours(7 * 24);

/// How many parts a folder has at most, and how many bytes they take together. One may take as much as it likes.
const MOST: (usize, u64) = (64, 32 << 30);

/// How many parts of one content are written at once.
const WRITERS: usize = 8;

/// A part that may be written.
pub(super) struct Opened {
    pub(super) file: TempFile,
    /// How many bytes it has from an earlier session.
    pub(super) had: u64,
    /// What is here of other content for the same place. Nobody writes it meanwhile.
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
    let name = name_of(place, hash);
    let superseded = take_superseded(&directory, &prefix_of(place), Some(&name));
    let superseded = superseded.into_iter().map(|(_, file)| file).collect();
    let (file, had) = begin_or_resume(&directory, &name)?;
    Some(Opened { file, had, superseded })
}

/// Opens or begins another part for `place` with the content `hash`, while somebody is at that of [`open`]; later, it counts as superseded
/// by that one. `None`: several are at it, or the file system has no locks.
pub(super) fn open_another(root: &Path, place: &str, hash: &MediaHash) -> Option<Opened> {
    let directory = root.join(DIRECTORY);
    if !is_directory(&directory) {
        return None;
    }
    let (prefix, content) = (prefix_of(place), hex(&hash.0[..16]));
    let (file, had) = (2..=WRITERS)
        .find_map(|number| begin_or_resume(&directory, &format!("{prefix}-{number}-{content}")))?;
    Some(Opened { file, had, superseded: Vec::new() })
}

/// Opens or begins the part for `place` with the content `hash` by the chunks with this sum: one beside that of [`open`], for a peer whose
/// chunks are not what is there. `None` as there.
pub(super) fn open_beside(root: &Path, place: &str, hash: &MediaHash, chunks: &MediaHash) -> Option<Opened> {
    let directory = root.join(DIRECTORY);
    let first = name_of(place, hash);
    let name = format!("{first}-{}", hex(&chunks.0[..8]));
    let (file, had) = begin_or_resume(&directory, &name)?;
    // What others said of the same content: each chunk of it may be right.
    let beside = take_superseded(&directory, &format!("{first}-"), Some(&name));
    Some(Opened { file, had, superseded: beside.into_iter().map(|(_, file)| file).collect() })
}

/// The part of this name, and how many bytes it has.
fn begin_or_resume(directory: &Path, name: &str) -> Option<(TempFile, u64)> {
    let path = directory.join(name);
    make_room(directory, &path, MOST);
    let mut options = OpenOptions::new();
    let file = open_private(options.read(true).write(true).create(true), &path).ok()?;
    file.try_lock().ok()?;
    // Between opening and locking, who had the lock may have put the file into its place.
    let still = same(&file, &path)?;
    if deviates(req::SYN_075) {
        file.set_len(0).ok()?;
    }
    let had = file.metadata().ok()?.len();
    still.then(|| (TempFile::resume(path, file), had))
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
        for (path, _lock) in take_superseded(&directory, &prefix_of(place), None) {
            let _ = std::fs::remove_file(path);
        }
        remove_if_empty(Some(&directory));
    }
}

/// Removes parts that nobody writes, the oldest first, until they gave so many bytes, but not the one for `place` with the content
/// `hash`; none, if all together do not have as many: then nothing is gained.
pub(super) fn give_up_others(root: &Path, place: &str, hash: &MediaHash, bytes: u64) {
    let directory = root.join(DIRECTORY);
    let but = directory.join(name_of(place, hash));
    if !is_directory(&directory) {
        return;
    }
    let mut idle = idle_in(&directory, &but);
    if idle.iter().map(|part| part.size).sum::<u64>() < bytes {
        return;
    }
    idle.sort_by_key(|part| part.changed);
    let mut given = 0;
    for part in idle {
        if given >= bytes {
            break;
        }
        if take(&part.path).is_some() && std::fs::remove_file(&part.path).is_ok() {
            given += part.size;
        }
    }
}

/// How many bytes the part for `place` with the content `hash` takes.
pub(super) fn taken(root: &Path, place: &str, hash: &MediaHash) -> u64 {
    let path = root.join(DIRECTORY).join(name_of(place, hash));
    std::fs::symlink_metadata(path).map_or(0, |metadata| room_of(&metadata))
}

/// How much room a file takes, in bytes: it may have holes.
fn room_of(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(512);
    #[cfg(not(unix))]
    metadata.len()
}

/// Removes parts until there are no more than these, and one: the smallest if there are too many, the oldest if they are too large.
/// Whether one was removed.
fn make_room(directory: &Path, but: &Path, (most, most_bytes): (usize, u64)) -> bool {
    let mut idle = idle_in(directory, but);
    idle.sort_by_key(|part| std::cmp::Reverse(part.size));
    let mut gone = idle.split_off(idle.len().min(most));
    idle.sort_by_key(|part| std::cmp::Reverse(part.changed));
    let mut bytes = 0_u64;
    let kept = idle.iter().enumerate().take_while(|(number, part)| {
        bytes = bytes.saturating_add(part.size);
        bytes <= most_bytes || (*number == 0 && most > 0)
    });
    let kept = kept.count();
    gone.extend(idle.split_off(kept));
    let removed =
        gone.iter().filter(|part| take(&part.path).is_some() && std::fs::remove_file(&part.path).is_ok());
    removed.count() > 0
}

/// The parts that may be removed, but for one.
fn idle_in(directory: &Path, but: &Path) -> Vec<Idle> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path() != but).filter_map(|entry| Idle::of(&entry)).collect()
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
}

fn name_of(place: &str, hash: &MediaHash) -> String {
    format!("{}-{}", prefix_of(place), hex(&hash.0[..16]))
}

fn prefix_of(place: &str) -> String {
    hex(&MediaHash::of(place.as_bytes()).0[..8])
}

/// The parts with names that begin so, but for one and those beside it, that nobody writes, each with its lock.
fn take_superseded(directory: &Path, begin: &str, but: Option<&str>) -> Vec<(PathBuf, File)> {
    let mut superseded = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(begin)
            && !but.is_some_and(|but| name.starts_with(but))
            && let Some(file) = take(&entry.path())
        {
            superseded.push((entry.path(), file));
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
    fn what_several_wrote_at_once_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let mut writers = vec![open(root.path(), "a", &HASH).unwrap()];
        while let Some(another) = open_another(root.path(), "a", &HASH) {
            writers.push(another);
        }
        assert_eq!(writers.len(), WRITERS);
        writers.iter_mut().for_each(|writer| writer.file.write(b"what one of them got").unwrap());
        drop(writers);
        let opened = open(root.path(), "a", &HASH).unwrap();
        assert_eq!((opened.had, opened.superseded.len()), (20, WRITERS - 1));
        drop(opened);
        give_up(root.path(), "a");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
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
    fn other_content_for_the_place_is_no_loss() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "a", &HASH, b"begun");
        begin(root.path(), "b", &HASH, b"begun");
        let opened = open(root.path(), "a", &MediaHash([8; 32])).unwrap();
        assert_eq!(opened.superseded.len(), 1);
        drop(opened);
        assert_eq!(open(root.path(), "a", &HASH).unwrap().had, 5);
        assert_eq!(open(root.path(), "b", &HASH).unwrap().had, 5);
        give_up(root.path(), "a");
        assert_eq!(open(root.path(), "a", &HASH).unwrap().had, 0);
        assert_eq!(open(root.path(), "b", &HASH).unwrap().had, 5);
    }

    #[test]
    fn who_says_otherwise_has_a_part_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        begin(root.path(), "a", &HASH, b"what one gave");
        let first = open(root.path(), "a", &HASH).unwrap();
        let mut beside = open_beside(root.path(), "a", &HASH, &MediaHash([1; 32])).unwrap();
        assert_eq!((beside.had, beside.superseded.len()), (0, 0));
        beside.file.write(b"what another gave").unwrap();
        drop((first, beside));
        let first = open(root.path(), "a", &HASH).unwrap();
        assert_eq!((first.had, first.superseded.len()), (13, 0), "what is beside it is no other content");
        assert_eq!(open_beside(root.path(), "a", &HASH, &MediaHash([1; 32])).unwrap().had, 17);
        let third = open_beside(root.path(), "a", &HASH, &MediaHash([2; 32])).unwrap();
        assert_eq!((third.had, third.superseded.len()), (0, 1));
        drop((first, third));
        assert_eq!(open(root.path(), "a", &MediaHash([8; 32])).unwrap().superseded.len(), 2);
        give_up(root.path(), "a");
        assert!(!root.path().join(DIRECTORY).exists());
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
        assert_eq!(open(root.path(), "large", &HASH).unwrap().had, 200_000);
    }

    /// "first", "second" and "third" of 100,000 bytes each, in this order.
    fn begin_three(root: &Path) {
        for (number, name) in (0..).zip(["first", "second", "third"]) {
            begin(root, name, &HASH, &vec![7; 100_000]);
            let part = root.join(DIRECTORY).join(name_of(name, &HASH));
            let changed = SystemTime::now() - Duration::from_secs(100 - number);
            let times = FileTimes::new().set_modified(changed);
            File::options().write(true).open(part).unwrap().set_times(times).unwrap();
        }
    }

    #[test]
    fn parts_give_way_if_that_is_enough_and_as_many_as_it_takes() {
        let root = tempfile::tempdir().unwrap();
        begin_three(root.path());
        let count = || std::fs::read_dir(root.path().join(DIRECTORY)).map_or(0, Iterator::count);
        give_up_others(root.path(), "another", &HASH, 1 << 62);
        assert_eq!(count(), 3, "a file that fits nowhere costs nobody anything");
        let writing = open(root.path(), "first", &HASH).unwrap();
        give_up_others(root.path(), "another", &HASH, 50_000);
        assert_eq!(count(), 2, "what is being written stays");
        drop(writing);
        assert_eq!(open(root.path(), "second", &HASH).unwrap().had, 0, "the oldest of the others went");
        assert_eq!(open(root.path(), "third", &HASH).unwrap().had, 100_000);
        give_up_others(root.path(), "third", &HASH, 150_000);
        assert_eq!(open(root.path(), "third", &HASH).unwrap().had, 100_000);
        give_up_others(root.path(), "another", &HASH, 150_000);
        assert_eq!(count(), 0);
    }

    #[test]
    fn too_many_bytes_cost_the_oldest() {
        let root = tempfile::tempdir().unwrap();
        begin_three(root.path());
        let directory = root.path().join(DIRECTORY);
        assert!(make_room(&directory, Path::new(""), (10, 250_000)));
        assert_eq!(open(root.path(), "first", &HASH).unwrap().had, 0);
        assert_eq!(open(root.path(), "third", &HASH).unwrap().had, 100_000);
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
        assert_eq!(open(root.path(), "old", &HASH).unwrap().had, 0);
        assert_eq!(open(root.path(), "new", &HASH).unwrap().had, 5);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_way_out() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), root.path().join(DIRECTORY)).unwrap();
        assert!(open(root.path(), "a", &HASH).is_none());
        assert!(open_another(root.path(), "a", &HASH).is_none());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
