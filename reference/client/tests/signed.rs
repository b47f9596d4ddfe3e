//! Who wrote what: changes that pass through others, and devices that come back from a backup (`spec/sync.md`, section 4.9).

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{
    FOLDER, Node, RawPeer, X, Y, Z, card, connect, file, file_of, issuer, serve, signer, state, sync,
};
use meshproof_client::sync::{NoProgress, SkipReason, scan};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Secret};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::entry::{MAX_COUNTER, Stamp};
use meshproof_proto::sync::wire::MAX_CONTEXT;
use meshproof_proto::sync::{Card, Entry, Fork, Head, Message, State};
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

/// What Y says of a session in which X offers a file by `writer` with this content, and another one.
async fn offers(
    y: &Node,
    (writer, counter): (Id, u64),
    content: &'static [u8],
    beside: &str,
) -> Result<Vec<SkipReason>, String> {
    let serving = serve(y).await;
    let mut entries =
        vec![file_of("f", content, Stamp { lamport: 1, writer, counter }), file(beside, b"beside", X, 1)];
    entries.sort_by_key(|entry| entry.id);
    let mut peer = RawPeer::connect(X, y, &serving.address, Role::Contributor).await;
    peer.offer(entries);
    peer.send(&[Message::Done(FOLDER), Message::Bye]);
    while let Some(message) = peer.next().await {
        if let Message::Request(asked) = message {
            let content = if asked.hash == MediaHash::of(content) { content } else { b"beside" };
            peer.send(&[Message::Block { request: asked.request, content: Some(content.to_vec()) }]);
        }
    }
    peer.connection.outgoing.close();
    let report = serving.ended().await?;
    Ok(report.skipped.into_iter().map(|(_, skipped)| skipped.reason).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_two_things_of_a_change_is_to_blame_and_not_who_passes_them_on() {
    let y = Node::new(DEFAULT, Y);
    assert_eq!(offers(&y, (Z, 1), b"content", "1").await.unwrap(), []);
    assert_eq!(offers(&y, (Z, 1), b"another", "2").await.unwrap(), [SkipReason::Forked(Z)]);
    assert_eq!(y.read("2").as_deref(), Some("beside"), "what was not forked comes");
    assert_eq!(y.read("f").as_deref(), Some("content"));
    let forks = y.folder.index().forks(FOLDER).unwrap();
    assert_eq!(forks.iter().map(Fork::dot).collect::<Vec<_>>(), [(Z, 1)]);

    let y = Node::new(DEFAULT, Y);
    assert_eq!(offers(&y, (X, 1), b"content", "1").await.unwrap(), []);
    let error = offers(&y, (X, 1), b"another", "2").await.unwrap_err();
    assert!(error.starts_with("SYN-054") && error.contains(&X.to_string()), "{error}");
}

/// It was restored from a backup, and what it changed since has numbers that were used before.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_sees_another_change_of_its_own_begins_anew() {
    let y = Node::new(DEFAULT, Y);
    y.write("f", "content");
    scan(&y.folder, &NoProgress).unwrap();
    let counter = || y.folder.index().clock(FOLDER).unwrap().counter;
    let first = counter();
    let error = offers(&y, (Y, first), b"another", "1").await.unwrap_err();
    assert!(error.contains("made anew"), "{error}");
    assert!(counter() >= first, "the next change has a number of its own");
    // What it did not know is a change like any other now, and its own file a newer one.
    let skipped = offers(&y, (Y, first), b"another", "2").await.unwrap();
    assert!(!skipped.contains(&SkipReason::Forked(Y)), "{skipped:?}");
    let tree = y.tree();
    let has = |content: &[u8]| tree.values().any(|found| *found == MediaHash::of(content).to_string());
    assert!(has(b"content") && has(b"beside"), "{tree:?}");
}

/// Z signs one head for X and another for Y. They are in sync nevertheless.
#[tokio::test(flavor = "multi_thread")]
async fn two_heads_of_a_third_device_part_nobody() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    for (node, chain) in [(&x, [1; 32]), (&y, [2; 32])] {
        let serving = serve(node).await;
        let mut peer = RawPeer::connect(Z, node, &serving.address, Role::Contributor).await;
        let head =
            Head::sign(FOLDER, Z, MAX_COUNTER, chain, &*DEFAULT.signing_key(&Secret::new([Z.0[0]; 32])));
        let Message::State(state) = state() else { unreachable!() };
        peer.send(&[
            Message::Hello(vec![FOLDER]),
            Message::State(Box::new(State { heads: vec![head], ..*state })),
            Message::Index { folder: FOLDER, last: true, entries: Vec::new() },
            Message::Done(FOLDER),
            Message::Bye,
        ]);
        while peer.next().await.is_some() {}
        peer.connection.outgoing.close();
        serving.ended().await.unwrap();
        assert!(node.folder.index().context(FOLDER, node.device.id()).unwrap().has((Z, MAX_COUNTER)));
    }
    x.write("of x", "1");
    y.write("of y", "2");
    for round in 0..2 {
        sync(&x, &y).await;
        assert_eq!((x.tree(), x.tree().len()), (y.tree(), 2), "{round}");
    }
    for node in [&x, &y] {
        let index = node.folder.index();
        assert_eq!(index.forks(FOLDER).unwrap().len(), 1);
        assert!(!index.context(FOLDER, node.device.id()).unwrap().has((Z, 1)));
        assert!(index.heads(FOLDER).unwrap().iter().all(|head| head.device != Z));
    }
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
        x.write("edited", "on Monday");
        sync(&x, &y).await;
        let index = rusqlite::Connection::open(home.path().join("index.db")).unwrap();
        let saved = backup.path().join("index.db");
        index.execute("VACUUM INTO ?1", [saved.to_str().unwrap()]).unwrap();
        copy(&x.root, &backup.path().join("folder"));
        for name in ["lost 1", "lost 2"] {
            x.write(name, name);
        }
        x.write("edited", "on Tuesday");
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
        let tree = x.tree();
        let has = |content: &[u8]| tree.values().any(|found| *found == MediaHash::of(content).to_string());
        assert!(has(b"on Monday") && has(b"on Tuesday"), "{tree:?}");
        assert_eq!(tree.len(), 5 + files_after);
    }
}

/// SYN-130: more writers than a STATE has room for are not known; for those who are, all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn cards_beyond_what_a_state_has_room_for() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    let unsigned = |number: u64| {
        let mut device = Id([0xEE; 16]);
        device.0[8..].copy_from_slice(&number.to_be_bytes());
        Card { device, key: [1; 32], signature: Vec::new() }
    };
    // Those of X, Y and Z are there: one place is left.
    let many: Vec<Card> = (0..MAX_CONTEXT as u64 - 4).map(unsigned).collect();
    y.folder.index().add_writers(FOLDER, &many).unwrap();
    let (first, second) = (Id([77; 16]), Id([78; 16]));
    y.folder.learn(vec![card(first), card(second), card(X)]).unwrap();
    assert!(y.folder.writer_key(first).unwrap().is_some());
    assert!(y.folder.writer_key(second).unwrap().is_none());
    assert_eq!(y.folder.index().writers(FOLDER).unwrap().len(), MAX_CONTEXT);
    y.write("of y", "1");
    x.write("of x", "2");
    sync(&x, &y).await;
    assert_eq!(x.tree(), y.tree());
}

/// SYN-057: what is right in a message is learnt, whatever is wrong before it.
#[tokio::test(flavor = "multi_thread")]
async fn good_cards_are_learnt_beside_a_bad_one() {
    let y = Node::new(DEFAULT, Y);
    let key = signer(DEFAULT, Id([9; 16])).public();
    let statement = Card::statement(FOLDER, X, &key);
    let changed = Card { device: X, key, signature: issuer().key().sign(&statement) };
    let stranger = Id([77; 16]);
    let error = y.folder.learn(vec![changed, card(stranger)]).unwrap_err().to_string();
    assert!(error.contains(&X.to_string()), "{error}");
    assert!(y.folder.writer_key(stranger).unwrap().is_some());
    assert_eq!(y.folder.writer_key(X).unwrap(), Some(signer(DEFAULT, X).public()));
}
