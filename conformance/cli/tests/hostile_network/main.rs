//! Devices over a network that does its worst: delay, partition, half-open connections, one byte at a time, resets, cuts,
//! altered, repeated and swapped bytes; direct and through a relay. The network is simulated (`turmoil`), its clock too.
//!
//! Each test runs over many seeds. `MESH_SEEDS=1000` takes more of them, `MESH_SEED=17` that one alone. A seed fixes all that
//! the network does; the order of tasks within a device is fixed too in a build with `RUSTFLAGS="--cfg tokio_unstable"`.

mod network;
mod world;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshproof_client::backoff::Backoff;
use meshproof_client::responder::{Responder, pair_verifier};
use meshproof_client::{Limits, relay, transport};
use meshproof_cloud::{Config, start_relay_on};
use meshproof_proto::codec::hex;
use meshproof_proto::crypto::{DEFAULT, Secret};
use meshproof_proto::handshake::{AwaitM1, Target};
use meshproof_proto::relay::{Account, PASS, Pass, RelayKey, Side};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use turmoil::net::{TcpListener, TcpStream};

use network::{Middle, SimulatedListener};
use world::{
    Dice, Journal, OUTSIDE, Pair, SimulatedClock, common, converse, dice, elapsed, outside_seed, seeds,
};

const PORT: u16 = 9_000;
/// From when on the network does no harm any more.
const HEALED: Duration = Duration::from_mins(1);
/// Opening a channel takes no longer: connect, JOIN and the wait at the relay, 10 s each; the handshake, 30 s.
const OPENING: Duration = Duration::from_secs(10 + 10 + 10 + 30 + 1);
/// When both have to be in sync: the last harm may have left a half-open channel, which is noticed after 90 s.
const IN_SYNC: Duration = Duration::from_secs(60 + 90 + 60 + 60);
/// How long what is dead may still be held: REC-019, RLY-017 as set below, and a little.
const RELEASED: Duration = Duration::from_mins(2);

/// How long a session that stands still is waited for (HSK-066), beside what looking now and then adds.
const STANDSTILL: Duration = Duration::from_mins(2);

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn simulation(seed: u64) -> turmoil::Builder {
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(20))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(150))
        .simulation_duration(Duration::from_hours(1))
        .tcp_capacity(4_096);
    builder
}

/// The initiator: tries until both have everything, later and later.
async fn until_in_sync<F>(journal: &Journal, dice: &mut Dice, mut open: impl FnMut() -> F) -> Outcome
where
    F: Future<Output = Option<transport::Connection>>,
{
    let mut backoff = Backoff::default();
    loop {
        let began = elapsed();
        let connection = open().await;
        assert!(
            elapsed() <= began + OPENING,
            "an attempt that began at {began:?} took until {:?}",
            elapsed()
        );
        if let Some(connection) = connection {
            let before = journal.received();
            if converse(connection, journal).await {
                return Ok(());
            }
            if journal.received() > before {
                backoff.reset();
            }
        }
        assert!(elapsed() < IN_SYNC, "not in sync after {:?}", elapsed());
        sleep(backoff.next(dice)).await;
    }
}

async fn connect(host: &str) -> Option<TcpStream> {
    timeout(Duration::from_secs(10), TcpStream::connect((host, PORT))).await.ok()?.ok()
}

/// Whoever was in sync waits until the others have let go of what is dead.
async fn nothing_is_held(hosts: &[&str]) {
    sleep(RELEASED).await;
    for host in hosts {
        assert_eq!(turmoil::established_tcp_stream_count_on(*host), 0, "{host} holds what is dead");
    }
}

#[test]
fn two_devices_get_in_sync_whatever_the_network_did() {
    for seed in seeds(32) {
        outside_seed(seed);
        let pair = Pair::new(seed);
        let mut sim = simulation(seed).build();
        let (device, theirs) = (pair.clone(), pair.y.clone());
        sim.host("responder", move || {
            let (pair, journal) = (device.clone(), theirs.clone());
            async move {
                let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    let (start, journal) = (pair.awaiting(), journal.clone());
                    tokio::spawn(async move {
                        let began = elapsed();
                        let connection = transport::accept(stream, start, OUTSIDE).await;
                        assert!(elapsed() <= began + OPENING);
                        if let Ok(connection) = connection {
                            converse(connection, &journal).await;
                        }
                    });
                }
            }
        });
        sim.host("middle", move || Middle::new(seed, HEALED).run(PORT, "responder"));
        let whole = pair.clone();
        sim.client("initiator", async move {
            until_in_sync(&pair.x, &mut dice(seed, 1), || async {
                pair.initiate(connect("middle").await?, [0; 16]).await.ok()
            })
            .await?;
            nothing_is_held(&["responder", "initiator"]).await;
            Ok(())
        });
        sim.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(whole.in_sync(), "seed {seed}");
    }
}

#[test]
fn a_partition_that_heals_leaves_both_in_sync() {
    for seed in seeds(16) {
        outside_seed(seed);
        let pair = Pair::new(seed);
        let mut sim = simulation(seed).build();
        let device = pair.clone();
        sim.host("responder", move || {
            let pair = device.clone();
            async move {
                let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    let (start, journal) = (pair.awaiting(), pair.y.clone());
                    tokio::spawn(async move {
                        if let Ok(connection) = transport::accept(stream, start, OUTSIDE).await {
                            converse(connection, &journal).await;
                        }
                    });
                }
            }
        });
        let whole = pair.clone();
        sim.client("initiator", async move {
            until_in_sync(&pair.x, &mut dice(seed, 1), || async {
                pair.initiate(connect("responder").await?, [0; 16]).await.ok()
            })
            .await?;
            // turmoil goes on counting connections that were given up before the other side answered: the initiator's.
            nothing_is_held(&["responder"]).await;
            Ok(())
        });
        let mut dice = dice(seed, 2);
        sim.client("weather", async move {
            while elapsed() < HEALED {
                // What is sent in a partition is lost; what is held comes late and all at once.
                sleep(Duration::from_millis(dice.below(4_000))).await;
                match dice.below(4) {
                    0 => turmoil::partition("initiator", "responder"),
                    1 => turmoil::partition_oneway("initiator", "responder"),
                    2 => turmoil::partition_oneway("responder", "initiator"),
                    _ => turmoil::hold("initiator", "responder"),
                }
                sleep(Duration::from_millis(dice.below(20_000))).await;
                turmoil::repair("initiator", "responder");
                turmoil::release("initiator", "responder");
            }
            Ok(())
        });
        sim.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(whole.in_sync(), "seed {seed}");
    }
}

#[test]
fn a_relay_between_hostile_networks_joins_or_lets_go() {
    const KEY: [u8; 32] = [5; 32];
    for seed in seeds(16) {
        outside_seed(seed);
        let pair = Pair::new(seed);
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("relay.key"), hex(&KEY)).unwrap();
        let mut config = Config { clock: Arc::new(SimulatedClock), ..Config::new(data.path().to_owned()) };
        config.relay.address = format!("relay:{PORT}");
        config.relay.idle = Duration::from_mins(1);
        let address = config.relay.address.clone();
        let mut sim = simulation(seed).build();
        sim.host("relay", move || {
            let config = config.clone();
            async move {
                let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
                let _running = start_relay_on(&config, SimulatedListener(listener))?;
                std::future::pending().await
            }
        });
        sim.host("near", move || Middle::new(seed, HEALED).run(PORT, "relay"));
        sim.host("far", move || Middle::new(seed.wrapping_add(1_000), HEALED).run(PORT, "relay"));

        // What the graph would do: tell the other device that it is called, with its pass and the token.
        let (call, calls) = mpsc::unbounded_channel::<([u8; PASS], [u8; 16])>();
        let calls = Rc::new(RefCell::new(Some(calls)));
        let (called, relay_address) = (pair.clone(), address.clone());
        sim.host("called", move || {
            let (pair, address) = (called.clone(), relay_address.clone());
            let mut calls = calls.borrow_mut().take().unwrap();
            async move {
                while let Some((pass, token)) = calls.recv().await {
                    let (start, journal) = (pair.awaiting().relayed(token), pair.y.clone());
                    let address = address.clone();
                    tokio::spawn(async move {
                        let began = elapsed();
                        let joined = match connect("far").await {
                            Some(stream) => relay::join_over(stream, &address, &pass).await.ok(),
                            None => None,
                        };
                        let Some(stream) = joined else { return };
                        let connection = transport::accept(stream, start, OUTSIDE).await;
                        assert!(elapsed() <= began + OPENING);
                        if let Ok(connection) = connection {
                            converse(connection, &journal).await;
                        }
                    });
                }
                Ok(())
            }
        });
        let whole = pair.clone();
        sim.client("caller", async move {
            let key = RelayKey::new(Secret::new(KEY));
            let circuits = Cell::new(0_u64);
            let passes = || {
                circuits.set(circuits.get() + 1);
                let mut circuit = [0; 16];
                circuit[..8].copy_from_slice(&circuits.get().to_be_bytes());
                [Side::Caller, Side::Called].map(|side| {
                    let expires = OUTSIDE.now().plus(60);
                    let pass = Pass { circuit, side, expires, account: Account([side as u8; 16]) };
                    key.seal(DEFAULT, &address, &pass)
                })
            };
            until_in_sync(&pair.x, &mut dice(seed, 1), || async {
                let [mine, theirs] = passes();
                let token = [7; 16];
                call.send((theirs, token)).ok()?;
                let stream = relay::join_over(connect("near").await?, &address, &mine).await.ok()?;
                pair.initiate(stream, token).await.ok()
            })
            .await?;
            nothing_is_held(&["relay", "caller", "called"]).await;
            Ok(())
        });
        sim.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(whole.in_sync(), "seed {seed}");
    }
}

/// Those who say one byte now and then, or nothing, have their places for 30 s and keep out nobody elsewhere.
#[test]
fn half_open_places_come_free() {
    for seed in seeds(8) {
        outside_seed(seed);
        let pair = Pair::new(seed);
        let per_source = Limits::default().half_open_per_source;
        let mut sim = simulation(seed).build();
        let device = pair.clone();
        sim.host("responder", move || {
            let pair = device.clone();
            async move {
                let y = &pair.responder;
                let verifier = pair_verifier(y, common::ISSUER, &[common::issuer().key().spki().clone()])?;
                // Who gets in gets no session: it would run on threads, and those know no simulated clock.
                let limits = Limits { sessions: 0, ..Limits::default() };
                let responder = Responder::new(y.clone(), verifier, Vec::new()).with_outside(OUTSIDE);
                let responder = Arc::new(responder.with_limits(limits));
                let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
                loop {
                    let (stream, from): (_, SocketAddr) = listener.accept().await?;
                    let responder = responder.clone();
                    tokio::spawn(async move { responder.answer_direct(stream, from).await });
                }
            }
        });
        let is_full = Rc::new(Cell::new(false));
        let (full, honest) = (is_full.clone(), pair.clone());
        sim.client("slow", async move {
            let mut streams = Vec::new();
            for _ in 0..per_source {
                // The begin of an M1 of 4,096 bytes.
                streams.push((connect("responder").await.ok_or("nobody there")?, [1, 0, 16].iter()));
            }
            let mut dice = dice(seed, 3);
            while elapsed() < Duration::from_secs(20) {
                for (stream, begin) in &mut streams {
                    if !is_full.get() || dice.below(4) > 0 {
                        let _ = stream.write_all(&[*begin.next().unwrap_or(&0)]).await;
                    }
                }
                is_full.set(true);
                let attempt =
                    honest.initiate(connect("responder").await.ok_or("nobody there")?, [0; 16]).await;
                assert!(attempt.is_err(), "seed {seed}: this source has no place left");
                sleep(Duration::from_secs(1)).await;
            }
            // Nothing more is said; the connections stay.
            sleep(Duration::from_secs(35).saturating_sub(elapsed())).await;
            let attempt = honest.initiate(connect("responder").await.ok_or("nobody there")?, [0; 16]).await;
            assert!(attempt.is_ok(), "seed {seed}: {:?}", attempt.err());
            Ok(())
        });
        sim.client("elsewhere", async move {
            while !full.get() {
                sleep(Duration::from_millis(100)).await;
            }
            let attempt = pair.initiate(connect("responder").await.ok_or("nobody there")?, [0; 16]).await;
            assert!(attempt.is_ok(), "seed {seed}: {:?}", attempt.err());
            Ok(())
        });
        sim.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

impl Pair {
    /// The begin of a handshake at the responder.
    fn awaiting(&self) -> AwaitM1 {
        AwaitM1::new(self.responder.clone(), self.verifier.clone())
    }

    /// A channel of the initiator over a stream.
    async fn initiate(
        &self,
        stream: impl transport::Stream,
        rdv_token: [u8; 16],
    ) -> meshproof_client::error::Result<transport::Connection> {
        let target = Target { rdv_token, ..self.target() };
        let vouched = target.verify(&self.initiator, &self.verifier, OUTSIDE.now())?;
        transport::initiate(stream, self.initiator.clone(), &target, vouched, OUTSIDE).await
    }
}

/// A peer that never answers what it is asked for is given up, and only then. No simulation: a session has threads.
#[tokio::test]
async fn a_session_without_progress_is_given_up() {
    use common::{Node, RawPeer, X, Y, file, serve};
    use meshproof_proto::sync::Message;
    use meshproof_proto::ticket::Role;

    let node = Node::new(DEFAULT, Y);
    let serving = serve(&node).await;
    let mut peer = RawPeer::connect(X, &node, &serving.address, Role::Owner).await;
    peer.offer(vec![file("theirs", &[7; 100_000], X, 1)]);
    peer.wait(|message| matches!(message, Message::Request(_)).then_some(())).await.unwrap();
    tokio::time::pause();
    let (mut ended, begin) = (Box::pin(serving.ended()), tokio::time::Instant::now());
    let mut early = |cx: &mut std::task::Context<'_>| ended.as_mut().poll(cx).is_ready();
    while begin.elapsed() + Duration::from_secs(5) < STANDSTILL {
        tokio::time::advance(Duration::from_secs(1)).await;
        let over = std::future::poll_fn(|cx| std::task::Poll::Ready(early(cx))).await;
        assert!(!over, "after {:?}", begin.elapsed());
    }
    for _ in 0..15 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tokio::time::resume();
    let failure = ended.await.unwrap_err();
    assert!(failure.starts_with("HSK-066"), "{failure}");
}
