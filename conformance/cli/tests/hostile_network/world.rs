//! Two devices, a clock and dice for a simulation, and something to get in sync: a journal of each for the other.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meshproof_client::responder::pair_verifier;
use meshproof_client::transport::{Connection, Incoming, Outside};
use meshproof_cloud::Clock;
use meshproof_proto::crypto::{DEFAULT, Entropy};
use meshproof_proto::handshake::{Device, Target};
use meshproof_proto::ticket::Verifier;
use meshproof_proto::time::UnixTime;

#[path = "../../../../reference/client/tests/common/mod.rs"]
pub(crate) mod common;

/// When each simulation begins.
const BEGIN: Duration = Duration::from_hours(500_000);

/// Clock and random numbers of the devices.
pub(crate) const OUTSIDE: Outside = Outside { clock, entropy };

fn clock() -> Duration {
    BEGIN + elapsed()
}

/// How long the simulation has been going on.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

thread_local! {
    static ENTROPY: RefCell<Dice> = const { RefCell::new(Dice(0)) };
}

fn entropy(out: &mut [u8]) {
    ENTROPY.with_borrow_mut(|dice| dice.fill(out));
}

/// Begins a simulation's random numbers anew.
pub(crate) fn outside_seed(seed: u64) {
    eprintln!("seed {seed}"); // shown if the test fails
    ENTROPY.set(dice(seed, 0));
}

/// The seeds to run: `MESH_SEED`, or the first `MESH_SEEDS`, or as many as the test takes by itself.
pub(crate) fn seeds(usual: u64) -> Range<u64> {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match variable("MESH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("MESH_SEEDS").unwrap_or(usual),
    }
}

/// Random numbers that a seed fixes.
#[derive(Clone)]
pub(crate) struct Dice(u64);

/// Those of one use of a seed.
pub(crate) fn dice(seed: u64, of: u64) -> Dice {
    Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ of.wrapping_mul(0xD134_2543_DE82_EF95))
}

impl Dice {
    /// SplitMix64
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

impl Entropy for Dice {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill_with(|| self.next().to_be_bytes()[0]);
    }
}

/// The simulated clock, as the cloud takes it.
#[derive(Debug)]
pub(crate) struct SimulatedClock;

impl Clock for SimulatedClock {
    fn now(&self) -> UnixTime {
        OUTSIDE.now()
    }
}

/// Two devices, and what each has for the other.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) initiator: Arc<Device>,
    pub(crate) responder: Arc<Device>,
    pub(crate) verifier: Arc<Verifier>,
    /// The initiator's.
    pub(crate) x: Arc<Journal>,
    /// The responder's.
    pub(crate) y: Arc<Journal>,
}

impl Pair {
    pub(crate) fn new(seed: u64) -> Self {
        static DEVICES: OnceLock<[Arc<Device>; 2]> = OnceLock::new();
        let [initiator, responder] = DEVICES
            .get_or_init(|| [common::X, common::Y].map(|id| common::Node::new(DEFAULT, id).device))
            .clone();
        let issuer = common::issuer().key().spki().clone();
        let verifier = Arc::new(pair_verifier(&responder, common::ISSUER, &[issuer]).unwrap());
        let mut dice = dice(seed, 4);
        let mut bytes = || {
            let mut bytes = vec![0; usize::try_from(10_000 + dice.below(60_000)).unwrap_or_default()];
            dice.fill(&mut bytes);
            Arc::new(bytes)
        };
        let (one, two) = (bytes(), bytes());
        let journal = |own: &Arc<Vec<u8>>, other: &Arc<Vec<u8>>| {
            Arc::new(Journal { own: own.clone(), other: other.clone(), received: AtomicUsize::new(0) })
        };
        let (x, y) = (journal(&one, &two), journal(&two, &one));
        Self { initiator, responder, verifier, x, y }
    }

    /// A new ticket, and all else that the initiator needs.
    pub(crate) fn target(&self) -> Target {
        common::target_at(&self.initiator, &self.responder, &[], OUTSIDE.now())
    }

    pub(crate) fn in_sync(&self) -> bool {
        [&self.x, &self.y].iter().all(|journal| journal.received() == journal.other.len())
    }
}

/// What one device has for the other, and how much of the other's it has.
pub(crate) struct Journal {
    own: Arc<Vec<u8>>,
    other: Arc<Vec<u8>>,
    received: AtomicUsize,
}

impl Journal {
    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }
}

/// What ends a direction: the sender has everything.
const HAS_ALL: u8 = 0xFF;

/// A session: both say how much they have, send what the other lacks, and say when they have all. `true`: both have.
/// Whatever comes has to be what the other sent, at its place; what was cut short is gone on with in the next session.
pub(crate) async fn converse(mut connection: Connection, journal: &Journal) -> bool {
    let mut at = journal.received();
    connection.outgoing.send((at as u64).to_be_bytes().to_vec());
    let (mut head, mut other_has_all) = (Vec::new(), false);
    let (told, closed) = (Cell::new(false), Cell::new(false));
    loop {
        let bytes = match connection.incoming.recv().await {
            Some(Incoming::Data(bytes)) => bytes,
            Some(Incoming::Closed) => {
                assert!(other_has_all, "a close that the other did not say");
                continue;
            }
            Some(Incoming::Finish) => continue,
            Some(Incoming::Failed(_)) | None => return told.get() && other_has_all,
        };
        let mut rest = &bytes[..];
        if head.len() < 8 {
            let (first, more) = rest.split_at(rest.len().min(8 - head.len()));
            head.extend_from_slice(first);
            rest = more;
            let Some(from) = head.first_chunk::<8>().copied().map(u64::from_be_bytes) else { continue };
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            for piece in journal.own.get(from..).expect("it has what it was sent").chunks(3_000) {
                connection.outgoing.send(piece.to_vec());
            }
        }
        let content = rest.len().min(journal.other.len() - at);
        let (content, end) = rest.split_at(content);
        assert_eq!(content, &journal.other[at..at + content.len()], "bytes that the other did not send");
        at += content.len();
        journal.received.fetch_max(at, Ordering::SeqCst);
        if at == journal.other.len() && !told.replace(true) {
            connection.outgoing.send(vec![HAS_ALL]);
        }
        if let [HAS_ALL] = end {
            other_has_all = true;
        } else {
            assert!(end.is_empty(), "more than the other sent");
        }
        if told.get() && other_has_all && !closed.replace(true) {
            connection.outgoing.close();
        }
    }
}
