//! A round: scan, find the peers, and sync with each that is online.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::time::UnixTime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::meet::Met;
use super::visits::{Owner, Wanted, visit};
use super::{Agent, CloudReport};
use crate::error::{Error, Result};
use crate::sync::journal::Link;
use crate::sync::{Folder, Progress, Report, ScanReport, Skipped, refresh};
use crate::transport::{Outgoing, ticket_ended};

/// How often a session whose ticket ended is gone on with under a new one.
const CONTINUATIONS: usize = 100;
/// How many folders a pair ticket has room for ([graph.md](../../../../spec/graph.md), section 3.1).
const PORTION: usize = 18;
/// How often the peers are gone round when one gave what others may lack.
const PASSES: usize = 3;
/// How long a round waits for its peers while this device is online. Sessions that take longer go on beside the next.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// What the scan left out.
    pub skipped: Vec<(Id, Skipped)>,
    /// Each peer, and how it went.
    pub peers: Vec<PeerRound>,
    /// What came of each folder that the cloud may hold.
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
    /// A session with it goes on, or it wants none now.
    Underway,
    /// It could not be reached a moment ago; it is tried again later.
    Waiting,
    /// It cannot be reached now.
    Offline,
    /// It was reached, and it failed.
    Failed(Error),
}

impl Round {
    /// Whether somebody needs to hear of it.
    pub(super) fn says_something(&self) -> bool {
        let idle = |report: &CloudReport| {
            report.entries
                + report.files
                + report.states
                + report.taken
                + report.files_received
                + report.deleted
                == 0
                && report.doubts.is_empty()
        };
        !self.skipped.is_empty()
            || !self.peers.is_empty()
            || self.cloud.iter().any(|(_, result)| !result.as_ref().is_ok_and(idle))
    }

    /// The first failure.
    pub fn failure(&self) -> Option<(&PeerRound, &Error)> {
        self.peers.iter().find_map(|peer| match &peer.outcome {
            Outcome::Failed(error) => Some((peer, error)),
            _ => None,
        })
    }
}

impl PeerRound {
    /// A peer whose name the graph did not tell.
    pub(super) fn unnamed(device: Id, outcome: Outcome) -> Self {
        Self { device, name: String::new(), outcome }
    }
}

/// Some of the folders that this device and a peer share, for which one ticket has room.
#[derive(Default)]
struct Portion {
    /// The peer's name.
    name: String,
    /// The folders: those to ask a ticket for, and then those that it names.
    folders: Option<Vec<Id>>,
    /// The other folders that the two share, once there was a session.
    left: Option<Vec<Id>>,
}

/// Where visits are asked for.
pub(super) type Visits = mpsc::UnboundedSender<Wanted>;

impl Agent {
    /// Scans all folders, syncs with every peer that is online, and gives the cloud what it wants, once.
    pub async fn sync_once(&self, progress: Arc<dyn Progress>) -> Result<Round> {
        let (visits, visiting, _late) = self.visits();
        tokio::select! {
            round = self.go_round(&visits, progress, false) => round,
            never = visiting => match never {},
        }
    }

    /// Where to ask for visits, who makes them, and what came of those that took longer than anybody waited.
    pub(super) fn visits(
        &self,
    ) -> (Visits, impl Future<Output = Infallible> + Send, mpsc::UnboundedReceiver<PeerRound>) {
        let (visits, wanted) = mpsc::unbounded_channel();
        let (late, late_ones) = mpsc::unbounded_channel();
        let begin = |peer, folders, progress| Box::pin(self.sync_and_tell(peer, folders, progress)) as _;
        (visits, visit(wanted, late, begin), late_ones)
    }

    /// One round. Who is `patient` leaves out those whose time to be tried again has not come (HSK-061), and waits for nobody
    /// for long.
    pub(super) async fn go_round(
        &self,
        visits: &Visits,
        progress: Arc<dyn Progress>,
        patient: bool,
    ) -> Result<Round> {
        self.lock()?;
        let folders = self.folders()?;
        let mut round = Round::default();
        for folder in &folders {
            let found = scan_on_thread(folder.clone(), progress.clone()).await?;
            round.skipped.extend(found.skipped.into_iter().map(|skipped| (folder.id(), skipped)));
        }
        let peers = self.peers(&folders).await?;
        let until = patient.then(|| Instant::now() + PATIENCE);
        for pass in 1..=PASSES {
            let results = self.pass(&peers, visits, &folders, &progress, until).await;
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
        if patient {
            self.cloud_news.notify_one(); // a task of its own does it: a change does not wait for the cloud
        } else {
            round.cloud = Box::pin(self.sync_with_cloud(&folders, &progress, false)).await;
        }
        self.save_session().await?;
        Ok(round)
    }

    async fn pass(
        &self,
        peers: &BTreeSet<Id>,
        visits: &Visits,
        folders: &[Arc<Folder>],
        progress: &Arc<dyn Progress>,
        until: Option<Instant>,
    ) -> Vec<PeerRound> {
        // Those that could not be reached come last.
        let mut order: Vec<Id> = peers.iter().copied().collect();
        order.sort_by_key(|device| self.retries.has_failed(*device));
        let wanted: Vec<_> = order
            .into_iter()
            .map(|device| {
                let due = until.is_none() || self.retries.is_due(device, Instant::now());
                (device, due.then(|| self.want(device, visits, folders, progress)))
            })
            .collect();
        let mut results = Vec::new();
        for (device, end) in wanted {
            let Some(end) = end else {
                results.push(PeerRound::unnamed(device, Outcome::Waiting));
                continue;
            };
            let ended = match until {
                Some(until) => timeout_at(until, end).await.ok(),
                None => Some(end.await),
            };
            let underway = || PeerRound::unnamed(device, Outcome::Underway);
            results.push(ended.and_then(std::result::Result::ok).unwrap_or_else(underway));
        }
        results
    }

    /// Asks for a visit. What comes of it is told to the receiver, or late if that is dropped before.
    fn want(
        &self,
        peer: Id,
        visits: &Visits,
        folders: &[Arc<Folder>],
        progress: &Arc<dyn Progress>,
    ) -> oneshot::Receiver<PeerRound> {
        self.retries.begun(peer, Instant::now());
        let (done, end) = oneshot::channel();
        let (owner, folders, progress) = (self.owner(peer), folders.to_vec(), progress.clone());
        let _ = visits.send(Wanted { peer, owner, folders, progress, done });
        end
    }

    /// Whose device a peer is, as the graph says.
    pub(super) fn owner(&self, peer: Id) -> Owner {
        let owners = super::lock(&self.owners);
        let own = self.device().ok().and_then(|device| owners.get(&device.id()));
        let user = owners.get(&peer).copied();
        Owner { user: user.unwrap_or(peer), is_own: user.is_some() && user.as_ref() == own }
    }

    /// Tries a peer again that could not be reached. What comes of it is told late.
    pub(super) fn retry(&self, peer: Id, visits: &Visits, progress: &Arc<dyn Progress>) {
        match self.folders() {
            Ok(folders) => drop(self.want(peer, visits, &folders, progress)),
            Err(_) => self.retries.failed(peer, Instant::now(), &mut crate::os_entropy),
        }
    }

    /// What was told late, if somebody needs to hear it: not that a peer is still offline.
    pub(super) async fn tell_late(&self, peer: PeerRound) -> Option<Result<Round>> {
        if matches!(peer.outcome, Outcome::Offline | Outcome::Underway) {
            return None;
        }
        let saved = self.save_session().await;
        Some(saved.map(|()| Round { peers: vec![peer], ..Round::default() }))
    }

    /// Syncs with one peer, and remembers whether it could be reached (HSK-061).
    async fn sync_and_tell(
        &self,
        device: Id,
        folders: Vec<Arc<Folder>>,
        progress: Arc<dyn Progress>,
    ) -> PeerRound {
        let (name, outcome) = self.sync_with(device, &folders, &progress).await.unwrap_or_else(|error| {
            tracing::warn!(peer = %device, requirement = error.requirement_id(), "{error}");
            (String::new(), Outcome::Failed(error))
        });
        match &outcome {
            Outcome::Offline | Outcome::Failed(_) => {
                self.retries.failed(device, Instant::now(), &mut crate::os_entropy);
            }
            Outcome::Synced(_) | Outcome::Underway | Outcome::Waiting => self.retries.worked(device),
        }
        PeerRound { device, name, outcome }
    }

    /// Learns who writes in these folders, before somebody comes: whoever gives its own changes has to give its card (SYN-061).
    pub(super) async fn learn_cards(&self, folders: &[Arc<Folder>]) -> Result<()> {
        let cloud = self.cloud()?;
        let (_, keys) = cloud.issuer().await?;
        for folder in folders {
            let learnt = async {
                let (cards, folder, keys) = (cloud.writers(folder.id()).await?, folder.clone(), keys.clone());
                on_thread(move || {
                    folder.trust(&keys);
                    folder.learn(cards)
                })
                .await
            };
            // What one folder lacks, that of a member who was removed for instance, is no matter of the others.
            if let Err(error) = learnt.await {
                tracing::warn!(folder = %folder.id(), requirement = error.requirement_id(), "its writers: {error}");
            }
        }
        Ok(())
    }

    /// The devices that have one of these folders too.
    pub(super) async fn peers(&self, folders: &[Arc<Folder>]) -> Result<BTreeSet<Id>> {
        let (cloud, own) = (self.cloud()?, self.device()?.id());
        let (_, keys) = cloud.issuer().await?;
        let (mut peers, mut owners) = (BTreeSet::new(), HashMap::new());
        for folder in folders {
            let mappings = cloud.mappings(folder.id()).await?;
            let devices: Vec<Id> = mappings.iter().map(|mapping| mapping.device).collect();
            owners.extend(mappings.iter().filter_map(|mapping| Some((mapping.device, mapping.user?))));
            peers.extend(&devices);
            let (folder, keys, cards) = (folder.clone(), keys.clone(), cloud.writers(folder.id()).await?);
            on_thread(move || {
                folder.set_devices(devices)?;
                folder.trust(&keys);
                folder.learn(cards)
            })
            .await?;
        }
        peers.remove(&own);
        *super::lock(&self.owners) = owners;
        super::lock(&self.known_peers).clone_from(&peers);
        self.retries.forget_others(&peers);
        if let Some(lan) = &*super::lock(&self.lan) {
            lan.forget_others(&peers);
        }
        Ok(peers)
    }

    /// Syncs with one peer: a session for each portion of the folders in common for which a ticket has room. One that fails keeps
    /// none of the others from its turn.
    async fn sync_with(
        &self,
        peer: Id,
        folders: &[Arc<Folder>],
        progress: &Arc<dyn Progress>,
    ) -> Result<(String, Outcome)> {
        let (mut sum, mut failure, mut portion) = (Report::default(), None, Portion::default());
        let mut had = BTreeSet::new();
        loop {
            match self.sync_portion(peer, &mut portion, folders, progress).await {
                Ok((_, Outcome::Synced(report))) => sum.extend(*report),
                Ok(other) => return Ok(other),
                Err(error) if portion.left.is_none() => return Err(error),
                Err(error) => failure = failure.or(Some(error)),
            }
            had.extend(portion.folders.take().unwrap_or_default());
            let here = |id: &Id| folders.iter().any(|folder| folder.id() == *id);
            let left = portion.left.take().unwrap_or_default().into_iter();
            let next: Vec<Id> = left.filter(|id| here(id) && !had.contains(id)).take(PORTION).collect();
            if next.is_empty() {
                let outcome = failure.map_or_else(|| Ok(Outcome::Synced(Box::new(sum))), Err);
                return outcome.map(|outcome| (portion.name, outcome));
            }
            had.extend(&next); // whatever the ticket names
            portion.folders = Some(next);
        }
    }

    /// Syncs a portion of the folders with one peer; goes on under a new ticket as long as the old one ended and it brought something,
    /// and on a direct channel as soon as there is one beside a relayed one (RLY-030).
    async fn sync_portion(
        &self,
        peer: Id,
        portion: &mut Portion,
        folders: &[Arc<Folder>],
        progress: &Arc<dyn Progress>,
    ) -> Result<(String, Outcome)> {
        let (sessions, mut sum, mut next) = (self.sessions()?, Report::default(), None);
        for attempt in 0.. {
            if sessions.has(peer) {
                return Ok((String::new(), Outcome::Underway));
            }
            let (name, met) = match next.take() {
                Some(met) => met,
                None => Box::pin(self.meet(peer, portion.folders.as_deref())).await?,
            };
            let Some(met) = met else { return Ok((name, Outcome::Offline)) };
            let Met { connection, ends, relayed, folders: named, left } = met;
            portion.name.clone_from(&name);
            portion.folders = Some(named.clone());
            portion.left = Some(left);
            let outgoing = connection.outgoing.clone();
            let begin = Instant::now();
            let session = sessions.run(connection, folders.to_vec(), progress.clone());
            let mut session = Box::pin(session);
            let mut renewing = Box::pin(self.keep_renewing(peer, &named, &outgoing, ends));
            let mut probing = Box::pin(self.meet_directly(peer, &named));
            let result = loop {
                tokio::select! {
                    result = &mut session => break result,
                    never = &mut renewing => match never {},
                    met = &mut probing, if relayed && next.is_none() => {
                        tracing::info!(%peer, "going on without the relay");
                        outgoing.finish();
                        next = Some(met);
                    }
                }
            };
            match result {
                Ok(report) => {
                    let (moved, shared) = (report.moved, report.folders.clone());
                    let link = Link {
                        peer,
                        time: crate::now().0,
                        way: if relayed { "relay" } else { "direct" }.into(),
                        received: report.bytes_received,
                        sent: report.bytes_sent,
                        millis: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
                    };
                    let index = self.index.clone();
                    on_thread(move || index.set_link(&link)).await?;
                    sum.add(report);
                    if next.is_some() {
                        continue;
                    }
                    if moved {
                        return Ok((name, Outcome::Underway));
                    }
                    let index = self.index.clone();
                    on_thread(move || {
                        shared.iter().try_for_each(|folder| index.set_synced(*folder, peer, crate::now().0))
                    })
                    .await?;
                    return Ok((name, Outcome::Synced(Box::new(sum))));
                }
                Err(error) if next.is_some() => tracing::info!(%peer, "at the relay: {error}"),
                Err(error) if ticket_ended(&error) && attempt < CONTINUATIONS => {
                    tracing::info!(%peer, "the ticket ended; going on with a new one");
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Peer("it never comes to an end"))
    }

    /// Sends a new ticket in time, again and again (HSK-055). Where none is to be had, the channel ends with its ticket.
    async fn keep_renewing(
        &self,
        peer: Id,
        folders: &[Id],
        outgoing: &Outgoing,
        mut ends: UnixTime,
    ) -> Infallible {
        loop {
            let left = ends.0.saturating_sub(crate::now().0);
            tokio::time::sleep(Duration::from_secs(left / 2)).await;
            match self.vouch(peer, Some(folders)).await {
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
                    (_, Outcome::Waiting) => {}
                    (outcome, later) => *outcome = later,
                },
            }
        }
    }
}

impl Report {
    /// Adds what came of other folders.
    fn extend(&mut self, mut other: Self) {
        other.folders.splice(0..0, self.folders.drain(..));
        other.skipped.splice(0..0, self.skipped.drain(..));
        self.add(other);
    }

    /// Adds a later session for the same folders.
    fn add(&mut self, later: Self) {
        self.folders = later.folders;
        self.files_received += later.files_received;
        self.bytes_received += later.bytes_received;
        self.bytes_sent += later.bytes_sent;
        self.deleted += later.deleted;
        self.moved = later.moved;
        self.conflicts.extend(later.conflicts);
        self.skipped = later.skipped;
    }
}

async fn scan_on_thread(folder: Arc<Folder>, progress: Arc<dyn Progress>) -> Result<ScanReport> {
    on_thread(move || refresh(&folder, &*progress)).await
}

/// What takes the lock of a folder or the index may wait for whoever holds it for minutes: not on the thread on which this device announces
/// itself, answers calls and renews tickets.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Peer("a thread panicked")))
}
