//! Deletions are forgotten when all have seen them, and a device that was away brings nothing back (SYN-045 to SYN-047).

mod common;

use common::{FOLDER, Node, X, Y, Z, sync};
use meshproof_client::sync::{NoProgress, Past, scan};
use meshproof_proto::crypto::DEFAULT;

fn three() -> [Node; 3] {
    [X, Y, Z].map(|id| Node::new(DEFAULT, id))
}

fn tombstones(node: &Node) -> usize {
    node.folder.index().gone(FOLDER).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_goes_when_all_have_seen_it_and_not_before() {
    let [x, y, z] = three();
    x.write("file", "1");
    x.write("stays", "2");
    sync(&x, &y).await;
    sync(&x, &z).await;
    x.remove("file");
    sync(&x, &y).await;
    for node in [&x, &y] {
        node.folder.set_devices(vec![X, Y, Z]).unwrap();
        assert_eq!(tombstones(node), 1, "Z has not seen it");
    }
    sync(&x, &z).await;
    // What Z has seen is in its next STATE.
    sync(&x, &z).await;
    x.folder.set_devices(vec![X, Y, Z]).unwrap();
    assert_eq!(tombstones(&x), 1, "Y's last STATE was from before");
    sync(&x, &y).await;
    x.folder.set_devices(vec![X, Y, Z]).unwrap();
    assert_eq!(tombstones(&x), 0);
    // Y learns from X that it is gone.
    sync(&y, &x).await;
    assert_eq!(tombstones(&y), 0);
    sync(&z, &x).await;
    assert_eq!(tombstones(&z), 0);
    for node in [&x, &y, &z] {
        assert_eq!(node.tree().keys().collect::<Vec<_>>(), ["stays"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_brings_back_only_what_it_changed() {
    let [x, y, z] = three();
    for name in ["deleted", "edited", "d/deleted", "d/stays"] {
        x.write(name, name);
    }
    sync(&x, &y).await;
    sync(&x, &z).await;
    // Z is not mapped any more, so nobody waits for it.
    for name in ["deleted", "edited", "d/deleted"] {
        x.remove(name);
    }
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    for node in [&x, &y] {
        node.folder.set_devices(vec![X, Y]).unwrap();
        assert_eq!(tombstones(node), 0);
    }
    z.write("edited", "by z, while it was away");
    z.write("d/new", "by z as well");
    sync(&z, &x).await;
    sync(&x, &y).await;
    let tree = x.tree();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["d", "d/new", "d/stays", "edited"]);
    assert_eq!((tree, x.tree()), (y.tree(), z.tree()));
    assert_eq!(x.read("edited").as_deref(), Some("by z, while it was away"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_in_a_directory_that_was_forgotten_brings_it_back() {
    let [x, y, z] = three();
    x.write("d/file", "1");
    sync(&x, &y).await;
    sync(&x, &z).await;
    std::fs::remove_dir_all(x.root.join("d")).unwrap();
    for _ in 0..2 {
        sync(&x, &y).await;
    }
    x.folder.set_devices(vec![X, Y]).unwrap();
    y.folder.set_devices(vec![X, Y]).unwrap();
    z.write("d/new", "2");
    sync(&z, &x).await;
    sync(&x, &y).await;
    for node in [&x, &y, &z] {
        assert_eq!(node.tree().keys().collect::<Vec<_>>(), ["d", "d/new"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_lost_its_index_makes_its_files_anew() {
    let [x, y, _] = three();
    x.write("file", "1");
    sync(&x, &y).await;
    // An older copy of the index: it does not know of the last change.
    y.write("file", "2");
    y.write("other", "3");
    sync(&x, &y).await;
    y.folder.index().begin(FOLDER, Past::Known, 0).unwrap();
    let clock = Some(meshproof_client::sync::Clock { lamport: 1, counter: 1, chain: [0; 32] });
    let batch = meshproof_client::sync::Batch { clock, ..Default::default() };
    y.folder.index().write(FOLDER, &batch).unwrap();
    scan(&y.folder, &NoProgress).unwrap();
    let serving = common::serve(&y).await;
    let roles = (meshproof_proto::ticket::Role::Owner, meshproof_proto::ticket::Role::Owner);
    let connection = common::connect(&x.device, &y.device, &serving.address, roles).await.unwrap();
    let progress = std::sync::Arc::new(NoProgress);
    let _ = meshproof_client::responder::sync(connection, vec![x.folder.clone()], progress).await;
    assert!(serving.ended().await.unwrap_err().contains("made anew"));
    sync(&x, &y).await;
    for node in [&x, &y] {
        assert_eq!(node.tree().keys().collect::<Vec<_>>(), ["file", "other"]);
        assert_eq!(node.read("file").as_deref(), Some("2"));
    }
}
