//! Parts of a folder on one device (`spec/sync.md`, section 4.8): others are not concerned, and nothing is lost.

mod common;

use std::sync::Arc;

use common::{FOLDER, Node, X, Y, Z, connect, serve, sync};
use meshproof_client::sync::versions::{self, Limits};
use meshproof_client::sync::{NoProgress, Report, SkipReason, only, scan};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::ticket::Role;

fn both() -> (Node, Node) {
    (Node::new(DEFAULT, X), Node::new(DEFAULT, Y).keeping(Limits::default()))
}

fn choose(node: &Node, patterns: &[&str]) {
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    only::choose(node.folder.index(), FOLDER, &node.root, &patterns).unwrap();
}

/// The files of the folder.
fn files(node: &Node) -> Vec<String> {
    let files = node
        .tree()
        .into_iter()
        .filter(|(path, what)| what != "directory" && !path.starts_with(".meshproof-"));
    files.map(|(path, _)| path).collect()
}

fn not_chosen(report: &Report) -> Vec<&str> {
    let left = report.skipped.iter().filter(|(_, skipped)| skipped.reason == SkipReason::NotChosen);
    left.map(|(_, skipped)| skipped.path.as_str()).collect()
}

fn told(node: &Node) -> Vec<String> {
    let left = scan(&node.folder, &NoProgress).unwrap().skipped;
    assert!(left.iter().all(|skipped| skipped.reason == SkipReason::NotChosen), "{left:?}");
    let mut paths: Vec<String> = left.into_iter().map(|skipped| skipped.path).collect();
    paths.sort();
    paths
}

fn fill(node: &Node) {
    for path in ["Photos/2025/a", "Photos/2026/b", "Work/c", "top"] {
        node.write(path, path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_chosen_comes() {
    let (x, y) = both();
    let z = Node::new(DEFAULT, Z);
    fill(&x);
    choose(&y, &["Photos/2026/"]);
    let (_, report) = sync(&x, &y).await;
    assert_eq!(files(&y), ["Photos/2026/b"]);
    assert!(!y.root.join("Work").exists() && !y.root.join("Photos/2025").exists());
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert_eq!(report.bytes_received, 13, "nothing else went over the line");

    // What is chosen goes both ways; what is not, and is new here, is told and stays.
    y.write("Photos/2026/b", "edited");
    y.write("Photos/2026/new", "new");
    y.write("Work/mine", "not for others");
    y.write("other", "not for others");
    assert_eq!(told(&y), ["Work", "other"]);
    let (_, report) = sync(&y, &x).await;
    assert_eq!(not_chosen(&report), [] as [&str; 0], "it is no business of x");
    assert_eq!(files(&x), ["Photos/2025/a", "Photos/2026/b", "Photos/2026/new", "Work/c", "top"]);
    assert_eq!(x.read("Photos/2026/b").as_deref(), Some("edited"));
    assert_eq!(y.read("Work/mine").as_deref(), Some("not for others"));

    // SYN-134: z hears of everything from y, gets what y has, and the rest from x.
    sync(&y, &z).await;
    assert_eq!(files(&z), ["Photos/2026/b", "Photos/2026/new"]);
    sync(&x, &z).await;
    assert_eq!(files(&z), files(&x));
    sync(&y, &x).await;
    assert_eq!(files(&x).len(), 5, "nothing was deleted");

    // Edits and deletions of what y does not have pass through it.
    z.write("Work/c", "edited by z");
    z.remove("top");
    sync(&z, &y).await;
    assert_eq!(files(&y), ["Photos/2026/b", "Photos/2026/new", "Work/mine", "other"]);
    sync(&y, &x).await;
    assert_eq!(x.read("top"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn choosing_more_fetches_it_and_keeps_what_was_there() {
    let (x, y) = both();
    fill(&x);
    choose(&y, &["Photos/2026"]);
    sync(&x, &y).await;
    y.write("Work/c", "another c");
    y.write("Work/mine", "mine");
    choose(&y, &["Photos", "Work"]);
    sync(&y, &x).await;
    sync(&y, &x).await;
    assert_eq!(y.read("Photos/2025/a").as_deref(), Some("Photos/2025/a"));
    assert_eq!(x.read("Work/mine").as_deref(), Some("mine"));
    let works: Vec<Option<String>> =
        files(&y).iter().filter(|path| path.starts_with("Work/c")).map(|path| y.read(path)).collect();
    assert_eq!(works.len(), 2, "{:?}", files(&y));
    assert!(works.contains(&Some("Work/c".into())) && works.contains(&Some("another c".into())), "{works:?}");
    choose(&y, &[]);
    sync(&y, &x).await;
    assert_eq!(files(&x), files(&y));
    assert_eq!(y.read("top").as_deref(), Some("top"));
}

#[tokio::test(flavor = "multi_thread")]
async fn choosing_less_removes_what_others_have_and_nothing_else() {
    let (x, y) = both();
    fill(&x);
    y.write("Work/of y", "1");
    sync(&x, &y).await;
    y.write("Work/late", "2");
    y.write("Work/late too", "3");
    scan(&y.folder, &NoProgress).unwrap();
    y.write("Work/c", "edited here");
    y.write("Work/new", "new");
    choose(&y, &["Photos"]);
    // x has the late ones only after this session.
    sync(&x, &y).await;
    assert_eq!(y.read("top"), None, "x made it");
    assert_eq!(y.read("Work/late").as_deref(), Some("2"), "SYN-150");
    assert_eq!(x.read("Work/late").as_deref(), Some("2"));
    y.write("Work/late too", "changed since");
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(files(&y), ["Photos/2025/a", "Photos/2026/b", "Work/c", "Work/late too", "Work/new"]);
    assert_eq!(y.read("Work/c").as_deref(), Some("edited here"));
    assert_eq!(told(&y), ["Work"]);
    assert!(versions::list(&y.root, None).is_empty(), "what its user gives up takes no room here any more");
    assert_eq!(files(&x).len(), 7, "x lost nothing: {:?}", files(&x));
    let (mine, theirs) = sync(&y, &x).await;
    assert_eq!((mine.bytes_sent, theirs.bytes_sent), (0, 0));

    // Back again: all comes, and nothing that was removed meanwhile is a deletion.
    y.remove("Work/new");
    y.remove("Work/late too");
    choose(&y, &["Photos", "Work", "top"]);
    sync(&y, &x).await;
    sync(&y, &x).await;
    assert_eq!(files(&x), files(&y));
    assert_eq!(x.read("Work/late too").as_deref(), Some("3"));
    assert_eq!(
        x.read("Work/c").as_deref(),
        Some("edited here"),
        "the edit was made in knowledge of what it replaces"
    );
}

/// The choice is changed last: if what goes before fails, as if it is killed, it is what it was, and nothing is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_fails_half_way_deletes_nothing() {
    let (x, y) = both();
    fill(&x);
    sync(&x, &y).await;
    choose(&y, &["Photos"]);
    scan(&y.folder, &NoProgress).unwrap();
    std::fs::remove_dir_all(y.root.join("Work")).unwrap();
    let index = rusqlite::Connection::open(y.root.with_file_name("index.db")).unwrap();
    let stop = "CREATE TRIGGER stop BEFORE DELETE ON disk BEGIN SELECT RAISE(ABORT, 'stopped'); END";
    index.execute_batch(stop).unwrap();
    only::choose(y.folder.index(), FOLDER, &y.root, &[]).unwrap_err();
    index.execute_batch("DROP TRIGGER stop").unwrap();
    for _ in 0..2 {
        sync(&y, &x).await;
    }
    assert_eq!(x.read("Work/c").as_deref(), Some("Work/c"));
    assert_eq!(y.read("Work/c"), None);
    choose(&y, &[]);
    for _ in 0..2 {
        sync(&y, &x).await;
    }
    assert_eq!((files(&x).len(), files(&x)), (4, files(&y)));
}

/// SYN-141: what others deleted or replaced is kept here, chosen or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_deleted_is_kept_although_it_is_not_chosen() {
    let (x, y) = both();
    for path in ["Photos/a", "Work/deleted", "Work/edited"] {
        x.write(path, path);
    }
    sync(&x, &y).await;
    choose(&y, &["Photos"]);
    x.remove("Work/deleted");
    x.write("Work/edited", "by x");
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(files(&y), ["Photos/a"]);
    let mut kept: Vec<String> =
        versions::list(&y.root, None).into_iter().map(|version| version.path).collect();
    kept.sort();
    assert_eq!(kept, ["Work/deleted", "Work/edited"]);
}

/// SYN-150: whoever made it.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_copy_stays_where_it_is() {
    let (x, y) = both();
    let z = Node::new(DEFAULT, Z);
    fill(&x);
    sync(&x, &y).await;
    choose(&z, &["Photos"]);
    choose(&y, &["Photos"]);
    // Z knows of all, and has none of it.
    for _ in 0..3 {
        sync(&y, &z).await;
    }
    assert_eq!(files(&y).len(), 4, "{:?}", files(&y));
    assert_eq!(y.folder.index().not_chosen(FOLDER, &y.root).unwrap(), 2, "and status says so");
    // X keeps it, until it does not either.
    sync(&y, &x).await;
    assert_eq!(files(&y), ["Photos/2025/a", "Photos/2026/b"]);
    assert_eq!(y.folder.index().not_chosen(FOLDER, &y.root).unwrap(), 0);
    choose(&x, &["Photos"]);
    for other in [&y, &z, &y] {
        sync(&x, other).await;
    }
    assert_eq!(files(&x).len(), 4, "{:?}", files(&x));
    // What goes at last goes where it is wanted.
    choose(&z, &[]);
    sync(&x, &z).await;
    assert_eq!(files(&z).len(), 4);
    sync(&x, &z).await;
    assert_eq!((files(&x).len(), files(&z).len()), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_give_up_the_same_at_once_keep_it() {
    let (x, y) = both();
    fill(&x);
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    choose(&x, &["Photos"]);
    choose(&y, &["Photos"]);
    for _ in 0..2 {
        sync(&x, &y).await;
        assert_eq!((files(&x).len(), files(&y).len()), (4, 4));
    }
}

/// A content that the other has under another name may be edited there.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_elsewhere_does_not_count() {
    let (x, y) = both();
    x.write("Photos/one", "the same");
    x.write("Work/two", "the same");
    x.write("Work/three", "another");
    choose(&y, &["Photos", "Work/three"]);
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(files(&y), ["Photos/one", "Work/three"]);
    choose(&x, &["Photos"]);
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(files(&x), ["Photos/one", "Work/two"]);
    y.write("Photos/one", "edited");
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(x.read("Work/two").as_deref(), Some("the same"));
}

/// A reader may have nothing to give tomorrow.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_reader_keeps_stays() {
    let (x, y) = both();
    fill(&y);
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    choose(&y, &["Photos"]);
    for (role, left) in [(Role::Reader, 4), (Role::Contributor, 2)] {
        let serving = serve(&y).await;
        let connection = connect(&x.device, &y.device, &serving.address, (role, Role::Owner)).await.unwrap();
        meshproof_client::responder::sync(connection, vec![x.folder.clone()], Arc::new(NoProgress))
            .await
            .unwrap();
        serving.ended().await.unwrap();
        assert_eq!(files(&y).len(), left, "{role:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_choice_is_this_devices_alone() {
    let (x, y) = both();
    fill(&x);
    choose(&y, &["*.txt"]);
    x.write("a.txt", "a");
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(files(&y), ["a.txt"]);
    assert!(!x.tree().contains_key(only::FILE));
    let y = y.reopen();
    sync(&x, &y).await;
    assert_eq!(files(&y), ["a.txt"], "after a restart too");
}

/// What is here without being chosen is nobody else's, whatever others call the directory that it is in.
#[tokio::test(flavor = "multi_thread")]
async fn who_renames_a_directory_chooses_nothing() {
    let (x, y) = both();
    x.write("Work/a", "a");
    choose(&y, &["Work/a", "Chosen"]);
    sync(&x, &y).await;
    y.write("Work/mine", "not for others");
    assert_eq!(told(&y), ["Work/mine"]);
    std::fs::rename(x.root.join("Work"), x.root.join("Chosen")).unwrap();
    for _ in 0..3 {
        sync(&x, &y).await;
    }
    assert_eq!(files(&x), ["Chosen/a"]);
    assert_eq!(files(&y), ["Chosen/a", "Work/mine"]);
}

/// What gets out of the way for a moment is chosen as it was.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_change_places_do_so_where_not_all_is_chosen() {
    let (x, y) = both();
    for path in ["Work/one/a", "Work/two/b", "Work/c", "Work/d", "top"] {
        x.write(path, path);
    }
    choose(&y, &["Work"]);
    sync(&x, &y).await;
    y.write("mine", "not for others");
    for (one, other) in [("Work/one", "Work/two"), ("Work/c", "Work/d")] {
        for (from, to) in [(one, "between"), (other, one), ("between", other)] {
            std::fs::rename(x.root.join(from), x.root.join(to)).unwrap();
            scan(&x.folder, &NoProgress).unwrap();
        }
    }
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(files(&y), ["Work/c", "Work/d", "Work/one/b", "Work/two/a", "mine"]);
    assert_eq!(y.read("Work/c").as_deref(), Some("Work/d"));
    assert!(!y.tree().keys().any(|path| path.starts_with(".meshproof-aside-")), "{:?}", y.tree());
}
