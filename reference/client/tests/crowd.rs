//! Many connections at once: those who prove nothing do not keep out those who do.

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{FOLDER, Node, RawPeer, Serving, X, Y, Z, connect, serve, serve_with};
use meshproof_client::sync::{NoProgress, Report};
use meshproof_client::{Error, Limits, responder};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::sync::Message;
use meshproof_proto::ticket::Role;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Far below the 30 s for which silent connections once kept all others out; generous for a busy machine.
const PROMPTLY: Duration = Duration::from_secs(15);

/// Connects from this address of the machine, and says nothing.
async fn silent(from: Ipv4Addr, to: &Serving) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to.address.parse().unwrap()).await.unwrap()
}

/// Waits until the responder closes. How long that took.
fn watch(watched: &mut JoinSet<Duration>, mut stream: TcpStream) {
    let since = Instant::now();
    watched.spawn(async move {
        let end = stream.read(&mut [0]).await;
        assert!(matches!(end, Ok(0) | Err(_)), "the responder spoke first");
        since.elapsed()
    });
}

async fn sync_to(from: &Node, to: &Node, serving: &Serving) -> Result<Report, Error> {
    let connection = connect(&from.device, &to.device, &serving.address, (Role::Owner, Role::Owner)).await?;
    responder::sync(connection, vec![from.folder.clone()], Arc::new(NoProgress)).await
}

/// All of 127.0.0.0/8 is this machine only on Linux.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_one_source_keep_nobody_out() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    y.write("file", "content");
    let serving = serve(&y).await;
    let mut watched = JoinSet::new();
    for _ in 0..100 {
        watch(&mut watched, silent(Ipv4Addr::new(127, 0, 0, 2), &serving).await);
    }
    let promptly = tokio::time::timeout(PROMPTLY, async {
        for _ in 0..92 {
            watched.join_next().await.unwrap().unwrap();
        }
        sync_to(&x, &y, &serving).await.unwrap()
    });
    assert_eq!(promptly.await.expect("in time").files_received, 1);
    assert_eq!(x.read("file").as_deref(), Some("content"));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_loses_its_place() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    y.write("file", "content");
    let serving = serve(&y).await;
    // All 64 places, from 8 sources.
    let (mut watched, started) = (JoinSet::new(), Instant::now());
    for n in 0..64 {
        watch(&mut watched, silent(Ipv4Addr::new(127, 0, 0, 2 + n / 8), &serving).await);
    }
    // Closed are the silent ones, not those who come next; nobody is closed before its 5 s are over.
    for _ in 0..64 {
        let silence = tokio::time::timeout(PROMPTLY, watched.join_next()).await.expect("in time");
        assert!(silence.unwrap().unwrap() > Duration::from_secs(4), "closed early");
        assert!(serving.ended().await.unwrap_err().contains("said nothing"));
    }
    assert!(started.elapsed() < PROMPTLY, "{:?}", started.elapsed());
    assert_eq!(sync_to(&x, &y, &serving).await.unwrap().files_received, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_have_places_of_their_own() {
    let (y, z) = (Node::new(DEFAULT, Y), Node::new(DEFAULT, Z));
    y.write("file", "content");
    let serving = serve_with(&y, Limits { half_open: 1, sessions: 1, ..Limits::default() }).await;
    let mut peer = RawPeer::connect(X, &y, &serving.address, Role::Owner).await;
    assert!(matches!(peer.next().await, Some(Message::Hello(folders)) if folders == [FOLDER]));
    // The session goes on, so its place is taken; its place among the half-open ones is free again.
    assert!(sync_to(&z, &y, &serving).await.unwrap().moved, "closed before a session began");
    assert!(serving.ended().await.unwrap_err().contains("too many sessions"));
    drop(peer);
    assert!(serving.ended().await.unwrap().moved);
    assert_eq!(sync_to(&z, &y, &serving).await.unwrap().files_received, 1);
}
