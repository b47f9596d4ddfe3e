//! Who wrote what: changes that pass through others, and devices that come back from a backup (`spec/sync.md`, section 4.9).

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{FOLDER, Node, RawPeer, X, Y, Z, card, connect, file, serve, signed, state, sync};
use meshproof_client::sync::{NoProgress, scan};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::sync::{Card, Entry, Message};
use meshproof_proto::ticket::Role;

/// What Y says of a session in which X offers this and shows these cards.
async fn offered(entries: Vec<Entry>, cards: Vec<Card>) -> (Node, Result<Vec<String>, String>) {
    let y = Node::new(DEFAULT, Y);
    let serving = serve(&y).await;
    let mut peer = RawPeer::connect(X, &y, &serving.address, Role::Contributor).await;
    peer.send(&[
        Message::Hello(vec![FOLDER]),
        Message::Writers { folder: FOLDER, cards },
        state(),
        Message::Index { folder: FOLDER, last: true, entries },
        Message::Done(FOLDER),
        Message::Bye,
    ]);
    while let Some(message) = peer.next().await {
        if let Message::Request(asked) = message {
            peer.send(&[Message::Block { request: asked.request, content: Some(b"content".to_vec()) }]);
        }
    }
    peer.connection.outgoing.close();
    let ended = serving.ended().await;
    let skipped = ended.map(|report| report.skipped.iter().map(|(_, s)| s.reason.to_string()).collect());
    (y, skipped)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_passes_on_cannot_change_and_is_told_whose_it_was() {
    let mut entry = file("of z", b"content", Z, 1);
    let (y, ended) = offered(vec![entry.clone()], Vec::new()).await;
    assert_eq!(ended.unwrap(), Vec::<String>::new());
    assert_eq!(y.read("of z").as_deref(), Some("content"));

    entry.proofs[0].signature[5] ^= 1;
    let (y, ended) = offered(vec![entry], Vec::new()).await;
    let error = ended.unwrap_err();
    assert!(error.starts_with("SYN-052") && error.contains(&Z.to_string()), "{error}");
    assert_eq!(y.read("of z"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_whom_the_issuer_does_not_name_is_nobody() {
    let stranger = Id([77; 16]);
    let entry = file("evil", b"content", stranger, 1);
    let (y, ended) = offered(vec![entry.clone()], Vec::new()).await;
    assert!(ended.unwrap()[0].contains("SYN-053"));
    assert_eq!(y.read("evil"), None);
    // A card that only looks like one.
    let mut forged = card(stranger);
    forged.signature[9] ^= 1;
    let (y, ended) = offered(vec![entry.clone()], vec![forged]).await;
    assert_eq!((ended.unwrap().len(), y.read("evil")), (1, None));
    let (y, ended) = offered(vec![entry], vec![card(stranger)]).await;
    assert_eq!((ended.unwrap().len(), y.read("evil").as_deref()), (0, Some("content")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_says_two_things_names_its_writer() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    let serving = serve(&y).await;
    drop(serving);
    let entry = file("f", b"content", Z, 1);
    for (content, refused) in [(&b"content"[..], false), (b"another", true)] {
        let serving = serve(&y).await;
        let mut other = file("f", content, Z, 1);
        other.id = entry.id;
        let mut peer = RawPeer::connect(x.device.id(), &y, &serving.address, Role::Contributor).await;
        peer.offer(vec![signed(other)]);
        peer.send(&[Message::Done(FOLDER), Message::Bye]);
        while let Some(message) = peer.next().await {
            if let Message::Request(asked) = message {
                peer.send(&[Message::Block { request: asked.request, content: Some(content.to_vec()) }]);
            }
        }
        peer.connection.outgoing.close();
        let ended = serving.ended().await;
        assert_eq!(ended.is_err(), refused, "{ended:?}");
        if let Err(error) = ended {
            assert!(error.starts_with("SYN-054") && error.contains(&Z.to_string()), "{error}");
        }
    }
    assert_eq!(y.read("f").as_deref(), Some("content"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// X is restored from a backup of its index and its files, and counts on with numbers that it has used before. It notices
/// when somebody shows it what it signed then, however far it has counted meanwhile, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_restored_from_a_backup_loses_nothing() {
    for files_after in [1, 2, 7] {
        let (home, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (x, y) = (Node::at(DEFAULT, X, home.path()), Node::new(DEFAULT, Y));
        x.write("before", "1");
        sync(&x, &y).await;
        let index = rusqlite::Connection::open(home.path().join("index.db")).unwrap();
        let saved = backup.path().join("index.db");
        index.execute("VACUUM INTO ?1", [saved.to_str().unwrap()]).unwrap();
        copy(&x.root, &backup.path().join("folder"));
        for name in ["lost 1", "lost 2"] {
            x.write(name, name);
        }
        sync(&x, &y).await;
        drop(x);

        let x = Node::at(DEFAULT, X, backup.path());
        for number in 0..files_after {
            x.write(&format!("after {number}"), format!("{number}"));
        }
        scan(&x.folder, &NoProgress).unwrap();
        // The first session tells; the next ones go on.
        let serving = serve(&y).await;
        let connection =
            connect(&x.device, &y.device, &serving.address, (Role::Owner, Role::Owner)).await.unwrap();
        let progress = Arc::new(NoProgress);
        let first = meshproof_client::responder::sync(connection, vec![x.folder.clone()], progress).await;
        assert!(first.unwrap_err().to_string().contains("made anew"));
        let _ = serving.ended().await;
        sync(&x, &y).await;
        sync(&x, &y).await;
        assert_eq!(x.tree(), y.tree());
        for name in ["before", "lost 1", "lost 2", "after 0"] {
            assert!(x.read(name).is_some(), "{name} with {files_after}");
        }
        assert_eq!(x.tree().len(), 3 + files_after);
    }
}
