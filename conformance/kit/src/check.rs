//! What a check is, what it may find, and what it is given to work with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::catalog::{Catalog, Level, Part};
use crate::edit::Script;
use crate::evidence::pcap::Piece;
use crate::evidence::{self, Exhibit};
use crate::target::Targets;
use crate::text::printable;

/// Makes a check fail with a formatted message unless a condition holds.
macro_rules! demand {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::check::Stop::Fail(format!($($message)+)));
        }
    };
}
pub(crate) use demand;

/// What kind of implementation a check talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The HTTPS services.
    Cloud,
    /// A device that accepts connections.
    Peer,
    /// A device that opens connections, as a shim tells it to.
    Initiator,
    /// What forwards between devices.
    Relay,
    /// A device's program, with its cloud and its peers.
    Client,
    /// Any implementation, through a shim that runs vectors.
    Vectors,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Cloud => "cloud",
            Role::Peer => "peer",
            Role::Initiator => "initiator",
            Role::Relay => "relay",
            Role::Client => "client",
            Role::Vectors => "vectors",
        })
    }
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The target does what the requirements say.
    Pass,
    /// It breaks a MUST.
    Fail,
    /// It breaks a SHOULD.
    Warn,
    /// It fails, as was declared.
    Xfail,
    /// It passes, though a failure was declared: the declaration is stale.
    Xpass,
    /// The target does not have what the check is about.
    NotApplicable,
    /// It is not scored: the version that the target is judged by is older than the check.
    AddedAfter,
    /// It could not be found out, because something else went wrong.
    Blocked,
    /// The kit itself is at fault.
    KitError,
}

impl Outcome {
    /// All outcomes, in the order reports count them.
    pub const ALL: [Outcome; 9] = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::Warn,
        Outcome::Xfail,
        Outcome::Xpass,
        Outcome::NotApplicable,
        Outcome::AddedAfter,
        Outcome::Blocked,
        Outcome::KitError,
    ];

    /// The name used in reports: `not-applicable`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Warn => "warn",
            Outcome::Xfail => "xfail",
            Outcome::Xpass => "xpass",
            Outcome::NotApplicable => "not-applicable",
            Outcome::AddedAfter => "added-after",
            Outcome::Blocked => "blocked",
            Outcome::KitError => "kit-error",
        }
    }

    /// Whether a reader has to look at it.
    pub fn needs_attention(self) -> bool {
        !matches!(self, Outcome::Pass | Outcome::Xfail | Outcome::NotApplicable | Outcome::AddedAfter)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a check ended other than by passing. Any other error, such as a target that cannot be reached, blocks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The target broke the requirement.
    Fail(String),
    /// It could not be found out.
    Blocked(String),
    /// The target does not have this.
    NotApplicable(String),
    /// The kit is wrong.
    KitError(String),
}

impl Stop {
    /// The same with what the target may have put into the words made harmless ([`crate::text`]).
    pub(crate) fn printable(self) -> Self {
        match self {
            Stop::Fail(words) => Stop::Fail(printable(&words)),
            Stop::Blocked(words) => Stop::Blocked(printable(&words)),
            Stop::NotApplicable(words) => Stop::NotApplicable(printable(&words)),
            Stop::KitError(words) => Stop::KitError(printable(&words)),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Blocked(format!("{:#}", error.into()))
    }
}

/// How the run of a check ends.
pub type Verdict = Result<(), Stop>;

type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// One thing to find out about an implementation.
#[derive(Clone)]
pub struct Check {
    /// Dotted and stable: `hs.m1.mac-truncated`.
    pub id: String,
    /// The part of the protocol it is about.
    pub part: Part,
    /// What it talks to.
    pub role: Role,
    /// The requirements that fail with it.
    pub reqs: Vec<String>,
    /// What it does, in a sentence.
    pub title: String,
    /// The valid twin of a negative check, which differs in one thing. A refusal proves nothing unless the twin is
    /// accepted, so this check is blocked when its twin does not pass.
    pub twin: Option<String>,
    /// What it takes turns at with other checks that name the same thing; none if it gets in nobody's way.
    pub turn: Option<&'static str>,
    /// How long it may take before it counts as blocked.
    pub deadline: Duration,
    run: Arc<dyn Fn(Context) -> Running + Send + Sync>,
}

impl Check {
    /// A check without twin and with the usual deadline.
    pub fn new<F, R>(role: Role, part: Part, id: &str, reqs: &[&str], title: &str, run: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Verdict> + Send + 'static,
    {
        Check {
            id: id.to_owned(),
            part,
            role,
            reqs: reqs.iter().map(|&id| id.to_owned()).collect(),
            title: title.to_owned(),
            twin: None,
            turn: None,
            deadline: Duration::from_mins(1),
            run: Arc::new(move |context| Box::pin(run(context))),
        }
    }

    /// The same check with a valid twin.
    #[must_use]
    pub fn twin(mut self, id: &str) -> Self {
        self.twin = Some(id.to_owned());
        self
    }

    /// The same check, never at the same time as another that takes turns at the same thing.
    #[must_use]
    pub fn in_turn(mut self, thing: &'static str) -> Self {
        self.turn = Some(thing);
        self
    }

    /// What its failure weighs: the strongest level among its requirements.
    pub fn level(&self) -> Level {
        Catalog::embedded().level_of(self.reqs.iter().map(String::as_str))
    }

    /// Starts it.
    pub(crate) fn start(&self, context: Context) -> Running {
        (self.run)(context)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("id", &self.id).field("reqs", &self.reqs).finish_non_exhaustive()
    }
}

/// What a check works with: the targets, randomness that a seed repeats, and a place for evidence.
#[derive(Clone)]
pub struct Context {
    targets: Arc<Targets>,
    script: Option<Arc<Script>>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    seed: [u8; 32],
    drawn: u64,
    exhibits: Vec<Kept>,
    began: Instant,
    connections: u16,
    wire: Vec<Piece>,
    wire_bytes: usize,
}

/// Most checks pass, and nobody sees what they kept: bytes become readable when somebody wants to read them.
enum Kept {
    Exhibit(Exhibit),
    Bytes { name: String, begin: Vec<u8>, length: usize },
}

/// More than this of a check's traffic is not kept.
const WIRE_KEPT: usize = 8 << 20;

impl Context {
    /// A context for the check of this id in a run of this seed.
    pub fn new(targets: Arc<Targets>, seed: u64, check: &str) -> Self {
        let seed = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(check).finalize().into();
        let inner = Inner {
            seed,
            drawn: 0,
            exhibits: Vec::new(),
            began: Instant::now(),
            connections: 0,
            wire: Vec::new(),
            wire_bytes: 0,
        };
        Context { targets, script: None, inner: Arc::new(Mutex::new(inner)) }
    }

    /// The same for a run in which messages are changed.
    #[must_use]
    pub fn edited(self, script: Option<Arc<Script>>) -> Self {
        Context { script, ..self }
    }

    /// What becomes of a message.
    pub(crate) fn script(&self) -> Option<&Script> {
        self.script.as_deref()
    }

    /// The implementations under test.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Bytes that are the same in every run of this check under the same seed.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut inner = self.inner();
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(32) {
            let block =
                Sha256::new().chain_update(inner.seed).chain_update(inner.drawn.to_be_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
            inner.drawn += 1;
        }
        bytes
    }

    /// Keeps something for whoever has to understand a failure.
    pub fn keep(&self, exhibit: Exhibit) {
        self.inner().exhibits.push(Kept::Exhibit(exhibit));
    }

    /// Keeps text.
    pub fn note(&self, name: &str, text: impl Into<String>) {
        self.keep(Exhibit::text(name, text));
    }

    /// Keeps bytes.
    pub fn bytes(&self, name: &str, bytes: &[u8]) {
        let begin = bytes[..bytes.len().min(evidence::DUMPED)].to_vec();
        self.inner().exhibits.push(Kept::Bytes { name: name.to_owned(), begin, length: bytes.len() });
    }

    /// The number of a connection that begins.
    pub(crate) fn connection(&self) -> u16 {
        let mut inner = self.inner();
        inner.connections += 1;
        inner.connections - 1
    }

    /// Keeps what went over a connection; no bytes are the end of a direction.
    pub(crate) fn wire(&self, connection: u16, dialled: bool, sent: bool, bytes: &[u8]) {
        let mut inner = self.inner();
        inner.wire_bytes += bytes.len();
        if inner.wire_bytes <= WIRE_KEPT {
            let at = inner.began.elapsed();
            inner.wire.push(Piece { connection, dialled, sent, at, bytes: bytes.to_vec() });
        }
    }

    /// What was kept so far.
    pub(crate) fn exhibits(&self) -> Vec<Exhibit> {
        let inner = self.inner();
        let wire = (!inner.wire.is_empty()).then(|| Exhibit::wire(&inner.wire));
        let shown = |kept: &Kept| match kept {
            Kept::Exhibit(exhibit) => exhibit.clone(),
            Kept::Bytes { name, begin, length } => Exhibit::begin(name, begin, *length),
        };
        inner.exhibits.iter().map(shown).chain(wire).collect()
    }

    // A check that panicked while it held the lock leaves whole values behind, so poisoning is no news.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
