//! `.meshignore` between two devices.

mod common;

use std::collections::BTreeSet;

use common::{FOLDER, Node, X, Y, sync};
use meshproof_client::sync::{NoProgress, ignore, scan};
use meshproof_proto::crypto::DEFAULT;

fn both() -> (Node, Node) {
    (Node::new(DEFAULT, X), Node::new(DEFAULT, Y))
}

fn names(node: &Node) -> BTreeSet<String> {
    node.tree().into_keys().collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_are_synchronised_and_obeyed_on_both_sides() {
    let (x, y) = both();
    x.write(".meshignore", "*.tmp\nbuild/\n");
    x.write("a", "a");
    x.write("a.tmp", "ignored");
    x.write("build/deep/er", "ignored");
    y.write("y.tmp", "already there");
    let (_, theirs) = sync(&x, &y).await;
    assert_eq!(theirs.files_received, 2);
    assert_eq!(names(&y), set(&[".meshignore", "a", "y.tmp"]));
    // y's own was sent before the patterns came; x did not take it, and both know it.
    assert!(!x.root.join("y.tmp").exists());
    let (mine, theirs) = sync(&x, &y).await;
    assert_eq!(mine.bytes_sent + theirs.bytes_sent, 0, "nothing is left to do");
    assert_eq!(y.read("y.tmp").as_deref(), Some("already there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ignored_any_more_comes() {
    let (x, y) = both();
    y.write("one.tmp", "1");
    y.write("two.tmp", "2");
    x.write(".meshignore", "*.tmp\n");
    sync(&x, &y).await;
    assert_eq!(names(&x), set(&[".meshignore"]));
    for (patterns, expected) in
        [("/two.tmp\n", &[".meshignore", "one.tmp"][..]), ("", &[".meshignore", "one.tmp", "two.tmp"])]
    {
        x.write(".meshignore", patterns);
        sync(&x, &y).await;
        sync(&x, &y).await;
        assert_eq!(names(&x), set(expected), "with {patterns:?}");
    }
    // Nor if the file goes.
    x.write(".meshignore", "three\n");
    sync(&x, &y).await;
    y.remove(".meshignore");
    y.write("three", "3");
    sync(&x, &y).await;
    sync(&x, &y).await;
    assert_eq!(x.read("three").as_deref(), Some("3"));
    assert_eq!(x.tree(), y.tree());
}

/// `.meshignore` is everybody's; what a person left out on the own device alone, no line of it takes in.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_here_nobody_else_takes_in() {
    let (x, y) = both();
    let leave_out = |pattern, remove| {
        ignore::edit_here(y.folder.index(), FOLDER, &y.root, pattern, remove).unwrap();
    };
    leave_out("*.env", false);
    y.write(".meshignore", "*.env\nother\n");
    y.write("secret.env", "a password");
    y.write("other", "left out for all");
    sync(&y, &x).await;
    assert_eq!(names(&x), set(&[".meshignore"]));
    for patterns in ["", "!*.env\n!secret.env\n"] {
        x.write(".meshignore", patterns);
        for _ in 0..2 {
            sync(&x, &y).await;
        }
        assert_eq!(names(&x), set(&[".meshignore", "other"]), "with {patterns:?}");
    }
    // Nor does anybody write there.
    x.write("x.env", "by x");
    x.write("secret.env", "by x");
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!((y.read("secret.env").as_deref(), y.read("x.env")), (Some("a password"), None));
    // Until the person says so.
    leave_out("*.env", true);
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(y.read("x.env").as_deref(), Some("by x"));
    assert!(!x.root.join(ignore::HERE).exists(), "it is no part of the folder");
}

/// Who leaves out on one device what takes too much room there, and removes it, has it back when it is taken in again, and nobody loses
/// it. What was edited there meanwhile is an edit.
#[tokio::test(flavor = "multi_thread")]
async fn what_made_room_here_was_not_deleted() {
    let (x, y) = both();
    for path in ["Videos/a", "Videos/deep/b", "Videos/edited", "Videos/moved", "top"] {
        x.write(path, path);
    }
    sync(&x, &y).await;
    let leave_out = |pattern, remove| {
        ignore::edit_here(y.folder.index(), FOLDER, &y.root, pattern, remove).unwrap();
    };
    leave_out("/Videos", false);
    sync(&y, &x).await;
    y.write("Videos/edited", "by y");
    std::fs::rename(y.root.join("Videos/moved"), y.root.join("here")).unwrap();
    y.remove("Videos/a");
    std::fs::remove_dir_all(y.root.join("Videos/deep")).unwrap();
    for _ in 0..2 {
        sync(&y, &x).await;
    }
    assert!(x.root.join("Videos/deep/b").exists());
    leave_out("/Videos", true);
    for _ in 0..2 {
        sync(&y, &x).await;
    }
    for node in [&x, &y] {
        for path in ["Videos/a", "Videos/deep/b", "Videos/moved", "top"] {
            assert_eq!(node.read(path).as_deref(), Some(path));
        }
        assert_eq!(node.read("Videos/edited").as_deref(), Some("by y"));
        assert_eq!(node.read("here").as_deref(), Some("Videos/moved"), "what was moved out is something new");
    }
    // A pattern that takes in what another leaves out is no other case.
    leave_out("/Videos/*", false);
    sync(&y, &x).await;
    y.remove("Videos/a");
    leave_out("!/Videos/a", false);
    for _ in 0..2 {
        sync(&y, &x).await;
    }
    assert_eq!((x.read("Videos/a"), y.read("Videos/a")), (Some("Videos/a".into()), Some("Videos/a".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_is_neither_edited_nor_deleted_by_anybody() {
    let (x, y) = both();
    for name in ["edited here", "deleted here", "edited there", "deleted there", "dir/kept", "dir/gone"] {
        x.write(name, "before");
    }
    sync(&x, &y).await;
    x.write(".meshignore", "edited*\ndeleted*\ndir/kept\n");
    scan(&x.folder, &NoProgress).unwrap();
    x.write("edited here", "after");
    x.remove("deleted here");
    y.write("edited there", "after");
    y.remove("deleted there");
    std::fs::remove_dir_all(y.root.join("dir")).unwrap();
    sync(&x, &y).await;
    assert_eq!(x.read("edited here").as_deref(), Some("after"));
    assert_eq!(y.read("edited here").as_deref(), Some("before"));
    assert!(y.root.join("deleted here").exists());
    assert_eq!(x.read("edited there").as_deref(), Some("before"));
    assert_eq!(x.read("deleted there").as_deref(), Some("before"));
    assert_eq!(x.read("dir/kept").as_deref(), Some("before"));
    assert!(!x.root.join("dir/gone").exists());

    // What was done meanwhile counts as soon as it is not ignored any more.
    x.remove(".meshignore");
    sync(&x, &y).await;
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(x.read("edited there").as_deref(), Some("after"));
    assert_eq!(y.read("edited here").as_deref(), Some("after"));
    assert!(!y.root.join("deleted here").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_of_two_devices_at_once() {
    let (x, y) = both();
    x.write(".meshignore", "of x\n");
    y.write(".meshignore", "of y\n");
    for node in [&x, &y] {
        node.write("of x", format!("{}", node.device.id()));
        node.write("of y", format!("{}", node.device.id()));
    }
    sync(&x, &y).await;
    sync(&x, &y).await;
    let shown = x.read(".meshignore");
    assert_eq!(shown, y.read(".meshignore"));
    assert_eq!(names(&x), names(&y));
    assert!(names(&x).iter().any(|name| name.starts_with(".meshignore (conflict ")), "{:?}", names(&x));
}
