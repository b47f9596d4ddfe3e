//! The relay service (`spec/relay.md`): joins connections of devices that cannot reach each other.
//!
//! ```text
//!  accept --> connection: JOIN, a look at the switchboard
//!                |  \-- the other side waits: its task takes both sockets --> forward
//!                \----- alone: waits for the other side, 30 s
//! ```
//!
//! A shell around `meshproof_proto::relay`: it needs the relay key, and neither database, tickets nor certificates. An idle
//! circuit is one task without a buffer; who reads borrows one from its thread.

mod connection;
mod forward;
mod keys;
mod lobby;
mod net;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::relay::{ACCOUNT_CONNECTIONS, ConnectionId, Limits, Switchboard};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::config::Config;
use crate::state::Clock;
use crate::{Error, health, metrics};
use connection::Leg;
pub(crate) use keys::load as load_keys;
use lobby::Lobby;
pub use net::{Listener, Stream};

/// How long the system gets when it has no descriptors left.
const BREATH: Duration = Duration::from_millis(50);

/// A running relay. Dropping it ends it at once; [`RunningRelay::shutdown`] drains.
#[derive(Debug)]
pub struct RunningRelay {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The address to which its passes are bound: as devices know it.
    pub address: String,
    /// Where metrics and health are served, if the relay runs alone; else the other services do it.
    pub operations: Option<SocketAddr>,
    draining: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Serves metrics and health.
    operator: Option<JoinHandle<()>>,
}

/// Starts the relay of this configuration, and if there is no other service in it the operator's listener. When this returns it
/// accepts connections.
pub async fn start_relay(config: &Config) -> Result<RunningRelay, Error> {
    let failed = |source| Error::Listen { addr: config.relay.listen, source };
    let listener = TcpListener::bind(config.relay.listen).await.map_err(failed)?;
    let mut running = start_relay_on(config, listener)?;
    if let Some(listen) = config.operations.listen.filter(|_| config.is_only_a_relay()) {
        let (address, operator) = health::start_for_relay(running.draining.subscribe(), listen).await?;
        (running.operations, running.operator) = (Some(address), Some(operator));
    }
    Ok(running)
}

/// The same on a listener that is there, in whatever network.
pub fn start_relay_on<L: Listener>(config: &Config, listener: L) -> Result<RunningRelay, Error> {
    if let Some((key, what)) = config.check().into_iter().next() {
        return Err(Error::Configuration(format!("{key}: {what}")));
    }
    crate::state::make_directory(&config.data)?;
    let keys = load_keys(config)?;
    let settings = &config.relay;
    let failed = |source| Error::Listen { addr: settings.listen, source };
    let addr = listener.local_addr().map_err(failed)?;
    let address = if settings.address.is_empty() { addr.to_string() } else { settings.address.clone() };
    let limits = Limits {
        connections: settings.connections,
        account_connections: ACCOUNT_CONNECTIONS,
        quota: settings.quota,
        rate: settings.rate,
    };
    let (draining, drained) = watch::channel(false);
    let shared = Arc::new(Shared {
        inner: Mutex::new(Inner {
            board: Switchboard::new(DEFAULT, keys, address.clone(), limits),
            waiting: HashMap::new(),
        }),
        lobby: Lobby::default(),
        next: AtomicU64::new(0),
        began: Instant::now(),
        clock: config.clock.clone(),
        times: Times { join: settings.join, wait: settings.wait, idle: settings.idle },
        drain: settings.drain,
        drained: drained.clone(),
    });
    let task = tokio::spawn(accept(shared, listener, drained));
    Ok(RunningRelay { addr, address, operations: None, draining, task, operator: None })
}

impl RunningRelay {
    /// Tells those who wait, gives circuits their time, and ends.
    pub async fn shutdown(mut self) {
        self.draining.send_replace(true);
        // It was aborted or has panicked: there is nothing to wait for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(operator) = &self.operator {
            operator.abort();
        }
    }
}

/// What all connections share.
struct Shared<S> {
    inner: Mutex<Inner<S>>,
    lobby: Lobby,
    next: AtomicU64,
    began: Instant,
    clock: Arc<dyn Clock>,
    times: Times,
    drain: Duration,
    drained: watch::Receiver<bool>,
}

/// What changes together.
struct Inner<S> {
    board: Switchboard,
    /// Those who wait, and how their tasks get the other side.
    waiting: HashMap<ConnectionId, oneshot::Sender<Leg<S>>>,
}

#[derive(Clone, Copy)]
struct Times {
    join: Duration,
    wait: Duration,
    idle: Duration,
}

impl<S> Shared<S> {
    // Who panicked while it held the lock left whole values behind.
    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

async fn accept<L: Listener>(
    shared: Arc<Shared<L::Stream>>,
    listener: L,
    mut drained: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut end = None;
    loop {
        if end.is_some() && shared.inner().board.connections() == 0 {
            break;
        }
        let ended = async { tokio::time::sleep_until(end.unwrap_or_else(tokio::time::Instant::now)).await };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((mut stream, from)) => {
                    // Who comes when the lobby is full is sent away: RLY-009.
                    match shared.lobby.enter(from.ip()) {
                        Ok(place) => drop(connections.spawn(connection::serve(shared.clone(), stream, place))),
                        Err(error) => connection::turn_away(&mut stream, error).await,
                    }
                }
                Err(error) => {
                    tracing::warn!("the relay cannot accept: {error}");
                    tokio::time::sleep(BREATH).await;
                }
            },
            Some(_) = connections.join_next() => {}
            Ok(()) = drained.changed(), if end.is_none() => {
                shared.inner().board.drain();
                end = Some(tokio::time::Instant::now() + shared.drain);
            }
            () = ended, if end.is_some() => break,
        }
    }
    connections.shutdown().await;
}

/// Counts and logs.
fn refused(error: meshproof_proto::error::Error) {
    if let Some(requirement) = error.requirement() {
        metrics::refusal(requirement.id);
        tracing::info!(requirement = requirement.id, "relay: {}", requirement.error);
    }
}
