//! What a peer's index may take in memory. One test, for what is asked is of the whole process.

mod common;

use common::{FOLDER, Node, RawPeer, X, Y, Z, file, serve, state};
use meshproof_client::sync::held_of_indexes;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Message;
use meshproof_proto::sync::message::Request;
use meshproof_proto::ticket::Role;

/// A page of an INDEX that never ends, and something whose answer says that the page was read.
async fn page(peer: &mut RawPeer) {
    let mut entries: Vec<_> = (0..100).map(|n| file(&format!("{n}"), b"content", X, 1)).collect();
    entries.sort_by_key(|entry| entry.id);
    let request =
        Request { request: 0, folder: FOLDER, hash: MediaHash::of(b"no such"), offset: 0, length: 1 };
    let pages =
        [Message::Hello(vec![FOLDER]), state(), Message::Index { folder: FOLDER, last: false, entries }];
    peer.send(&pages);
    peer.send(&[Message::Request(request)]);
    peer.wait(|message| matches!(message, Message::Block { .. }).then_some(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_count_is_not_kept_and_the_rest_counts_for_all_sessions() {
    let y = Node::new(DEFAULT, Y);
    let serving = serve(&y).await;
    let mut reader = RawPeer::connect(Z, &y, &serving.address, Role::Reader).await;
    page(&mut reader).await;
    assert_eq!(held_of_indexes(), 0, "a reader's entries");
    let mut first = RawPeer::connect(X, &y, &serving.address, Role::Contributor).await;
    page(&mut first).await;
    let one = held_of_indexes();
    assert!(one > 100 * 300, "{one} bytes for 100 entries");
    let mut second = RawPeer::connect(X, &y, &serving.address, Role::Contributor).await;
    page(&mut second).await;
    assert_eq!(held_of_indexes(), 2 * one);
    for peer in [reader, first, second] {
        drop(peer);
        assert!(serving.ended().await.is_err());
    }
    assert_eq!(held_of_indexes(), 0);
}
