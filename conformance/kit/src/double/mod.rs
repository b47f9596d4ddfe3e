//! All that a client talks to, played by the kit: a cloud with its services, a relay, and another device of the same
//! user. It is honest, but for the one thing that a check changes in its [`Plan`], and remembers what it [`Seen`].
//!
//! | file | what it plays |
//! |---|---|
//! | [`tls`], [`http`] | an HTTPS server that can answer as no library would |
//! | [`cloud`] | identity and account service, and who may do what |
//! | [`graph`] | graph and storage service, as far as a device needs them |
//! | [`device`] | the other device, directly and behind a relay |
//!
//! The double serves one user, one folder and one client; its own device is X of
//! [`PeerFixture`](crate::target::fixture::PeerFixture).

mod cloud;
mod device;
mod graph;
pub mod http;
mod states;
pub mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::check::{Context, Stop};
use crate::oracle::crypto::hex;
use crate::oracle::sync::Entry;
use crate::oracle::ticket::TicketFields;
use crate::vectors::fixtures::{ISSUER_A, ISSUER_EVIL, Key};
use cloud::World;
pub use cloud::{AUDIENCE, Proof};
pub use device::Act;
use http::{Reply, Request};
pub use tls::Certificate;

/// The user's name at the double.
pub const USER: &str = "kit-user";
/// The user's password there.
pub const PASSWORD: &str = "correct horse battery";

/// The file that the double's device has from the beginning.
pub const WELCOME: &str = "welcome";

/// How long what has to happen at once may take on a machine that does other things too: a program has more to do than to
/// answer. Less where the run has little patience, for it knows that nothing will happen.
fn patience(context: &Context) -> Duration {
    (4 * context.targets().patience.0).min(Duration::from_secs(10))
}

/// Changes an answer before it is sent.
pub type Edit = Arc<dyn Fn(&Request, &mut Reply) + Send + Sync>;

/// What the double does otherwise than an honest cloud and device would.
#[derive(Clone)]
pub struct Plan {
    /// Changes a pair ticket before it is signed.
    pub ticket: Arc<dyn Fn(&mut TicketFields) + Send + Sync>,
    /// Whether somebody else signs the pair tickets.
    pub forged: bool,
    /// Changes an answer.
    pub answer: Edit,
    /// Where the double says that its device is.
    pub places: Vec<Place>,
    /// What its device does.
    pub act: Act,
}

/// Where a device may be said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where it is.
    Here,
    /// Where another device answers.
    Stranger,
    /// Where nobody listens.
    Nobody,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            ticket: Arc::new(|_| {}),
            forged: false,
            answer: Arc::new(|_, _| {}),
            places: vec![Place::Here],
            act: Act::Honest,
        }
    }
}

/// What the double saw of the client.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests to the cloud, in order, each as `GET /mesh`, with the status of its answer.
    pub requests: Vec<(String, u16)>,
    /// Requests to another server, which the client has no reason to send any.
    pub strays: Vec<String>,
    /// Connections to the double's device, directly or through the relay.
    pub calls: usize,
    /// Those of them that came through the relay.
    pub relayed: usize,
    /// Connections to the stranger.
    pub stranger: usize,
    /// What became of each session of the device that has ended: what it found wrong, if it did.
    pub sessions: Vec<Result<(), String>>,
    /// The client's index, of the last session.
    pub index: Vec<Entry>,
    /// The contents that the client gave, by their hashes.
    pub contents: BTreeMap<[u8; 32], Vec<u8>>,
    /// The media that the client put into the cloud, by their hashes.
    pub media: BTreeMap<String, Vec<u8>>,
    /// The states and heads that the client put, in order, each as `entries/<id>` or `heads/<id>`.
    pub put: Vec<(String, Vec<u8>)>,
    /// How the client proved its key.
    pub proofs: Vec<Proof>,
    /// How many endless answers the client took to the end of the kit's patience.
    pub endless: usize,
}

impl Seen {
    /// How often such a request came.
    pub fn count(&self, line: &str) -> usize {
        self.requests.iter().filter(|(seen, _)| seen == line).count()
    }

    /// How often a request came that begins and ends so.
    pub fn like(&self, begin: &str, end: &str) -> usize {
        self.requests.iter().filter(|(seen, _)| seen.starts_with(begin) && seen.ends_with(end)).count()
    }
}

/// What all parts of the double share.
struct Shared {
    context: Context,
    plan: Mutex<Plan>,
    world: Mutex<World>,
    seen: Mutex<Seen>,
    here: SocketAddr,
    stranger: SocketAddr,
    nobody: SocketAddr,
    relay: SocketAddr,
    /// How many connections to the device are open.
    open: watch::Sender<usize>,
}

/// The double, until it is dropped.
pub struct Double {
    /// The cloud's URL, without a slash at its end.
    pub url: String,
    /// The address of another server, for which the client trusts the same authority, as `127.0.0.1:4000`.
    pub elsewhere: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
    /// Bound, and not listening.
    _nobody: TcpSocket,
}

impl Double {
    /// An honest one.
    pub async fn start(context: &Context) -> Result<Self, Stop> {
        Self::start_with(context, Certificate::Good).await
    }

    /// One with such a certificate.
    pub async fn start_with(context: &Context, certificate: Certificate) -> Result<Self, Stop> {
        let [cloud, elsewhere, here, stranger, relay] =
            [listen().await?, listen().await?, listen().await?, listen().await?, listen().await?];
        let nobody = TcpSocket::new_v4()?;
        nobody.bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("no port on which nobody listens")?;
        let (url, other) = (format!("https://{}", cloud.local_addr()?), elsewhere.local_addr()?.to_string());
        let shared = Arc::new(Shared {
            context: context.clone(),
            plan: Mutex::default(),
            world: Mutex::new(World::new(context)),
            seen: Mutex::default(),
            here: here.local_addr()?,
            stranger: stranger.local_addr()?,
            nobody: nobody.local_addr()?,
            relay: relay.local_addr()?,
            open: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        let (service, endless) = (shared.clone(), shared.clone());
        tasks.spawn(http::serve(
            cloud,
            tls::server(certificate)?,
            move |request| service.answer(request),
            move || endless.seen().endless += 1,
        ));
        let stray = shared.clone();
        let answer_stray = move |request: &Request| {
            stray.seen().strays.push(request.line());
            Reply::problem(404, "no-such-node", "GPH-004")
        };
        tasks.spawn(http::serve(elsewhere, tls::server(Certificate::Good)?, answer_stray, || {}));
        tasks.spawn(device::listen(shared.clone(), here));
        tasks.spawn(device::relay(shared.clone(), relay));
        tasks.spawn(device::stranger(shared.clone(), stranger));
        Ok(Self { url, elsewhere: other, shared, _tasks: tasks, _nobody: nobody })
    }

    /// Changes what the double does from now on.
    pub fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut lock(&self.shared.plan));
    }

    /// Changes answers from now on, in addition.
    pub fn and_edit(&self, edit: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) {
        let before = self.shared.plan().answer;
        self.edit(move |request, reply| {
            before(request, reply);
            edit(request, reply);
        });
    }

    /// Changes answers from now on, and no others.
    pub fn edit(&self, edit: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) {
        self.plan(|plan| plan.answer = Arc::new(edit));
    }

    /// The content of [`WELCOME`].
    pub fn welcome(&self) -> Vec<u8> {
        lock(&self.shared.world).welcome.clone()
    }

    /// Offers something else in its place, be it what cannot be.
    pub fn offer_instead(&self, entry: Entry, content: &[u8]) {
        let mut world = lock(&self.shared.world);
        world.entries = vec![entry];
        world.contents.insert(*blake3::hash(content).as_bytes(), content.to_vec());
    }

    /// Has the cloud hold the bytes of the folder, which it does not at first.
    pub fn store_bytes(&self) {
        lock(&self.shared.world).stores = true;
    }

    /// Shows a state in the cloud, whoever put which before.
    pub fn show_state(&self, entry: [u8; 16], state: Vec<u8>) {
        let mut world = lock(&self.shared.world);
        world.changes += 1;
        let change = world.changes;
        world.states.insert(hex(&entry), (change, state));
    }

    /// Shows a head in the cloud.
    pub fn show_head(&self, device: [u8; 16], head: Vec<u8>) {
        lock(&self.shared.world).heads.insert(hex(&device), head);
    }

    /// Has the cloud give these bytes as the content of a hash.
    pub fn hold(&self, hash: [u8; 32], bytes: &[u8]) {
        lock(&self.shared.world).held.insert(hex(&hash), bytes.to_vec());
    }

    /// Forgets what was seen.
    pub fn look_away(&self) {
        *self.shared.seen() = Seen::default();
    }

    /// What was seen, once nobody is connected to the device any more.
    pub async fn seen(&self) -> Seen {
        let mut open = self.shared.open.subscribe();
        // Whoever stays connected has been seen, too.
        let _ = tokio::time::timeout(patience(&self.shared.context), open.wait_for(|open| *open == 0)).await;
        let seen = self.shared.seen().clone();
        let requests: Vec<String> =
            seen.requests.iter().map(|(line, status)| format!("{status} {line}")).collect();
        self.shared.context.note("requests", requests.join("\n"));
        self.shared.context.note(
            "what the device saw",
            format!(
                "{} calls, {} of them through the relay; {} to a stranger; {} requests to another server; sessions {:?}",
                seen.calls,
                seen.relayed,
                seen.stranger,
                seen.strays.len(),
                seen.sessions
            ),
        );
        seen
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    fn plan(&self) -> Plan {
        lock(&self.plan).clone()
    }

    /// Where the device is said to be.
    fn addresses(&self) -> Vec<String> {
        let address = |place: &Place| match place {
            Place::Here => self.here.to_string(),
            Place::Stranger => self.stranger.to_string(),
            Place::Nobody => self.nobody.to_string(),
        };
        self.plan().places.iter().map(address).collect()
    }

    /// Who signs pair tickets.
    fn signer(&self) -> &'static Key {
        if self.plan().forged { &ISSUER_EVIL } else { &ISSUER_A }
    }
}

async fn listen() -> Result<TcpListener, Stop> {
    Ok(TcpListener::bind("127.0.0.1:0").await.context("no port to listen on")?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
