//! Accepting channels and syncing over them, without a cloud: all that a bare P2P responder is.

use std::future::Future;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{KeyRejected, Spki};
use meshproof_proto::handshake::guard::{Guard, SharedGuard};
use meshproof_proto::handshake::{AwaitM1, CurrentVerifier, Device};
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::ticket::{Verifier, device_audience};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::SuiteBook;
use crate::admission::{Admission, Guarded, Limits, Place, source};
use crate::error::{Error, Result};
use crate::sessions::Sessions;
use crate::sync::{Folder, Progress, Report, refresh, run_session};
use crate::transport::{self, Connection, Outside, Stream};

/// How long to leave the system alone when it could not accept: it is out of file descriptors, most likely.
const RECOVERY: Duration = Duration::from_millis(100);

/// Whom the device trusts at the moment.
struct Trusted(Mutex<Arc<Verifier>>);

impl CurrentVerifier for Trusted {
    fn current(&self) -> Arc<Verifier> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Is told how each incoming session ended: with whom, if it got that far, and what it did.
pub type OnSession = dyn Fn(Option<Id>, &Result<Report>) + Send + Sync;

/// Answers other devices.
pub struct Responder {
    outside: Outside,
    device: Arc<Device>,
    verifier: Arc<Trusted>,
    folders: Mutex<Vec<Arc<Folder>>>,
    progress: Arc<dyn Progress>,
    on_session: Box<OnSession>,
    admission: Admission,
    guard: Arc<dyn SharedGuard>,
    suites: Arc<SuiteBook>,
    sessions: Arc<Sessions>,
}

/// A verifier for pair tickets to `device`, by this issuer with its one or two keys.
pub fn pair_verifier(device: &Device, issuer: &str, keys: &[Spki]) -> Result<Verifier, KeyRejected> {
    let mut verifier = Verifier::new(device.provider(), device_audience(device.id()));
    verifier.trust(issuer, keys)?;
    Ok(verifier)
}

impl Responder {
    /// A responder for these folders. `verifier` has the device as audience: see [`pair_verifier`].
    pub fn new(device: Arc<Device>, verifier: Verifier, folders: Vec<Arc<Folder>>) -> Self {
        let limits = Limits::default();
        let outside = Outside::default();
        Self {
            outside,
            guard: guard(&device, &limits, outside),
            suites: Arc::default(),
            sessions: Sessions::new(device.id()),
            device,
            verifier: Arc::new(Trusted(Mutex::new(Arc::new(verifier)))),
            folders: Mutex::new(folders),
            progress: Arc::new(crate::sync::NoProgress),
            on_session: Box::new(|_, _| {}),
            admission: Admission::new(limits),
        }
    }

    /// Watches all sessions and scans.
    #[must_use]
    pub fn with_progress(self, progress: Arc<dyn Progress>) -> Self {
        Self { progress, ..self }
    }

    /// Is told of every session's end.
    #[must_use]
    pub fn on_session(
        self,
        on_session: impl Fn(Option<Id>, &Result<Report>) + Send + Sync + 'static,
    ) -> Self {
        Self { on_session: Box::new(on_session), ..self }
    }

    /// Serves so many connections at once, instead of [`Limits::default`].
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let guard = guard(&self.device, &limits, self.outside);
        Self { admission: Admission::new(limits), guard, ..self }
    }

    /// Takes clock and random numbers from elsewhere. To be said before [`with_limits`](Self::with_limits).
    #[must_use]
    pub fn with_outside(self, outside: Outside) -> Self {
        Self { outside, guard: guard(&self.device, &Limits::default(), outside), ..self }
    }

    /// Remembers suites here, and not in this object alone.
    #[must_use]
    pub fn with_suites(self, suites: Arc<SuiteBook>) -> Self {
        Self { suites, ..self }
    }

    /// Shares sessions with whoever opens channels for the same device (HSK-058).
    #[must_use]
    pub fn with_sessions(self, sessions: Arc<Sessions>) -> Self {
        Self { sessions, ..self }
    }

    /// Trusts other issuer keys from now on, also on the channels that are open (HSK-054).
    pub fn set_verifier(&self, verifier: Verifier) {
        *self.verifier.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(verifier);
    }

    /// Serves other folders from now on.
    pub fn set_folders(&self, folders: Vec<Arc<Folder>>) {
        *self.folders.lock().unwrap_or_else(PoisonError::into_inner) = folders;
    }

    /// Accepts connections until `stop` is ready. Sessions under way go on to their end.
    ///
    /// Accepting never waits for a connection that was accepted before: one above the limits is closed at once.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut sessions = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let (stream, from) = tokio::select! {
                () = &mut stop => return sessions.detach_all(),
                Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
                accepted = accept(&listener) => accepted,
            };
            let responder = self.clone();
            sessions.spawn(async move { responder.answer_direct(stream, from).await });
        }
    }

    /// Answers a connection from this address, if there is a place for it.
    pub async fn answer_direct(&self, stream: impl Stream, from: SocketAddr) {
        let Some(place) = self.admission.half_open(from.ip()) else {
            tracing::debug!(%from, "closed: too many connections that are not authenticated");
            return;
        };
        let start = self.start(source(from.ip()).to_string().into_bytes());
        self.answer(stream, from, place, start, false).await;
    }

    /// Answers a device of the user `caller`, for which the graph gave out `rdv_token`, at the relay that `join` leads to, if there is a
    /// place for it: a user has those of a source, whichever devices, relays and circuits call.
    pub async fn answer_call<S: Stream>(
        &self,
        caller: Id,
        rdv_token: [u8; 16],
        join: impl Future<Output = Result<(S, SocketAddr)>>,
    ) {
        let Some(place) = self.admission.called(caller) else {
            tracing::debug!(peer = %caller, "not answered: too many connections that are not authenticated");
            return;
        };
        let joined = tokio::select! {
            joined = join => joined,
            () = place.gone() => return tracing::debug!(peer = %caller, "not answered: others called"),
        };
        match joined {
            Ok((stream, relay)) => {
                let start = self.start(caller.0.to_vec()).relayed(rdv_token);
                self.answer(stream, relay, place, start, true).await;
            }
            Err(error) => tracing::debug!(peer = %caller, "answering at a relay: {error}"),
        }
    }

    /// One connection from accept to close.
    async fn answer<K: Copy + Eq + Hash>(
        &self,
        stream: impl Stream,
        from: SocketAddr,
        half_open: Place<K>,
        start: AwaitM1,
        relayed: bool,
    ) {
        let connection = tokio::select! {
            connection = transport::accept(stream, start, self.outside) => connection,
            () = half_open.gone() => {
                return tracing::debug!(%from, "closed: it was not authenticated when others came");
            }
        };
        if let Ok(connection) = &connection {
            self.suites.established(connection.peer.device, connection.peer.suite);
        }
        let (peer, result) = match connection {
            Ok(connection) => {
                let connection = Connection { relayed, ..connection };
                (Some(connection.peer.device), self.converse(connection, half_open).await)
            }
            Err(error) => (None, Err(error)),
        };
        if let Err(error) = &result {
            let peer = peer.map(|peer| peer.to_string());
            tracing::warn!(%from, peer, requirement = error.requirement_id(), "session failed: {error}");
        }
        (self.on_session)(peer, &result);
    }

    /// The begin of a handshake on a connection from `source`.
    fn start(&self, source: Vec<u8>) -> AwaitM1 {
        AwaitM1::new(self.device.clone(), self.verifier.current())
            .trusting(self.verifier.clone())
            .behind(self.guard.clone(), source)
            .remembering(self.suites.clone())
    }

    /// A session with a device that has authenticated, if there is a place for it. Until it has one it keeps that which it had before.
    async fn converse<K: Copy + Eq + Hash>(
        &self,
        connection: Connection,
        half_open: Place<K>,
    ) -> Result<Report> {
        let grounds = &connection.peer.grounds;
        let user = grounds.initiator_user.unwrap_or(connection.peer.device);
        let Some(_place) = self.admission.session(user, grounds.user.is_some()) else {
            // Without a place there is no socket either.
            let Connection { incoming, outgoing, .. } = connection;
            drop(incoming);
            outgoing.abort();
            outgoing.ended().await;
            return Err(Error::usage("too many sessions at once; the peer has to come again"));
        };
        drop(half_open);
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.sessions.run(connection, folders, self.progress.clone()).await
    }
}

fn guard(device: &Device, limits: &Limits, mut outside: Outside) -> Arc<dyn SharedGuard> {
    let guard = Guard::new(device.provider(), limits.allowance, &mut outside.entropy);
    Arc::new(Guarded(Mutex::new(guard)))
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!("accepting a connection: {error}");
                tokio::time::sleep(RECOVERY).await;
            }
        }
    }
}

/// Looks at the folders that the two devices share, then runs a session over the channel, in either role.
pub async fn sync(
    connection: Connection,
    folders: Vec<Arc<Folder>>,
    progress: Arc<dyn Progress>,
) -> Result<Report> {
    let outgoing = connection.outgoing.clone();
    let session = move || {
        let mut skipped = Vec::new();
        for folder in &folders {
            if connection.peer.grounds.folders.iter().any(|shared| shared.folder == folder.id()) {
                let found = refresh(folder, &*progress)?;
                skipped.extend(found.skipped.into_iter().map(|skipped| (folder.id(), skipped)));
            }
        }
        let mut report = run_session(connection, &folders, &*progress)?;
        report.skipped.splice(0..0, skipped);
        Ok(report)
    };
    let mut session = tokio::task::spawn_blocking(session);
    let stalled = tokio::select! {
        ended = &mut session => return ended.unwrap_or(Err(Error::Peer("the session panicked"))),
        () = outgoing.pulse().stops() => demand(false, req::HSK_066),
    };
    outgoing.give_up();
    let ended = session.await.unwrap_or(Err(Error::Peer("the session panicked")));
    stalled?;
    ended
}
