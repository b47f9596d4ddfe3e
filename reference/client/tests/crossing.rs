//! Two devices that dial each other at once: one channel stays, by a rule that both know, and nothing is sent twice (HSK-058).

mod common;

use std::sync::{Arc, Mutex};

use common::{FOLDER, ISSUER, Node, X, Y, connect, issuer};
use meshproof_client::responder::{Responder, pair_verifier};
use meshproof_client::sync::{NoProgress, Report};
use meshproof_client::transport::Connection;
use meshproof_client::{Error, Sessions};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::ticket::Role;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, mpsc};

/// What a session did: whether its device opened the channel, and its report.
type Ended = (bool, Result<Report, String>);

/// A device that is up and dials, with one book of sessions.
struct Peer {
    node: Node,
    sessions: Arc<Sessions>,
    address: String,
    ended: mpsc::UnboundedReceiver<Ended>,
    tell: mpsc::UnboundedSender<Ended>,
}

impl Peer {
    async fn start(node: Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sessions = Sessions::new(node.device.id());
        let verifier = pair_verifier(&node.device, ISSUER, &[issuer().key().spki().clone()]).unwrap();
        let (tell, ended) = mpsc::unbounded_channel();
        let told = tell.clone();
        let responder = Responder::new(node.device.clone(), verifier, vec![node.folder.clone()])
            .with_sessions(sessions.clone())
            .on_session(move |_, result| {
                let result = match result {
                    Ok(report) => Ok(report.clone()),
                    Err(error) => Err(error.to_string()),
                };
                let _ = told.send((false, result));
            });
        tokio::spawn(Arc::new(responder).serve(listener, std::future::pending()));
        Self { node, sessions, address, ended, tell }
    }

    async fn dial(&self, other: &Self) -> Connection {
        let (from, to) = (&self.node.device, &other.node.device);
        connect(from, to, &other.address, (Role::Owner, Role::Owner)).await.unwrap()
    }

    /// Runs a session on a channel that this device opened.
    fn begin(&self, connection: Connection) {
        let (sessions, folder, tell) = (self.sessions.clone(), self.node.folder.clone(), self.tell.clone());
        tokio::spawn(async move {
            let result = sessions.run(connection, vec![folder], Arc::new(NoProgress)).await;
            let _ = tell.send((true, result.map_err(|error: Error| error.to_string())));
        });
    }
}

/// A kilobyte each, all different, so that what was sent twice would be counted twice.
fn fill(node: &Node, files: u32) -> u64 {
    for number in 0..files {
        let owner = node.device.id();
        node.write(&format!("{owner}-{number}"), format!("{owner}-{number:0967}"));
    }
    u64::from(files) * 1_000
}

/// Both devices dial in the order that `channels` says: `true` is the device with the lower identifier. Each session begins as
/// soon as its channel is there, or all together.
async fn crossed(channels: [bool; 2], together: bool) {
    let lower = Peer::start(Node::new(DEFAULT, X)).await;
    let higher = Peer::start(Node::new(DEFAULT, Y)).await;
    let (mut lower, mut higher) = (lower, higher);
    let expected = (fill(&higher.node, 60), fill(&lower.node, 50));
    let mut opened = Vec::new();
    for is_lower in channels {
        let (from, to) = if is_lower { (&lower, &higher) } else { (&higher, &lower) };
        let connection = from.dial(to).await;
        if together {
            opened.push((is_lower, connection));
        } else {
            from.begin(connection);
        }
    }
    for (is_lower, connection) in opened {
        (if is_lower { &lower } else { &higher }).begin(connection);
    }
    let mut received = [0; 2];
    for (number, peer) in [&mut lower, &mut higher].into_iter().enumerate() {
        let is_lower = number == 0;
        let mut complete = 0;
        for _ in 0..2 {
            let (opened_it, result) = peer.ended.recv().await.unwrap();
            let report = result.unwrap_or_else(|error| panic!("{channels:?}, {is_lower}: {error}"));
            received[number] += report.bytes_received;
            // The channel of the device with the lower identifier is the one on which all is done.
            let stays = opened_it == is_lower;
            complete += usize::from(stays && !report.moved && report.folders == [FOLDER]);
        }
        assert_eq!(complete, 1, "{channels:?}, the lower one: {is_lower}");
        assert!(!peer.sessions.has(if is_lower { Y } else { X }));
    }
    assert_eq!(lower.node.tree(), higher.node.tree());
    assert_eq!(lower.node.tree().len(), 110);
    assert_eq!((received[0], received[1]), expected, "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_crossed_channels_stays_whichever_was_first() {
    for channels in [[true, false], [false, true]] {
        for together in [true, false] {
            for _ in 0..2 {
                crossed(channels, together).await;
            }
        }
    }
}

/// Both dial at the same moment, again and again, in whatever order things then happen.
#[tokio::test(flavor = "multi_thread")]
async fn devices_that_dial_at_one_moment_are_in_sync_after_it() {
    for _ in 0..6 {
        let lower = Peer::start(Node::new(DEFAULT, X)).await;
        let higher = Peer::start(Node::new(DEFAULT, Y)).await;
        let expected = fill(&higher.node, 30) + fill(&lower.node, 20);
        let (now, sum) = (Barrier::new(2), Mutex::new(0));
        let dial = async |from: &Peer, to: &Peer| {
            now.wait().await;
            let connection = from.dial(to).await;
            from.begin(connection);
        };
        tokio::join!(dial(&lower, &higher), dial(&higher, &lower));
        for mut peer in [lower, higher] {
            let mut complete = 0;
            for _ in 0..2 {
                let (_, result) = peer.ended.recv().await.unwrap();
                let report = result.unwrap();
                *sum.lock().unwrap() += report.bytes_received;
                complete += usize::from(!report.moved);
            }
            assert!(complete >= 1);
            assert_eq!(peer.node.tree().len(), 50);
        }
        assert_eq!(sum.into_inner().unwrap(), expected, "nothing is sent twice");
    }
}
