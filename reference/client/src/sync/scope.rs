//! Looking only where something may have changed: as a scan of all would, but for the looking at all else.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use meshproof_proto::sync::Kind;

use super::Folder;
use super::index::Record;
use super::progress::Progress;
use super::scan::{ScanReport, scan, scan_within};
use super::watch::Named;
use crate::error::Result;

/// Brings the folder's index up to date with the disk: by what the watcher named, if there is one that misses nothing, and
/// else by a scan of all.
pub fn refresh(folder: &Folder, progress: &dyn Progress) -> Result<ScanReport> {
    // Who comes while another looks has its look, and what was named since.
    let _turn = folder.turn();
    let Some(Named::Paths(named)) = folder.named() else { return scan(folder, progress) };
    // Other patterns may concern anything.
    let rules = [super::ignore::FILE, super::ignore::HERE, super::only::FILE];
    if rules.iter().any(|file| named.contains_key(*file)) {
        return scan(folder, progress);
    }
    if named.is_empty() {
        return Ok(ScanReport::default());
    }
    scan_within(folder, &named, progress).inspect_err(|_| folder.lose_track())
}

/// The paths that a scan looks at.
pub(super) enum Scope {
    /// All.
    Whole,
    /// These, and what is below those that say `true`.
    Some(BTreeMap<String, bool>),
}

impl Scope {
    /// What has to be looked at for these paths: where a directory on the way is not what it was, that one.
    pub(super) fn of(
        named: &BTreeMap<String, bool>,
        root: &Path,
        records: &BTreeMap<String, Record>,
    ) -> BTreeMap<String, bool> {
        let scope = Self::above(named, root, records);
        // What is shown beside an entry is looked at with it.
        let this = Self::Some(scope);
        let touched: HashSet<_> = records
            .values()
            .filter(|record| record.entry.kind != Kind::Directory && this.has(record.entry.path.as_str()))
            .map(|record| record.entry.id)
            .collect();
        let Self::Some(mut scope) = this else { return BTreeMap::new() };
        for record in records.values().filter(|record| touched.contains(&record.entry.id)) {
            scope.entry(record.entry.path.as_str().to_owned()).or_default();
        }
        scope
    }

    /// The same without what is shown beside what is named.
    pub(super) fn above(
        named: &BTreeMap<String, bool>,
        root: &Path,
        records: &BTreeMap<String, Record>,
    ) -> BTreeMap<String, bool> {
        let mut scope: BTreeMap<String, bool> = BTreeMap::new();
        for (path, deep) in named {
            let is_known = |above: &&str| {
                let known = records.get(*above).is_some_and(|record| record.entry.kind == Kind::Directory);
                known && std::fs::symlink_metadata(root.join(above)).is_ok_and(|found| found.is_dir())
            };
            let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
            match above.find(|above| !is_known(above)) {
                Some(above) => drop(scope.insert(above.to_owned(), true)),
                None => *scope.entry(path.clone()).or_default() |= deep,
            }
        }
        scope
    }

    /// Whether a path is looked at.
    pub(super) fn has(&self, path: &str) -> bool {
        let Self::Some(scope) = self else { return true };
        let deep = |(at, _)| scope.get(&path[..at]) == Some(&true);
        scope.contains_key(path) || path.match_indices('/').any(deep)
    }

    /// The paths to look at, none of which is below another.
    pub(super) fn tops(&self) -> Vec<(String, bool)> {
        let Self::Some(scope) = self else { return Vec::new() };
        let is_below =
            |path: &str| path.match_indices('/').any(|(at, _)| scope.get(&path[..at]) == Some(&true));
        scope.iter().filter(|(path, _)| !is_below(path)).map(|(path, deep)| (path.clone(), *deep)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use meshproof_proto::codec::Id;
    use meshproof_proto::crypto::{DEFAULT, Secret};

    use super::*;
    use crate::sync::{Direction, Index, NoProgress, Signer};

    const FOLDER: Id = Id([7; 16]);

    fn folder(directory: &Path, files: &[&str]) -> Folder {
        let root = directory.join("folder");
        for file in files {
            write(&root, file);
        }
        let index = Arc::new(Index::open(&directory.join("index.db")).unwrap());
        let folder = Folder::open(FOLDER, signer(), &root, Direction::Both, index).unwrap();
        scan(&folder, &NoProgress).unwrap();
        folder
    }

    fn signer() -> Arc<Signer> {
        Arc::new(Signer::new(DEFAULT, Id([1; 16]), &Secret::default()))
    }

    fn write(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
    }

    fn look(folder: &Folder, named: &[(&str, bool)]) -> (u64, u64, u64) {
        let named = named.iter().map(|(path, deep)| ((*path).to_owned(), *deep)).collect();
        let report = scan_within(folder, &named, &NoProgress).unwrap();
        (report.present, report.changed, report.deleted)
    }

    fn id(folder: &Folder, path: &str) -> Option<Id> {
        folder.index().get(FOLDER, path).unwrap().map(|record| record.entry.id)
    }

    /// What was said is all that a scan of everything finds.
    fn is_complete(folder: &Folder) {
        let report = scan(folder, &NoProgress).unwrap();
        assert_eq!((report.changed, report.deleted), (0, 0));
    }

    #[test]
    fn nothing_but_what_is_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), &["a", "dir/b", "dir/c", "dir/deep/d"]);
        write(folder.root(), "new");
        write(folder.root(), "dir/new");
        assert_eq!(look(&folder, &[("dir/new", true)]), (1, 1, 0));
        assert!(id(&folder, "new").is_none());
        assert_eq!(look(&folder, &[("dir", false)]), (1, 0, 0));
        assert_eq!(look(&folder, &[("dir", true), ("dir/b", false), ("new", true)]).0, 7);
        std::fs::remove_dir_all(folder.root().join("dir")).unwrap();
        assert_eq!(look(&folder, &[("dir/b", true)]), (0, 0, 6), "a directory on the way is gone");
        is_complete(&folder);
    }

    #[test]
    fn renames_keep_identity() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), &["before/a", "before/b", "file"]);
        let before = [id(&folder, "file"), id(&folder, "before"), id(&folder, "before/a")];
        let rename = |from, to| std::fs::rename(folder.root().join(from), folder.root().join(to)).unwrap();
        rename("file", "before/moved");
        rename("before", "after");
        look(&folder, &[("file", true), ("before", true), ("before/moved", true), ("after", true)]);
        let after = [id(&folder, "after/moved"), id(&folder, "after"), id(&folder, "after/a")];
        assert_eq!(before, after);
        assert!(before.iter().all(Option::is_some));
        is_complete(&folder);
    }

    #[test]
    fn what_is_in_something_new_or_ignored() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), &["a"]);
        write(folder.root(), "new/deep/file");
        assert_eq!(look(&folder, &[("new/deep/file", false)]), (3, 3, 0), "with the directories it is in");
        write(folder.root(), ".meshignore");
        std::fs::write(folder.root().join(".meshignore"), "build/\n").unwrap();
        scan(&folder, &NoProgress).unwrap();
        write(folder.root(), "build/deep/file");
        assert_eq!(look(&folder, &[("build/deep/file", true)]), (0, 0, 0));
        assert_eq!(look(&folder, &[("build", true)]), (0, 0, 0));
        is_complete(&folder);
    }

    /// What happens when a disk is unmounted: its mount point is there, empty or with what somebody wrote there since.
    #[test]
    fn a_disk_that_is_gone_is_no_deletion() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), &["dir/one", "dir/two", "three"]);
        let (root, disk) = (folder.root().to_owned(), home.path().join("disk"));
        let named = BTreeMap::from([("dir/one".to_owned(), false)]);
        let is_whole = || {
            let records = folder.index().records(FOLDER).unwrap();
            assert_eq!(
                records.keys().map(String::as_str).collect::<Vec<_>>(),
                ["dir", "dir/one", "dir/two", "three"]
            );
        };
        std::fs::rename(&root, &disk).unwrap();
        std::fs::create_dir(&root).unwrap();
        for stray in [false, true] {
            if stray {
                write(&root, "stray");
            }
            assert!(
                scan_within(&folder, &named, &NoProgress).is_err(),
                "what a watch named before, stray: {stray}"
            );
            assert!(scan(&folder, &NoProgress).is_err(), "stray: {stray}");
            is_whole();
        }
        std::fs::remove_dir_all(&root).unwrap();
        std::fs::rename(&disk, &root).unwrap();
        assert_eq!(look(&folder, &[("dir/one", false)]).2, 0);
        is_complete(&folder);
        is_whole();
    }

    /// Moved to another disk by its user, with what was in it.
    #[test]
    fn a_folder_may_move() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), &["one", "two"]);
        let (root, old) = (folder.root().to_owned(), home.path().join("old"));
        std::fs::rename(&root, &old).unwrap();
        write(&root, "one");
        let report = scan(&folder, &NoProgress).unwrap();
        assert_eq!((report.changed, report.deleted), (0, 1));
        is_complete(&folder);
    }
}
