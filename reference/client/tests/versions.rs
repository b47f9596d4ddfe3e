//! What a sync replaces or deletes is kept, and comes back.

mod common;

use common::{Node, X, Y, sync};
use meshproof_client::sync::versions::{self, Limits};
use meshproof_client::sync::{NoProgress, SkipReason, scan};
use meshproof_proto::crypto::DEFAULT;

fn both() -> (Node, Node) {
    (Node::new(DEFAULT, X), Node::new(DEFAULT, Y).keeping(Limits::default()))
}

fn kept(node: &Node, path: &str) -> Vec<u64> {
    versions::list(&node.root, Some(path)).iter().map(|version| version.size).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_replace_and_delete_is_kept_here() {
    let (x, y) = both();
    x.write("notes/a.txt", "first");
    x.write("notes/b.txt", "b");
    sync(&x, &y).await;
    assert!(!y.root.join(versions::DIRECTORY).exists(), "nothing was replaced yet");
    x.write("notes/a.txt", "second!");
    sync(&x, &y).await;
    std::fs::remove_dir_all(x.root.join("notes")).unwrap();
    sync(&x, &y).await;
    assert!(!y.root.join("notes").exists());
    let mut sizes = kept(&y, "notes/a.txt");
    sizes.sort_unstable();
    assert_eq!((sizes, kept(&y, "notes/b.txt"), kept(&y, "notes").len()), (vec![5, 7], vec![1], 3));
    assert!(!x.root.join(versions::DIRECTORY).exists(), "who edits or deletes keeps nothing");

    // Put back, it is a change as any other, and what is kept is nobody else's.
    let first = versions::list(&y.root, Some("notes/a.txt")).into_iter().find(|version| version.size == 5);
    first.unwrap().restore(&y.root).unwrap();
    sync(&x, &y).await;
    assert_eq!(x.read("notes/a.txt").as_deref(), Some("first"));
    assert_eq!(kept(&y, "notes").len(), 3);
    let (mine, theirs) = sync(&x, &y).await;
    assert_eq!(mine.bytes_sent + theirs.bytes_sent, 0, "nothing is left to do");
    assert_eq!(x.tree().len(), 2);
}

/// Who may write a file cannot write it so often that what was there first is lost.
#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_replacements_drives_out_what_was_there() {
    let x = Node::new(DEFAULT, X);
    let y = Node::new(DEFAULT, Y).keeping(Limits { number: 3, ..Limits::default() });
    y.write("file", "the original");
    sync(&x, &y).await;
    for number in 0..6 {
        x.write("file", format!("by x, the {number}th"));
        sync(&x, &y).await;
    }
    assert_eq!(kept(&y, "file").len(), 6);
    assert!(kept(&y, "file").contains(&12), "the original is among them: {:?}", kept(&y, "file"));
    assert_eq!(y.read("file").as_deref(), Some("by x, the 5th"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_the_room_goes() {
    let x = Node::new(DEFAULT, X);
    let y = Node::new(DEFAULT, Y).keeping(Limits { bytes: 3 * 4_096, ..Limits::default() });
    y.write("file", "the original");
    sync(&x, &y).await;
    for number in 0..6 {
        x.write("file", format!("by x, the {number}th"));
        sync(&x, &y).await;
    }
    assert_eq!(kept(&y, "file").len(), 3);
    assert!(kept(&y, "file").contains(&12), "what was there first goes last: {:?}", kept(&y, "file"));
}

/// Nothing is replaced or removed of which no version can be kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_stays_and_is_told() {
    let (x, y) = both();
    for path in ["edited", "deleted"] {
        x.write(path, "before");
    }
    sync(&x, &y).await;
    // As on a disk that takes nothing: no version gets a directory.
    std::fs::write(y.root.join(versions::DIRECTORY), "in the way").unwrap();
    x.write("edited", "afterwards");
    x.remove("deleted");
    x.write("new", "new");
    let (_, report) = sync(&x, &y).await;
    let mut told: Vec<&str> = report
        .skipped
        .iter()
        .filter(|(_, skipped)| matches!(skipped.reason, SkipReason::NotKept(_)))
        .map(|(_, skipped)| skipped.path.as_str())
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["deleted", "edited"], "{:?}", report.skipped);
    for path in ["edited", "deleted"] {
        assert_eq!(y.read(path).as_deref(), Some("before"), "{path}");
    }
    assert_eq!(y.read("new").as_deref(), Some("new"), "others are not concerned");
    // When there is room again, the next session does it.
    y.remove(versions::DIRECTORY);
    sync(&x, &y).await;
    assert_eq!((y.read("edited").as_deref(), y.read("deleted")), (Some("afterwards"), None));
    assert_eq!((kept(&y, "edited"), kept(&y, "deleted")), (vec![6], vec![6]));
    assert_eq!(x.read("deleted"), None, "it did not come back");
}

/// What others put something else in the place of was out of the way for a moment: its user knows it by the path that it had.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_aside_is_kept_under_its_path() {
    let (x, y) = both();
    for path in ["a", "b", "dir/a", "dir/sub/gone", "dir2/b"] {
        x.write(path, path);
    }
    sync(&x, &y).await;
    x.remove("a");
    std::fs::remove_dir_all(x.root.join("dir")).unwrap();
    scan(&x.folder, &NoProgress).unwrap();
    for (from, to) in [("b", "a"), ("dir2", "dir")] {
        std::fs::rename(x.root.join(from), x.root.join(to)).unwrap();
    }
    sync(&x, &y).await;
    assert_eq!((y.read("a").as_deref(), y.read("dir/b").as_deref()), (Some("b"), Some("dir2/b")));
    let mut paths: Vec<String> =
        versions::list(&y.root, None).into_iter().map(|version| version.path).collect();
    paths.sort();
    assert_eq!(paths, ["a", "dir/a", "dir/sub/gone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_conflict_is_no_version() {
    let (x, y) = both();
    x.write("file", "before");
    sync(&x, &y).await;
    x.write("file", "by x");
    y.write("file", "by y, longer");
    sync(&x, &y).await;
    assert_eq!(x.tree().len(), 2);
    assert!(kept(&y, "").is_empty());
}
