//! Two devices in one process, over real TCP on the loopback interface.

mod common;

use common::{FOLDER, Node, X, Y, sync};
use meshproof_client::sync::{NoProgress, SkipReason, scan};
use meshproof_proto::crypto::{DEFAULT, Provider, RUSTCRYPTO};

fn pair(left: &'static dyn Provider, right: &'static dyn Provider) -> (Node, Node) {
    (Node::new(left, X), Node::new(right, Y))
}

fn both() -> (Node, Node) {
    pair(DEFAULT, DEFAULT)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_tree_over_every_pair_of_providers() {
    for left in [DEFAULT, RUSTCRYPTO] {
        for right in [DEFAULT, RUSTCRYPTO] {
            let (x, y) = pair(left, right);
            x.write("a.txt", "alpha");
            x.write("deep/er/b.txt", "beta");
            x.write("empty", "");
            std::fs::create_dir(x.root.join("hollow")).unwrap();
            let (sent, received) = sync(&x, &y).await;
            assert_eq!(x.tree(), y.tree());
            assert_eq!(y.tree().len(), 6);
            assert_eq!(received.folders, [FOLDER]);
            assert_eq!((received.files_received, received.bytes_received), (3, 9));
            assert_eq!((sent.files_received, sent.bytes_sent), (0, 9));
            let (sent, received) = sync(&y, &x).await;
            assert_eq!(sent.bytes_sent + received.bytes_sent, 0, "nothing is left to do");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_edits_and_deletions() {
    let (x, y) = both();
    x.write("from x", "1");
    y.write("from y", "2");
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(x.tree().len(), 2);

    x.write("from y", "changed by x");
    y.remove("from x");
    y.write("new/file", "3");
    let (mine, theirs) = sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(x.read("from y").as_deref(), Some("changed by x"));
    assert_eq!(x.read("from x"), None);
    assert_eq!((mine.deleted, theirs.deleted), (1, 0));
    assert!(mine.conflicts.is_empty() && theirs.conflicts.is_empty());

    std::fs::remove_dir_all(x.root.join("new")).unwrap();
    sync(&y, &x).await;
    assert!(!y.root.join("new").exists());
    assert_eq!(x.entry("new/file"), y.entry("new/file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_wins_over_a_deletion() {
    // SYN-022, whichever side edits.
    for x_edits in [true, false] {
        let (x, y) = both();
        x.write("file", "before");
        sync(&x, &y).await;
        let (edits, deletes) = if x_edits { (&x, &y) } else { (&y, &x) };
        edits.write("file", "after");
        deletes.remove("file");
        sync(&x, &y).await;
        assert_eq!(x.tree(), y.tree());
        assert_eq!(deletes.read("file").as_deref(), Some("after"));
        assert_eq!(x.entry("file"), y.entry("file"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_edits_keep_both_contents_on_both_sides() {
    let (x, y) = both();
    x.write("dir/report.txt", "first");
    sync(&x, &y).await;
    x.write("dir/report.txt", "what x says");
    y.write("dir/report.txt", "what y says instead");
    let (mine, theirs) = sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    // Equal Lamport counters: the larger writer wins (SYN-020), the other is kept (SYN-021).
    assert_eq!(x.read("dir/report.txt").as_deref(), Some("what y says instead"));
    assert_eq!(x.read("dir/report (conflict 02020202 3).txt").as_deref(), Some("what x says"));
    assert_eq!((mine.conflicts.len(), theirs.conflicts.len()), (1, 1));
    assert_eq!(x.folder.index().conflicts(FOLDER).unwrap(), ["dir/report (conflict 02020202 3).txt"]);

    let (mine, theirs) = sync(&y, &x).await;
    assert_eq!(mine.bytes_sent + theirs.bytes_sent, 0, "the copies are one entry");
    assert_eq!(x.tree().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_edit_on_both_sides_is_no_conflict() {
    let (x, y) = both();
    x.write("file", "same");
    y.write("file", "same");
    let (mine, theirs) = sync(&x, &y).await;
    assert!(mine.conflicts.is_empty() && theirs.conflicts.is_empty());
    assert_eq!(mine.bytes_sent + theirs.bytes_sent, 0);
    assert_eq!(x.entry("file").unwrap().version, y.entry("file").unwrap().version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_transfers_nothing() {
    let (x, y) = both();
    x.write("old", "x".repeat(100_000));
    sync(&x, &y).await;
    std::fs::rename(x.root.join("old"), x.root.join("new")).unwrap();
    let (sent, _) = sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(sent.bytes_sent, 0);
    assert_eq!(y.tree().keys().collect::<Vec<_>>(), ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_become_directories_and_back() {
    let (x, y) = both();
    x.write("a", "a file");
    x.write("b/inside", "in a directory");
    sync(&x, &y).await;
    x.remove("a");
    x.write("a/inside", "now a directory");
    std::fs::remove_dir_all(x.root.join("b")).unwrap();
    x.write("b", "now a file");
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(y.read("b").as_deref(), Some("now a file"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn modes_and_times_follow() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (x, y) = both();
    x.write("tool", "#!/bin/sh");
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(x.root.join("tool"), mode(0o750)).unwrap();
    sync(&x, &y).await;
    let (ours, theirs) = (x.root.join("tool").metadata().unwrap(), y.root.join("tool").metadata().unwrap());
    assert_eq!((theirs.mode() & 0o7777, theirs.mtime_nsec()), (0o750, ours.mtime_nsec()));

    std::fs::set_permissions(y.root.join("tool"), mode(0o640)).unwrap();
    let (mine, theirs) = sync(&x, &y).await;
    assert_eq!(x.root.join("tool").metadata().unwrap().mode() & 0o7777, 0o640);
    assert_eq!(mine.bytes_sent + theirs.bytes_sent, 0, "the content is here already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_and_many_small_ones_both_ways() {
    let (x, y) = both();
    let large: Vec<u8> = (0..10_000_019_u64).map(|n| n.wrapping_mul(0x9E37_79B9).to_be_bytes()[5]).collect();
    x.write("large", &large);
    for n in 0..1_000 {
        x.write(&format!("from x/{}/{n}", n % 10), format!("small file {n} of x"));
        y.write(&format!("from y/{}/{n}", n % 10), format!("small file {n} of y"));
    }
    let (mine, theirs) = sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!((mine.files_received, theirs.files_received), (1_000, 1_001));
    assert_eq!(x.tree().len(), 2_001 + 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_portable_are_reported_and_left_out() {
    let (x, y) = both();
    x.write("fine", "1");
    for name in ["a:b", "con.txt", "dot.", "u\u{308}", "what?"] {
        x.write(name, "2");
    }
    let (mine, _) = sync(&x, &y).await;
    assert_eq!(y.tree().keys().collect::<Vec<_>>(), ["fine"]);
    let mut reported: Vec<_> =
        mine.skipped.iter().map(|(_, s)| (s.path.as_str(), s.reason.clone())).collect();
    reported.sort_by_key(|(path, _)| *path);
    let unportable = SkipReason::Unportable;
    assert_eq!(
        reported,
        [
            ("a:b", unportable("SYN-012")),
            ("con.txt", unportable("SYN-014")),
            ("dot.", unportable("SYN-014")),
            ("u\u{308}", unportable("SYN-013")),
            ("what?", unportable("SYN-012")),
        ]
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn symbolic_links_are_not_followed() {
    let (x, y) = both();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    x.write("fine", "1");
    x.write("dir/file", "2");
    std::os::unix::fs::symlink(outside.path(), x.root.join("link to dir")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), x.root.join("link")).unwrap();
    let (_, theirs) = sync(&x, &y).await;
    assert_eq!(y.tree().keys().collect::<Vec<_>>(), ["dir", "dir/file", "fine"]);
    assert_eq!(theirs.skipped.len(), 2, "they lead out");

    // A directory that became a link on the receiving side is no way out either.
    std::fs::remove_dir_all(y.root.join("dir")).unwrap();
    std::os::unix::fs::symlink(outside.path(), y.root.join("dir")).unwrap();
    x.write("dir/file", "changed");
    x.write("dir/another", "new");
    sync(&x, &y).await;
    let there: Vec<_> =
        std::fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["secret"]);
    for node in [&x, &y] {
        let files: Vec<_> = node.tree().into_keys().filter_map(|path| node.read(&path)).collect();
        for content in ["changed", "new"] {
            assert!(files.iter().any(|file| file == content), "an edit beats a deletion: {:?}", node.tree());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_run_that_ended_early_go() {
    let (x, y) = both();
    x.write("fine", "1");
    x.write(".meshproof-tmp-0123456789abcdef-7", "half of a fi");
    y.write(".meshproof-tmp-0123456789abcdef-8", "half of a fi");
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(x.tree().keys().collect::<Vec<_>>(), ["fine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_the_scan_is_never_overwritten() {
    let (x, y) = both();
    x.write("file", "first");
    sync(&x, &y).await;
    x.write("file", "what x says");
    // The responder scans when the session begins; this edit comes after a scan of its own, and before the session's.
    scan(&y.folder, &NoProgress).unwrap();
    y.write("file", "after scan");
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    let contents: Vec<_> = x.tree().keys().map(|path| x.read(path).unwrap()).collect();
    assert!(contents.contains(&"what x says".into()) && contents.contains(&"after scan".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmounted_disk_is_not_a_deletion() {
    let (x, y) = both();
    x.write("file", "1");
    sync(&x, &y).await;
    std::fs::rename(&y.root, y.root.with_extension("away")).unwrap();
    std::fs::create_dir(&y.root).unwrap();
    let error = scan(&y.folder, &NoProgress).unwrap_err();
    assert!(error.to_string().contains("mounted"), "{error}");
}
