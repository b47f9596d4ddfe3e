//! A round: scan, find the peers, and sync with each that is online.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::time::UnixTime;

use super::{Agent, CloudReport};
use crate::error::{Error, Result};
use crate::responder;
use crate::sync::{Folder, Progress, Report, ScanReport, Skipped, scan};
use crate::transport::{Outgoing, ticket_ended};

/// How often a session whose ticket ended is gone on with under a new one.
const CONTINUATIONS: usize = 100;
/// How often the peers are gone round when one gave what others may lack.
const PASSES: usize = 3;

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// What the scan left out.
    pub skipped: Vec<(Id, Skipped)>,
    /// Each peer, and how it went.
    pub peers: Vec<PeerRound>,
    /// What the cloud got of each folder that it may hold.
    pub cloud: Vec<(Id, Result<CloudReport>)>,
}

/// One peer of a round.
#[derive(Debug)]
pub struct PeerRound {
    /// The device.
    pub device: Id,
    /// Its name, if the graph told.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
}

/// How it went with a peer.
#[derive(Debug)]
pub enum Outcome {
    /// Both are in sync, apart from what the report lists.
    Synced(Box<Report>),
    /// It cannot be reached now.
    Offline,
    /// It was reached, and it failed.
    Failed(Error),
}

impl Round {
    /// The first failure.
    pub fn failure(&self) -> Option<(&PeerRound, &Error)> {
        self.peers.iter().find_map(|peer| match &peer.outcome {
            Outcome::Failed(error) => Some((peer, error)),
            _ => None,
        })
    }
}

impl Agent {
    /// Scans all folders, syncs with every peer that is online, and gives the cloud what it wants, once.
    pub async fn sync_once(&self, progress: Arc<dyn Progress>) -> Result<Round> {
        self.lock()?;
        let folders = self.folders()?;
        let mut round = Round::default();
        for folder in &folders {
            let found = scan_on_thread(folder.clone(), progress.clone()).await?;
            round.skipped.extend(found.skipped.into_iter().map(|skipped| (folder.id(), skipped)));
        }
        let peers = self.peers(&folders).await?;
        for pass in 1..=PASSES {
            let results = self.pass(&peers, &folders, &progress).await;
            let received = results.iter().any(|peer| match &peer.outcome {
                Outcome::Synced(report) => report.files_received + report.deleted > 0,
                _ => false,
            });
            round.absorb(results);
            // What one peer gave, another may lack.
            if pass == PASSES || !received || peers.len() < 2 {
                break;
            }
        }
        round.cloud = self.copy_to_cloud(&folders).await;
        self.save_session().await?;
        Ok(round)
    }

    async fn pass(
        &self,
        peers: &BTreeSet<Id>,
        folders: &[Arc<Folder>],
        progress: &Arc<dyn Progress>,
    ) -> Vec<PeerRound> {
        let mut results = Vec::new();
        for device in peers {
            let (name, outcome) = match self.sync_with(*device, folders, progress).await {
                Ok((name, Some(report))) => (name, Outcome::Synced(Box::new(report))),
                Ok((name, None)) => (name, Outcome::Offline),
                Err(error) => {
                    tracing::warn!(peer = %device, requirement = error.requirement_id(), "{error}");
                    (String::new(), Outcome::Failed(error))
                }
            };
            results.push(PeerRound { device: *device, name, outcome });
        }
        results
    }

    /// The devices that have one of these folders too.
    pub(super) async fn peers(&self, folders: &[Arc<Folder>]) -> Result<BTreeSet<Id>> {
        let (cloud, own) = (self.cloud()?, self.device()?.id());
        let mut peers = BTreeSet::new();
        for folder in folders {
            let devices: Vec<Id> =
                cloud.mappings(folder.id()).await?.into_iter().map(|mapping| mapping.device).collect();
            peers.extend(&devices);
            folder.set_devices(devices)?;
        }
        peers.remove(&own);
        Ok(peers)
    }

    /// Syncs with one peer; goes on under a new ticket as long as the old one ended and it brought something. The
    /// report is `None` if the peer is not online.
    async fn sync_with(
        &self,
        peer: Id,
        folders: &[Arc<Folder>],
        progress: &Arc<dyn Progress>,
    ) -> Result<(String, Option<Report>)> {
        for attempt in 0.. {
            let (name, connection) = self.meet(peer).await?;
            let Some((connection, ends)) = connection else { return Ok((name, None)) };
            let outgoing = connection.outgoing.clone();
            let session = responder::sync(connection, folders.to_vec(), progress.clone());
            let result = tokio::select! {
                result = session => result,
                never = self.keep_renewing(peer, outgoing, ends) => match never {},
            };
            match result {
                Err(error) if ticket_ended(&error) && attempt < CONTINUATIONS => {
                    tracing::info!(%peer, "the ticket ended; going on with a new one");
                }
                Err(error) => return Err(error),
                Ok(report) => {
                    for folder in folders.iter().filter(|folder| report.folders.contains(&folder.id())) {
                        folder.index().set_synced(folder.id(), peer, crate::now().0)?;
                    }
                    return Ok((name, Some(report)));
                }
            }
        }
        Err(Error::Peer("it never comes to an end"))
    }

    /// Sends a new ticket in time, again and again (HSK-055). Where none is to be had, the channel ends with its ticket.
    async fn keep_renewing(&self, peer: Id, outgoing: Outgoing, mut ends: UnixTime) -> Infallible {
        loop {
            let left = ends.0.saturating_sub(crate::now().0);
            tokio::time::sleep(Duration::from_secs(left / 2)).await;
            match self.vouch(peer).await {
                Ok((pair, vouched)) => {
                    ends = vouched.ends;
                    outgoing.renew(pair.target.ticket, vouched);
                }
                Err(error) => {
                    tracing::warn!(%peer, requirement = error.requirement_id(), "renewing the ticket: {error}");
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        }
    }
}

impl Round {
    /// Adds a later pass.
    fn absorb(&mut self, results: Vec<PeerRound>) {
        for result in results {
            match self.peers.iter_mut().find(|before| before.device == result.device) {
                None => self.peers.push(result),
                Some(before) => match (&mut before.outcome, result.outcome) {
                    (Outcome::Synced(sum), Outcome::Synced(report)) => sum.add(*report),
                    (outcome, later) => *outcome = later,
                },
            }
        }
    }
}

impl Report {
    fn add(&mut self, later: Self) {
        self.files_received += later.files_received;
        self.bytes_received += later.bytes_received;
        self.bytes_sent += later.bytes_sent;
        self.deleted += later.deleted;
        self.conflicts.extend(later.conflicts);
        self.skipped = later.skipped;
    }
}

async fn scan_on_thread(folder: Arc<Folder>, progress: Arc<dyn Progress>) -> Result<ScanReport> {
    let scanned = tokio::task::spawn_blocking(move || scan(&folder, &*progress)).await;
    scanned.unwrap_or(Err(Error::Peer("the scan panicked")))
}
