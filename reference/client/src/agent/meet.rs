//! Opening a channel to a peer: at the addresses that it announced, several at once, and at a relay if none answers.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::handshake::{Refusal, Target, Vouched};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::ticket::{Verifier, device_audience};
use meshproof_proto::time::UnixTime;

use super::Agent;
use crate::backoff::Backoff;
use crate::cloud::Pair;
use crate::error::{Error, Result};
use crate::relay;
use crate::transport::{self, Connection, Outside, Race};

/// How long announced addresses have before the relay is tried beside them.
const HEAD_START: Duration = Duration::from_secs(2);

/// How long connecting and handshake may take at an address of a local network, and elsewhere, where their own limits end them
/// before.
const NEAR: Duration = Duration::from_secs(5);
const FAR: Duration = Duration::from_mins(1);

/// At how many relays it is tried to meet, if one after the other joins nobody.
const RELAYS: usize = 3;

/// How many addresses of the graph are tried.
const MOST: usize = 16;

/// A channel to a peer.
pub(super) struct Met {
    pub(super) connection: Connection,
    /// When the right to it ends.
    pub(super) ends: UnixTime,
    /// Whether it goes through a relay.
    pub(super) relayed: bool,
    /// The folders that its ticket names. A later one for this channel has to name them too (HSK-057).
    pub(super) folders: Vec<Id>,
    /// Those that the two devices share as well, for which the ticket had no room.
    pub(super) left: Vec<Id>,
}

impl Met {
    fn new(connection: Connection, pair: &Pair, vouched: &Vouched, relayed: bool) -> Self {
        let folders = vouched.grounds.folders.iter().map(|shared| shared.folder).collect();
        Self { connection, ends: vouched.ends, relayed, folders, left: pair.left.clone() }
    }
}

/// An address at which a peer may be.
struct Candidate {
    address: String,
    /// Whether it was seen on a local network.
    seen: bool,
}

/// What came of the ways to a peer.
enum Reached {
    Yes(Connection, bool),
    /// It wants another ticket.
    Again(Error),
    /// The last failure, if there was one.
    No(Option<Error>),
}

impl Agent {
    /// Opens a channel to a peer, if it is online, for these folders or the first of all that the two share.
    pub(super) async fn meet(&self, peer: Id, folders: Option<&[Id]>) -> Result<(String, Option<Met>)> {
        let mut last = None;
        // A ticket may end between its issue and its use: then a second one does.
        for _ in 0..2 {
            let (pair, vouched) = self.vouch(peer, folders).await?;
            match self.reach(peer, &pair, &vouched).await? {
                Reached::Yes(connection, relayed) => {
                    self.suites.established(peer, connection.peer.suite);
                    let met = Met::new(connection, &pair, &vouched, relayed);
                    return Ok((pair.name, Some(met)));
                }
                Reached::Again(error) => last = Some(error),
                // Announced and gone is offline; there and unwilling is a failure.
                Reached::No(None | Some(Error::Io { .. } | Error::Relay(_))) => {
                    return Ok((pair.name, None));
                }
                Reached::No(Some(error)) => return Err(error),
            }
        }
        Err(last.unwrap_or(Error::Peer("it refuses every ticket")))
    }

    /// Tries the addresses that a peer announces until there is a direct channel, at growing intervals.
    pub(super) async fn meet_directly(&self, peer: Id, folders: &[Id]) -> (String, Option<Met>) {
        let mut backoff = Backoff::default();
        loop {
            tokio::time::sleep(backoff.next(&mut crate::os_entropy)).await;
            match self.try_directly(peer, folders).await {
                Ok(Some(met)) => return met,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%peer, requirement = error.requirement_id(), "directly: {error}");
                }
            }
        }
    }

    async fn try_directly(&self, peer: Id, folders: &[Id]) -> Result<Option<(String, Option<Met>)>> {
        let addresses = self.with_seen(peer, &self.cloud()?.addresses(peer).await?);
        if addresses.is_empty() {
            return Ok(None);
        }
        let (pair, vouched) = self.vouch(peer, Some(folders)).await?;
        let mut direct = self.race(&addresses, &pair.target, &vouched)?;
        while let Some((address, opened)) = direct.next().await {
            match opened {
                Ok(connection) => {
                    self.suites.established(peer, connection.peer.suite);
                    let met = Met::new(connection, &pair, &vouched, false);
                    return Ok(Some((pair.name, Some(met))));
                }
                // Somebody else may be at this address.
                Err(error) => self.is_not_at(peer, &address, &error),
            }
        }
        Ok(None)
    }

    /// A pair ticket for a peer, and what it says.
    pub(super) async fn vouch(&self, peer: Id, folders: Option<&[Id]>) -> Result<(Pair, Vouched)> {
        let (cloud, device) = (self.cloud()?, self.device()?);
        let mut refreshed = false;
        loop {
            let mut pair = cloud.pair(peer, folders).await?;
            pair.target.floor = self.suites.floor(peer);
            if let (Some(lan), Some(key)) = (&*super::lock(&self.lan), &pair.lan_key) {
                lan.knows(peer, key.clone());
            }
            let (issuer, keys) = cloud.issuer().await?;
            let mut verifier = Verifier::new(device.provider(), device_audience(peer));
            verifier.trust(issuer, &keys).map_err(|_| Error::Cloud("the issuer's key".into()))?;
            match transport::grounds_of(&verifier, device, &pair.target) {
                // The issuer has a key that it had not at the last sign-in: it replaced a stolen one.
                Err(error) if error.requirement() == Some(req::TKT_021) && !refreshed => {
                    refreshed = true;
                    cloud.sign_in_again().await?;
                }
                decided => return Ok((pair, decided?)),
            }
        }
    }

    /// Tries all ways to a peer that has announced one, beside each other: who answers at one of them, or does not, keeps it from no
    /// other (HSK-064).
    async fn reach(&self, peer: Id, pair: &Pair, vouched: &Vouched) -> Result<Reached> {
        let addresses = self.with_seen(peer, &pair.addresses);
        if addresses.is_empty() {
            return Ok(Reached::No(None));
        }
        let mut direct = self.race(&addresses, &pair.target, vouched)?;
        let mut head_start = std::pin::pin!(tokio::time::sleep(HEAD_START));
        let mut relayed: Option<Relayed<'_>> = None;
        let (mut relay_tried, mut last) = (false, None);
        loop {
            let (way, opened) = tokio::select! {
                Some((address, opened)) = direct.next() => (Some(address), opened),
                opened = async {
                    match &mut relayed {
                        Some(relayed) => relayed.await,
                        None => pending().await,
                    }
                } => {
                    relayed = None;
                    (None, opened)
                }
                () = &mut head_start, if !relay_tried => {
                    (relay_tried, relayed) = (true, Some(self.relayed(peer, pair, vouched)));
                    continue;
                }
            };
            match opened {
                Ok(connection) => {
                    if let (Some(lan), Some(address)) = (&*super::lock(&self.lan), &way) {
                        lan.worked(peer, address);
                    }
                    return Ok(Reached::Yes(connection, way.is_none()));
                }
                Err(error) => {
                    self.is_not_at(peer, way.as_deref().unwrap_or("the relay"), &error);
                    if matches!(error, Error::Channel { refused: Some(Refusal::TicketExpired), .. }) {
                        return Ok(Reached::Again(error));
                    }
                    // That a peer is unwilling says more than that another of its addresses is not there.
                    let says_less = matches!(error, Error::Io { .. } | Error::Relay(_));
                    if last.is_none() || !says_less {
                        last = Some(error);
                    }
                    let somebody_else = matches!(last, Some(Error::Channel { refused: None, .. }));
                    if somebody_else && deviates(req::GPH_176) {
                        return Ok(Reached::No(last));
                    }
                }
            }
            if direct.is_over() && relayed.is_none() {
                // Only a refusal that authenticates is from the peer: somebody else may be at its address.
                let nobody_there =
                    matches!(last, None | Some(Error::Io { .. } | Error::Channel { refused: None, .. }));
                if relay_tried || !nobody_there {
                    return Ok(Reached::No(last));
                }
                (relay_tried, relayed) = (true, Some(self.relayed(peer, pair, vouched)));
            }
        }
    }

    /// Begins to try all of these addresses.
    fn race(&self, addresses: &[Candidate], target: &Target, vouched: &Vouched) -> Result<Race> {
        let patience = |candidate: &Candidate| if candidate.seen { NEAR } else { FAR };
        let addresses = addresses.iter().map(|candidate| (&candidate.address, patience(candidate)));
        Ok(Race::new(addresses, self.device()?, target, vouched))
    }

    /// Where a peer may be: as it announces to the graph, and then as seen on local networks, where anybody may say anything.
    fn with_seen(&self, peer: Id, announced: &[String]) -> Vec<Candidate> {
        let candidate = |seen| move |address| Candidate { address, seen };
        let mut candidates: Vec<_> = announced.iter().take(MOST).cloned().map(candidate(false)).collect();
        let seen = super::lock(&self.lan).as_ref().map(|lan| lan.addresses(peer)).unwrap_or_default();
        let seen = seen.into_iter().filter(|address| !announced.contains(address));
        candidates.extend(seen.map(candidate(true)));
        candidates
    }

    /// Remembers what was tried in vain.
    fn is_not_at(&self, peer: Id, way: &str, error: &Error) {
        tracing::debug!(%peer, way, requirement = error.requirement_id(), "{error}");
        if let Some(lan) = &*super::lock(&self.lan) {
            lan.failed(peer, way);
        }
    }

    /// A channel to the peer through the nearest relay of the cloud.
    fn relayed<'a>(&'a self, peer: Id, pair: &'a Pair, vouched: &'a Vouched) -> Relayed<'a> {
        Box::pin(async move {
            let cloud = self.cloud()?;
            let relays = cloud.relays().await?;
            let mut last = Error::Relay(meshproof_proto::relay::Refusal::Busy);
            let mut joined = None;
            for _ in 0..RELAYS {
                let Some(relay) = relay::nearest(&self.failed_relays.without(&relays, peer)).await else {
                    break;
                };
                let rendezvous = cloud.rendezvous(peer, &relay).await?;
                tracing::debug!(%peer, relay, circuit = %rendezvous.circuit, "waiting at a relay");
                match relay::join(&rendezvous.relay, &rendezvous.pass).await {
                    Ok(stream) => {
                        joined = Some((rendezvous, stream));
                        break;
                    }
                    Err(error) => {
                        let another_may_do = self.failed_relays.told(&relay, peer, &error);
                        last = error;
                        if !another_may_do || relays.len() < 2 {
                            break;
                        }
                    }
                }
            }
            let Some((rendezvous, stream)) = joined else { return Err(last) };
            let target = Target { rdv_token: rendezvous.token, ..pair.target.clone() };
            let device = self.device()?.clone();
            let connection =
                transport::initiate(stream, device, &target, vouched.clone(), Outside::default()).await?;
            Ok(Connection { relayed: true, ..connection })
        })
    }
}

type Relayed<'a> = Pin<Box<dyn Future<Output = Result<Connection>> + Send + 'a>>;
