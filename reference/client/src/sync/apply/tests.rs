//! What somebody saves while something else is about to take its place.

use meshproof_proto::crypto::{DEFAULT, Secret};

use super::*;
use crate::sync::temp::TempFile;
use crate::sync::versions::{self, Limits};
use crate::sync::{Direction, Index, NoProgress, Signer, scan};

fn folder(home: &Path) -> Folder {
    let root = home.join("folder");
    std::fs::create_dir_all(&root).unwrap();
    let index = Arc::new(Index::open(&home.join("index.db")).unwrap());
    let signer = Arc::new(Signer::new(DEFAULT, Id([1; 16]), &Secret::default()));
    let folder = Folder::open(Id([7; 16]), signer, &root, Direction::Both, index).unwrap();
    folder.with_versions(Limits::default())
}

/// As on a disk without second names, with somebody who saves the file while it is copied.
fn save_meanwhile(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to.parent().unwrap())?;
    std::fs::copy(from, to)?;
    std::fs::write(from, "saved meanwhile")
}

/// A folder with a file `a`, ready to be brought to its view.
fn with_file(folder: &Folder, keep: Keep) -> (Apply<'_>, Item) {
    std::fs::write(folder.root().join("a"), "before").unwrap();
    scan(folder, &NoProgress).unwrap();
    let mut apply = Apply::new(folder, &NoProgress);
    apply.load_and_shape(&mut Report::default()).unwrap();
    apply.keep = Some(keep);
    let item = apply.items["a"].clone();
    (apply, item)
}

/// Another content comes to the place of the file.
fn replace(folder: &Folder, apply: &mut Apply<'_>, mut item: Item, kind: Kind) -> Option<SkipReason> {
    item.kind = kind;
    item.stamp.counter += 1;
    apply.items.insert("a".into(), item.clone());
    let mut content = TempFile::create(folder.temp_path()).unwrap();
    content.write(b"theirs").unwrap();
    let content = content.finish(item.mode, item.mtime).unwrap();
    apply.place(&item, content).unwrap()
}

#[test]
fn what_is_saved_while_a_version_is_kept_stays() {
    let hash = MediaHash::of(b"theirs");
    let kinds = [Some(Kind::File { size: 6, hash }), cfg!(unix).then_some(Kind::Link { size: 6, hash })];
    for kind in kinds.into_iter().flatten().map(Some).chain([None]) {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path());
        let act = |keep: Keep| {
            let (mut apply, item) = with_file(&folder, keep);
            if let Some(kind) = kind {
                return replace(&folder, &mut apply, item, kind);
            }
            let record = apply.disk["a"].1.clone();
            apply.remove(&record).unwrap()
        };
        let path = folder.root().join("a");
        assert_eq!(act(Keep::giving(folder.root(), save_meanwhile)), Some(SkipReason::Busy), "{kind:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "saved meanwhile", "{kind:?}");
        // Who is not disturbed goes on.
        assert_eq!(act(Keep::new(folder.root())), None, "{kind:?}");
        let is_there = std::fs::symlink_metadata(&path).is_ok();
        assert_eq!(is_there, kind.is_some(), "{kind:?}");
        assert!(versions::list(folder.root(), Some("a")).len() >= 2);
        let left = std::fs::read_dir(folder.root()).unwrap().count();
        assert_eq!(left, 1 + usize::from(is_there), "no temporary file is left: {kind:?}");
    }
}

#[test]
fn what_is_made_after_the_look_is_not_renamed_over() {
    let home = tempfile::tempdir().unwrap();
    let folder = folder(home.path());
    let (mut apply, _) = with_file(&folder, Keep::new(folder.root()));
    std::fs::write(folder.root().join("b"), "made meanwhile").unwrap();
    assert_eq!(apply.rename_on_disk("a", "b").unwrap(), Some(SkipReason::InTheWay));
    assert_eq!(std::fs::read_to_string(folder.root().join("b")).unwrap(), "made meanwhile");
    assert_eq!(std::fs::read_to_string(folder.root().join("a")).unwrap(), "before");
    assert_eq!(apply.rename_on_disk("a", "c").unwrap(), None);
    assert!(apply.disk.contains_key("c") && !apply.disk.contains_key("a"));
}

#[test]
fn what_is_aside_is_known_by_the_path_that_it_had() {
    let home = tempfile::tempdir().unwrap();
    let folder = folder(home.path());
    std::fs::create_dir(folder.root().join("dir")).unwrap();
    std::fs::write(folder.root().join("dir/b"), "b").unwrap();
    let (mut apply, _) = with_file(&folder, Keep::new(folder.root()));
    let aside = folder.aside().to_string_lossy().into_owned();
    apply.rename_on_disk("dir", &aside).unwrap();
    let record = apply.disk[&format!("{aside}/b")].1.clone();
    assert_eq!(apply.known_as(&record).unwrap(), "dir/b");
    // After a restart nobody knows from where it was put aside, but its entry says where it belongs.
    apply.origins = apply.paths.clone();
    assert_eq!(apply.known_as(&record).unwrap(), "dir/b");
    assert_eq!(apply.remove(&record).unwrap(), None);
    let kept: Vec<String> =
        versions::list(folder.root(), None).into_iter().map(|version| version.path).collect();
    assert_eq!(kept, ["dir/b"]);
}
