//! How connections end when the peer does not help: nothing is left of them soon, and until then they count.

mod common;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{FOLDER, ISSUER, Node, RawPeer, X, Y, issuer, state, target};
use meshproof_client::Limits;
use meshproof_client::responder::{Responder, pair_verifier};
use meshproof_client::sync::{NoProgress, run_session};
use meshproof_client::transport::{self, Connection, Outside, grounds_of};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::handshake::AwaitM1;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Message;
use meshproof_proto::sync::message::Request;
use meshproof_proto::ticket::{Role, Verifier};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, sleep, timeout};

/// A moment, for a second of last words and a second in which what still comes is read.
const SOON: Duration = Duration::from_secs(3);

/// A stream that tells whether it is still there.
struct Counted(DuplexStream, #[allow(dead_code)] Arc<()>); // counted by whoever has the other

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn verifier(node: &Node) -> Verifier {
    pair_verifier(&node.device, ISSUER, &[issuer().key().spki().clone()]).unwrap()
}

async fn dial(stream: impl transport::Stream, x: &Node, y: &Node) -> Connection {
    let target = target(&x.device, &y.device, &[(FOLDER, Role::Owner, Role::Owner)]);
    let vouched = grounds_of(&verifier(y), &x.device, &target).unwrap();
    transport::initiate(stream, x.device.clone(), &target, vouched, Outside::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_broke_a_rule_and_reads_nothing_is_gone_a_moment_later() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    let (here, there) = duplex(64 * 1024);
    let accepting =
        transport::accept(here, AwaitM1::new(y.device.clone(), Arc::new(verifier(&y))), Outside::default());
    let (peer, connection) = tokio::join!(dial(there, &x, &y), accepting);
    let Connection { outgoing, .. } = connection.unwrap();
    // More than the peer takes when nobody reads what it got, and than is sealed before that is taken.
    for _ in 0..64 {
        outgoing.send(vec![7; 256 * 1024]);
    }
    sleep(Duration::from_millis(1)).await;
    outgoing.abort();
    timeout(SOON, outgoing.ended()).await.expect("it has its connection still");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_for_a_session_counts_until_nothing_is_left_of_its_connection() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    let limits = Limits { half_open: 1, sessions: 0, ..Limits::default() };
    let responder =
        Responder::new(y.device.clone(), verifier(&y), vec![y.folder.clone()]).with_limits(limits);
    let from = SocketAddr::from(([192, 0, 2, 1], 1));
    let (here, there) = duplex(64 * 1024);
    let alive = Arc::new(());
    let (counted, began) = (Counted(here, alive.clone()), Instant::now());
    // The peer stays, and does not answer the close_notify: it is as if it were gone.
    let (_peer, ()) = tokio::join!(dial(there, &x, &y), responder.answer_direct(counted, from));
    assert_eq!(Arc::strong_count(&alive), 1, "it has its connection still, and no place");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// Whoever wants to go on elsewhere says BYE without DONE, and no DONE behind it, whatever comes then (HSK-060, SYN-015).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_answers_comes_behind_an_early_bye() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    let (here, there) = duplex(64 * 1024);
    let accepting =
        transport::accept(here, AwaitM1::new(y.device.clone(), Arc::new(verifier(&y))), Outside::default());
    let (peer, connection) = tokio::join!(dial(there, &x, &y), accepting);
    let (mut peer, connection) = (RawPeer::over(peer), connection.unwrap());
    connection.outgoing.finish();
    let folders = vec![y.folder.clone()];
    let session = tokio::task::spawn_blocking(move || run_session(connection, &folders, &NoProgress));
    peer.send(&[Message::Hello(vec![FOLDER]), state()]);
    peer.wait(|message| matches!(message, Message::Bye).then_some(())).await.unwrap();
    peer.send(&[Message::Index { folder: FOLDER, last: true, entries: Vec::new() }]);
    let hash = MediaHash::of(b"nothing");
    let request = Request { request: 1, folder: FOLDER, hash, offset: 0, length: 1 };
    peer.send(&[Message::Request(request), Message::Bye]);
    let mut behind = Vec::new();
    while let Some(message) = peer.next().await {
        behind.push(message);
    }
    assert!(matches!(behind[..], [Message::Block { request: 1, content: None }]), "{behind:?}");
    peer.connection.outgoing.close();
    assert!(session.await.unwrap().unwrap().moved);
}
