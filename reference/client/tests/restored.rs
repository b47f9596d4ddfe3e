//! A device that comes back from a backup makes no change before it knows what it did since (SYN-140), whoever tells it, and says so.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{FOLDER, Node, X, Y, Z, connect, serve, sync};
use meshproof_client::sync::{Direction, NoProgress, Past, Report, replica, scan};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Entry;
use meshproof_proto::ticket::Role;

/// X, restored from a backup of Monday, and Y, who has what X did on Tuesday.
struct Scene {
    x: Node,
    y: Node,
    _backup: tempfile::TempDir,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// In the first session X hears what it lost, and begins anew.
async fn scene() -> Scene {
    let (home, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (x, y) = (Node::at(DEFAULT, X, home.path()), Node::new(DEFAULT, Y));
    for number in 0..20 {
        x.write(&format!("file {number}"), format!("Monday {number}"));
    }
    sync(&x, &y).await;
    let index = rusqlite::Connection::open(home.path().join("index.db")).unwrap();
    let saved = backup.path().join("index.db");
    index.execute("VACUUM INTO ?1", [saved.to_str().unwrap()]).unwrap();
    copy(&x.root, &backup.path().join("folder"));
    for number in 0..20 {
        x.write(&format!("file {number}"), format!("Tuesday {number}"));
    }
    sync(&x, &y).await;
    drop(x);
    let x = Node::at(DEFAULT, X, backup.path());
    scan(&x.folder, &NoProgress).unwrap();
    let error = meet(&x, &y, (Role::Owner, Role::Owner)).await.unwrap_err();
    assert!(error.contains("made anew"), "{error}");
    assert_eq!(past(&x), Past::Anew);
    Scene { x, y, _backup: backup }
}

/// A session in which `from` dials, with these roles. What `from` has to say.
async fn meet(from: &Node, to: &Node, roles: (Role, Role)) -> Result<Report, String> {
    let serving = serve(to).await;
    let connection = connect(&from.device, &to.device, &serving.address, roles).await.unwrap();
    let mine =
        meshproof_client::responder::sync(connection, vec![from.folder.clone()], Arc::new(NoProgress)).await;
    let _ = serving.ended().await;
    mine.map_err(|error| error.to_string())
}

fn past(node: &Node) -> Past {
    node.folder.index().past(FOLDER).unwrap()
}

/// How many of the files of a day the node has, under any name.
fn of(node: &Node, day: &str) -> usize {
    let tree = node.tree();
    let hashes = (0..20).map(|number| MediaHash::of(format!("{day} {number}").as_bytes()).to_string());
    hashes.filter(|hash| tree.values().any(|found| found == hash)).count()
}

fn entries(node: &Node) -> Vec<Entry> {
    node.folder.index().entries(FOLDER).unwrap()
}

/// What the cloud shows comes in pages: what X did on Tuesday may be in the last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_what_the_cloud_shows_is_not_all_of_it() {
    let Scene { x, y, _backup } = scene().await;
    for page in entries(&y).chunks(7) {
        assert_eq!(past(&x), Past::Anew);
        let taken = replica::take_states(&x.folder, page, &mut Report::default()).unwrap();
        assert!(taken.into_iter().all(|taken| taken.is_ok()));
        scan(&x.folder, &NoProgress).unwrap();
    }
    replica::all_taken(&x.folder).unwrap();
    assert_eq!(past(&x), Past::Lost);
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    assert_eq!(x.tree(), y.tree());
    assert_eq!((of(&y, "Tuesday"), of(&y, "Monday")), (20, 20), "{:?}", y.tree());
}

/// SYN-023: what a reader says does not count, and one that only receives says nothing. While there may be somebody else, X waits.
#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_gives_anything_goes_on_alone() {
    let Scene { x, y, _backup } = scene().await;
    for _ in 0..2 {
        meet(&x, &y, (Role::Owner, Role::Reader)).await.unwrap();
        assert_eq!((past(&x), of(&y, "Monday")), (Past::Anew, 0));
    }
    x.folder.set_devices(vec![X, Y, Z]).unwrap();
    replica::nothing_shown(&x.folder).unwrap();
    assert_eq!(past(&x), Past::Anew, "Z may have what X did");
    x.folder.set_devices(vec![X, Y]).unwrap();
    replica::nothing_shown(&x.folder).unwrap();
    assert_eq!(past(&x), Past::Lost);
    meet(&x, &y, (Role::Owner, Role::Reader)).await.unwrap();
    assert_eq!(of(&y, "Monday"), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_receives_is_not_waited_for() {
    let Scene { x, y, _backup } = scene().await;
    let y = y.only(Direction::ReceiveOnly);
    meet(&x, &y, (Role::Owner, Role::Owner)).await.unwrap();
    assert_eq!(past(&x), Past::Anew, "it gave nothing");
    let y = y.only(Direction::Both);
    meet(&x, &y, (Role::Owner, Role::Owner)).await.unwrap();
    assert_eq!(past(&x), Past::Lost);
}

/// What only sends takes nothing over, and would put what it had on Monday in the place of what it did on Tuesday.
#[tokio::test(flavor = "multi_thread")]
async fn who_only_sends_waits() {
    let Scene { x, y, _backup } = scene().await;
    let x = x.only(Direction::SendOnly);
    x.folder.set_devices(vec![X, Y]).unwrap();
    for _ in 0..2 {
        meet(&x, &y, (Role::Owner, Role::Owner)).await.unwrap();
        replica::all_taken(&x.folder).unwrap();
        replica::nothing_shown(&x.folder).unwrap();
        assert_eq!((past(&x), of(&y, "Tuesday")), (Past::Anew, 20));
    }
    let x = x.only(Direction::Both);
    sync(&x, &y).await;
    sync(&x, &y).await;
    assert_eq!(past(&x), Past::Lost);
    assert_eq!((of(&y, "Tuesday"), of(&y, "Monday")), (20, 20));
}
