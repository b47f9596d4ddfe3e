//! Opening a channel to a peer: at the addresses that it announced, several at once, and at a relay if none answers.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::handshake::{Refusal, Target, Vouched};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::ticket::{Verifier, device_audience};
use meshproof_proto::time::UnixTime;
use tokio::net::TcpStream;

use super::Agent;
use crate::backoff::Backoff;
use crate::cloud::Pair;
use crate::error::{Error, Result};
use crate::relay;
use crate::transport::{self, Connection, Outside, Race};

/// How long announced addresses have before the relay is tried beside them.
const HEAD_START: Duration = Duration::from_secs(2);

/// The `rdv_token` of a direct connection.
const DIRECT: [u8; 16] = [0; 16];

/// A channel to a peer.
pub(super) struct Met {
    pub(super) connection: Connection,
    /// When the right to it ends.
    pub(super) ends: UnixTime,
    /// Whether it goes through a relay.
    pub(super) relayed: bool,
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
    /// Opens a channel to a peer, if it is online.
    pub(super) async fn meet(&self, peer: Id) -> Result<(String, Option<Met>)> {
        let mut last = None;
        // A ticket may end between its issue and its use: then a second one does.
        for _ in 0..2 {
            let (pair, vouched) = self.vouch(peer).await?;
            match self.reach(peer, &pair, &vouched).await? {
                Reached::Yes(connection, relayed) => {
                    self.suites.established(peer, connection.peer.suite);
                    return Ok((pair.name, Some(Met { connection, ends: vouched.ends, relayed })));
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
    pub(super) async fn meet_directly(&self, peer: Id) -> (String, Option<Met>) {
        let mut backoff = Backoff::default();
        loop {
            tokio::time::sleep(backoff.next(&mut crate::os_entropy)).await;
            match self.try_directly(peer).await {
                Ok(Some(met)) => return met,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%peer, requirement = error.requirement_id(), "directly: {error}");
                }
            }
        }
    }

    async fn try_directly(&self, peer: Id) -> Result<Option<(String, Option<Met>)>> {
        let addresses = self.cloud()?.addresses(peer).await?;
        let mut direct = Race::new(&self.with_seen(peer, &addresses));
        while let Some((_, connected)) = direct.next().await {
            let Ok(stream) = connected else { continue };
            let (pair, vouched) = self.vouch(peer).await?;
            let (device, ends) = (self.device()?.clone(), vouched.ends);
            match transport::initiate(stream, device, &pair.target, vouched, Outside::default()).await {
                Ok(connection) => {
                    return Ok(Some((pair.name, Some(Met { connection, ends, relayed: false }))));
                }
                // Somebody else may be at this address.
                Err(error) => tracing::debug!(%peer, requirement = error.requirement_id(), "{error}"),
            }
        }
        Ok(None)
    }

    /// A pair ticket for a peer, and what it says.
    pub(super) async fn vouch(&self, peer: Id) -> Result<(Pair, Vouched)> {
        let (cloud, device) = (self.cloud()?, self.device()?);
        let mut refreshed = false;
        loop {
            let mut pair = cloud.pair(peer).await?;
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

    /// Tries all ways to a peer that has announced one: whichever connects first is tried first.
    async fn reach(&self, peer: Id, pair: &Pair, vouched: &Vouched) -> Result<Reached> {
        let addresses = self.with_seen(peer, &pair.addresses);
        if addresses.is_empty() {
            return Ok(Reached::No(None));
        }
        let mut direct = Race::new(&addresses);
        let mut head_start = std::pin::pin!(tokio::time::sleep(HEAD_START));
        let mut relayed: Option<Relayed<'_>> = None;
        let (mut relay_tried, mut last) = (false, None);
        loop {
            let (way, connected) = tokio::select! {
                Some((address, connected)) = direct.next() => {
                    (address, connected.map(|stream| (stream, DIRECT)))
                }
                connected = async {
                    match &mut relayed {
                        Some(relayed) => relayed.await,
                        None => pending().await,
                    }
                } => {
                    relayed = None;
                    ("the relay".into(), connected)
                }
                () = &mut head_start, if !relay_tried => {
                    (relay_tried, relayed) = (true, Some(self.relayed(peer)));
                    continue;
                }
            };
            let mut at_relay = false;
            let opened = match connected {
                Ok((stream, rdv_token)) => {
                    at_relay = rdv_token != DIRECT;
                    let target = Target { rdv_token, ..pair.target.clone() };
                    let device = self.device()?.clone();
                    transport::initiate(stream, device, &target, vouched.clone(), Outside::default()).await
                }
                Err(error) => Err(error),
            };
            match opened {
                Ok(connection) => return Ok(Reached::Yes(connection, at_relay)),
                Err(error) => {
                    tracing::debug!(%peer, way, requirement = error.requirement_id(), "{error}");
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
                (relay_tried, relayed) = (true, Some(self.relayed(peer)));
            }
        }
    }

    /// Where a peer may be: as seen on local networks (HSK-064), and as it announces to the graph.
    fn with_seen(&self, peer: Id, announced: &[String]) -> Vec<String> {
        let mut addresses =
            super::lock(&self.lan).as_ref().map(|lan| lan.addresses(peer)).unwrap_or_default();
        let more = announced.iter().filter(|address| !addresses.contains(address)).cloned();
        let more: Vec<String> = more.collect();
        addresses.extend(more);
        addresses
    }

    /// A stream to the peer through the nearest relay of the cloud, and the token of the rendezvous.
    fn relayed(&self, peer: Id) -> Relayed<'_> {
        Box::pin(async move {
            let cloud = self.cloud()?;
            let relays = cloud.relays().await?;
            let Some(relay) = relay::nearest(&relays).await else {
                return Err(Error::Relay(meshproof_proto::relay::Refusal::Busy));
            };
            let rendezvous = cloud.rendezvous(peer, &relay).await?;
            tracing::debug!(%peer, relay, circuit = %rendezvous.circuit, "waiting at a relay");
            let stream = relay::join(&rendezvous.relay, &rendezvous.pass).await?;
            Ok((stream, rendezvous.token))
        })
    }
}

type Relayed<'a> = Pin<Box<dyn Future<Output = Result<(TcpStream, [u8; 16])>> + Send + 'a>>;
