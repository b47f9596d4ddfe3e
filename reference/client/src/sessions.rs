//! The sessions that are under way. Two devices that dial each other at once get two channels; one of them stays, and both
//! devices know which (HSK-058).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::Result;
use crate::responder::sync;
use crate::sync::{Folder, Progress, Report};
use crate::transport::{Connection, Outgoing};

/// How long a session waits for one that ends because of it. What is late is done twice, and harms nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sessions of one device.
pub struct Sessions {
    own: Id,
    live: Mutex<HashMap<Id, Vec<Live>>>,
}

struct Live {
    /// Whether this device opened the channel.
    initiator: bool,
    outgoing: Outgoing,
    /// Its sender is dropped when the session has ended.
    ended: watch::Receiver<()>,
}

impl Sessions {
    /// Those of the device `own`, of which there are none yet.
    pub fn new(own: Id) -> Arc<Self> {
        Arc::new(Self { own, live: Mutex::default() })
    }

    /// Whether there is a session with a device.
    pub fn has(&self, peer: Id) -> bool {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&peer)
    }

    /// Scans the folders that the two devices share and runs a session over the channel, in either role. If it crosses with
    /// another that stays, it ends with a report that says `moved`.
    pub async fn run(
        &self,
        connection: Connection,
        folders: Vec<Arc<Folder>>,
        progress: Arc<dyn Progress>,
    ) -> Result<Report> {
        let outgoing = connection.outgoing.clone();
        let Some(turn) = self.enter(&connection) else {
            tracing::debug!(peer = %connection.peer.device, "another channel with this device stays");
            outgoing.close();
            return Ok(Report { moved: true, ..Report::default() });
        };
        for mut before in turn.before.iter().cloned() {
            let _ = timeout(PATIENCE, before.changed()).await;
        }
        sync(connection, folders, progress).await
    }

    /// HSK-058. `None`: the channel is the one that has to end.
    fn enter(&self, connection: &Connection) -> Option<Turn<'_>> {
        let (peer, initiator) = (connection.peer.device, connection.initiator);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let with_peer = live.entry(peer).or_default();
        let crossed = || with_peer.iter().filter(|other| other.initiator != initiator);
        let stays = initiator == (self.own < peer) || deviates(req::HSK_058);
        if !stays && crossed().next().is_some() {
            return None;
        }
        let mut before = Vec::new();
        if !deviates(req::HSK_058) {
            crossed().for_each(|other| other.outgoing.finish());
            before.extend(crossed().map(|other| other.ended.clone()));
        }
        let (ends, ended) = watch::channel(());
        with_peer.push(Live { initiator, outgoing: connection.outgoing.clone(), ended });
        Some(Turn { sessions: self, peer, ends, before })
    }
}

/// The place of a session among the others, until dropped.
struct Turn<'a> {
    sessions: &'a Sessions,
    peer: Id,
    ends: watch::Sender<()>,
    /// The ends of those that cross with it.
    before: Vec<watch::Receiver<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut live = self.sessions.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(with_peer) = live.get_mut(&self.peer) {
            with_peer.retain(|other| !other.ended.same_channel(&self.ends.subscribe()));
            if with_peer.is_empty() {
                live.remove(&self.peer);
            }
        }
    }
}
