//! `.meshignore` between two devices.

mod common;

use std::collections::BTreeSet;

use common::{FOLDER, Node, X, Y, sync};
use meshproof_client::sync::versions::{self, Limits};
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

/// What is left out by its path stays where it is, whatever others call the directory that it is in.
#[tokio::test(flavor = "multi_thread")]
async fn who_renames_a_directory_takes_nothing_in() {
    let (x, y) = both();
    for path in ["proj/a", "proj/sub/b", "proj/deep/er/c"] {
        x.write(path, path);
    }
    ignore::edit_here(y.folder.index(), FOLDER, &y.root, "/proj/keys/", false).unwrap();
    ignore::edit_here(y.folder.index(), FOLDER, &y.root, "/proj/deep/er/key", false).unwrap();
    y.write("proj/keys/id", "a secret");
    y.write("proj/deep/er/key", "a secret");
    sync(&x, &y).await;
    let id = |path: &str| y.entry(path).unwrap().id;
    let before = ["proj", "proj/sub", "proj/a", "proj/deep/er/c"].map(id);
    std::fs::rename(x.root.join("proj"), x.root.join("other")).unwrap();
    for _ in 0..3 {
        sync(&x, &y).await;
    }
    let theirs = set(&[
        "other",
        "other/a",
        "other/sub",
        "other/sub/b",
        "other/deep",
        "other/deep/er",
        "other/deep/er/c",
    ]);
    assert_eq!(names(&x), theirs, "x sees nothing of it, not even the name that it took away");
    let here =
        ["proj", "proj/keys", "proj/keys/id", "proj/deep", "proj/deep/er", "proj/deep/er/key", ignore::HERE];
    let expected: BTreeSet<String> = theirs.union(&set(&here)).cloned().collect();
    assert_eq!(names(&y), expected, "nothing else is left there");
    let after = ["other", "other/sub", "other/a", "other/deep/er/c"].map(id);
    assert_eq!(after, before, "what was moved is what it was");

    // What is new in what stayed comes to where the rest is, and who removes what stayed removes nothing else.
    y.write("proj/new", "new");
    for _ in 0..2 {
        sync(&y, &x).await;
    }
    assert_eq!(x.read("other/new").as_deref(), Some("new"));
    assert!(!x.root.join("proj").exists() && !y.root.join("proj/new").exists());
    std::fs::remove_dir_all(y.root.join("proj/deep")).unwrap();
    std::fs::remove_dir_all(y.root.join("proj/keys")).unwrap();
    sync(&y, &x).await;
    assert!(!y.root.join("proj").exists(), "it goes when nothing is in it any more");
    let theirs: BTreeSet<String> = theirs.union(&set(&["other/new"])).cloned().collect();
    assert_eq!(names(&x), theirs);
}

/// The same if its user removes all of what stayed, or it gets its name back.
#[tokio::test(flavor = "multi_thread")]
async fn what_stayed_of_a_directory_is_not_the_directory() {
    let (x, y) = both();
    x.write("proj/a", "a");
    ignore::edit_here(y.folder.index(), FOLDER, &y.root, "/proj/keys/", false).unwrap();
    y.write("proj/keys/id", "a secret");
    sync(&x, &y).await;
    let rename = |from, to| std::fs::rename(x.root.join(from), x.root.join(to)).unwrap();
    rename("proj", "other");
    sync(&x, &y).await;
    assert!(y.root.join("proj/keys/id").exists() && y.root.join("other/a").exists());
    rename("other", "proj");
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(names(&y), set(&[ignore::HERE, "proj", "proj/a", "proj/keys", "proj/keys/id"]));
    rename("proj", "other");
    sync(&x, &y).await;
    std::fs::remove_dir_all(y.root.join("proj")).unwrap();
    for _ in 0..2 {
        sync(&y, &x).await;
    }
    assert_eq!(names(&y), set(&[ignore::HERE, "other", "other/a"]));
    assert_eq!(names(&x), set(&["other", "other/a"]));
}

/// SYN-082: nor is it put out of the way.
#[tokio::test(flavor = "multi_thread")]
async fn who_puts_a_directory_in_the_place_of_another_takes_nothing_in() {
    let x = Node::new(DEFAULT, X);
    let y = Node::new(DEFAULT, Y).keeping(Limits::default());
    for path in ["proj/a", "proj/gone", "proj/sub/gone", "proj2/a", "proj2/b", "file/in it"] {
        x.write(path, path);
    }
    for pattern in ["/proj/keys/", "/file/key"] {
        ignore::edit_here(y.folder.index(), FOLDER, &y.root, pattern, false).unwrap();
    }
    y.write("proj/keys/id", "a secret");
    y.write("file/key", "a secret");
    sync(&x, &y).await;
    for directory in ["proj", "file"] {
        std::fs::remove_dir_all(x.root.join(directory)).unwrap();
    }
    scan(&x.folder, &NoProgress).unwrap();
    std::fs::rename(x.root.join("proj2"), x.root.join("proj")).unwrap();
    x.write("file", "a file now");
    for _ in 0..3 {
        sync(&x, &y).await;
    }
    assert_eq!(names(&x), set(&["proj", "proj/a", "proj/b", "file"]));
    let here: BTreeSet<String> =
        names(&y).into_iter().filter(|name| !name.starts_with(versions::DIRECTORY)).collect();
    let expected =
        [ignore::HERE, "proj", "proj/a", "proj/b", "proj/keys", "proj/keys/id", "file", "file/key"];
    assert_eq!(here, set(&expected));
    assert_eq!(y.read("proj/a").as_deref(), Some("proj2/a"));
    let mut kept: Vec<String> =
        versions::list(&y.root, None).into_iter().map(|version| version.path).collect();
    kept.sort();
    assert_eq!(kept, ["file/in it", "proj/a", "proj/gone", "proj/sub/gone"]);
}

/// Patterns that say the same of both names are no reason to move things one by one.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_under_both_names_goes_along() {
    use std::os::unix::fs::MetadataExt as _;
    let (x, y) = both();
    x.write(".meshignore", "target/\n/elsewhere/*\n");
    x.write("proj/a", "a");
    y.write("proj/target/built", "long");
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    let inode = |path: &str| std::fs::metadata(y.root.join(path)).unwrap().ino();
    let before = inode("proj");
    std::fs::rename(x.root.join("proj"), x.root.join("other")).unwrap();
    sync(&x, &y).await;
    assert_eq!(inode("other"), before);
    assert_eq!(y.read("other/target/built").as_deref(), Some("long"));
    assert!(!y.root.join("proj").exists());
    assert_eq!(names(&x), set(&[".meshignore", "other", "other/a"]));
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
