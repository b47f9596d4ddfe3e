//! Accepting channels and syncing over them, without a cloud: all that a bare P2P responder is.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{KeyRejected, Spki};
use meshproof_proto::handshake::Device;
use meshproof_proto::ticket::{Verifier, device_audience};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::sync::{Folder, Progress, Report, run_session, scan};
use crate::transport::{self, Connection};

/// How many connections are served at once; those above wait in the system's queue.
const CONNECTIONS: usize = 64;

/// Is told how each incoming session ended: with whom, if it got that far, and what it did.
pub type OnSession = dyn Fn(Option<Id>, &Result<Report>) + Send + Sync;

/// Answers other devices.
pub struct Responder {
    device: Arc<Device>,
    verifier: Mutex<Arc<Verifier>>,
    folders: Mutex<Vec<Arc<Folder>>>,
    progress: Arc<dyn Progress>,
    on_session: Box<OnSession>,
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
        Self {
            device,
            verifier: Mutex::new(Arc::new(verifier)),
            folders: Mutex::new(folders),
            progress: Arc::new(crate::sync::NoProgress),
            on_session: Box::new(|_, _| {}),
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

    /// Trusts other issuer keys from now on.
    pub fn set_verifier(&self, verifier: Verifier) {
        *self.verifier.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(verifier);
    }

    /// Serves other folders from now on.
    pub fn set_folders(&self, folders: Vec<Arc<Folder>>) {
        *self.folders.lock().unwrap_or_else(PoisonError::into_inner) = folders;
    }

    /// Accepts connections until `stop` is ready. Sessions under way go on to their end.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut sessions = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            let (slot, (stream, from)) = tokio::select! {
                () = &mut stop => return sessions.detach_all(),
                Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
                accepted = accepted => match accepted {
                    (Ok(slot), Ok(accepted)) => (slot, accepted),
                    (_, Err(error)) => {
                        // Out of file descriptors, most likely: others have to end first.
                        tracing::warn!("accepting a connection: {error}");
                        tokio::task::yield_now().await;
                        continue;
                    }
                    (Err(_), _) => return,
                },
            };
            let responder = self.clone();
            sessions.spawn(async move {
                responder.answer(stream, from).await;
                drop(slot);
            });
        }
    }

    /// One connection from accept to close.
    async fn answer(&self, stream: TcpStream, from: SocketAddr) {
        let verifier = self.verifier.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = transport::accept(stream, self.device.clone(), verifier).await;
        let (peer, result) = match connection {
            Ok(connection) => {
                let peer = connection.peer.device;
                let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner).clone();
                (Some(peer), sync(connection, folders, self.progress.clone()).await)
            }
            Err(error) => (None, Err(error)),
        };
        if let Err(error) = &result {
            let peer = peer.map(|peer| peer.to_string());
            tracing::warn!(%from, peer, requirement = error.requirement_id(), "session failed: {error}");
        }
        (self.on_session)(peer, &result);
    }
}

/// Scans the folders that the two devices share, then runs a session over the channel, in either role.
pub async fn sync(
    connection: Connection,
    folders: Vec<Arc<Folder>>,
    progress: Arc<dyn Progress>,
) -> Result<Report> {
    let session = move || {
        let mut skipped = Vec::new();
        for folder in &folders {
            if connection.peer.grounds.folders.iter().any(|shared| shared.folder == folder.id()) {
                let found = scan(folder, &*progress)?;
                skipped.extend(found.skipped.into_iter().map(|skipped| (folder.id(), skipped)));
            }
        }
        let mut report = run_session(connection, &folders, &*progress)?;
        report.skipped.splice(0..0, skipped);
        Ok(report)
    };
    tokio::task::spawn_blocking(session).await.unwrap_or(Err(Error::Peer("the session panicked")))
}
