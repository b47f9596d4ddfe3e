//! Being online: listening, saying in the graph where, and going round the peers now and then.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::codec::Id;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Agent, CloudReport, Outcome, PeerRound, Round};
use crate::error::{Error, Result};
use crate::lan::Lan;
use crate::responder::Responder;
use crate::sync::Progress;
use crate::sync::journal::Link;

/// How long an announcement holds, in seconds. It is renewed after half of it.
const TTL: u32 = 120;

/// How soon a change is tried again that a peer was too busy for; twice as long each time.
const BUSY: Duration = Duration::from_secs(1);

type CloudRound<'a> = Pin<Box<dyn Future<Output = Vec<(Id, Result<CloudReport>)>> + Send + 'a>>;

/// How long the cloud is left alone at least.
const REST: Duration = Duration::from_millis(500);

/// How often it is looked whether there is something new to announce on local networks.
const LAN_TICK: Duration = Duration::from_secs(10);

/// How long what is new on local networks is not looked at after it was.
const LAN_NEWS: Duration = Duration::from_secs(5);

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What to announce, as `host:port`; found out if empty.
    pub advertise: Vec<String>,
    /// How often folders are scanned and peers dialled. `None`: only peers that come are answered.
    pub interval: Option<Duration>,
    /// Finds peers on local networks, and is found there (HSK-065).
    pub lan: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        let listen = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { listen, advertise: Vec::new(), interval: Some(Duration::from_mins(1)), lan: false }
    }
}

impl Agent {
    /// Is online until `stop` is ready: answers peers, and goes round them. `online` is called with the address as
    /// soon as peers can come, `on_round` after each round.
    pub async fn serve(
        &self,
        options: ServeOptions,
        progress: Arc<dyn Progress>,
        online: impl FnOnce(SocketAddr) + Send,
        mut on_round: impl FnMut(Result<Round>) + Send,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        self.lock()?;
        let device = self.device()?.clone();
        let responder = Responder::new(device.clone(), self.verifier().await?, self.folders()?);
        let index = self.index.clone();
        let responder = responder
            .with_suites(self.suites.clone())
            .with_sessions(self.sessions()?.clone())
            .with_progress(progress.clone())
            .on_session(move |peer, result| {
                if let (Some(peer), Ok(report)) = (peer, result)
                    && !report.moved
                {
                    let time = crate::now().0;
                    for folder in &report.folders {
                        let _ = index.set_synced(*folder, peer, time);
                    }
                    let (received, sent) = (report.bytes_received, report.bytes_sent);
                    let _ = index.set_link(&Link {
                        peer,
                        time,
                        way: "incoming".into(),
                        received,
                        sent,
                        millis: 0,
                    });
                }
            });
        let responder = Arc::new(responder);
        let failed = |source| Error::Io { what: format!("listening on {}", options.listen), source };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut addresses = options.advertise;
        if addresses.is_empty() {
            addresses.push(self.reachable(address).to_string());
        }
        let cloud = self.cloud()?;
        self.learn_cards(&self.folders()?).await?;
        let calls = self.listen_for_calls().await;
        cloud.announce(device.id(), &addresses, TTL).await?;
        self.save_session().await?;

        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let accepting = tokio::spawn(responder.clone().serve(listener, async move {
            let _ = stopped.await;
        }));
        online(address);
        let announcing = async {
            let mut tick = tokio::time::interval(Duration::from_secs(u64::from(TTL / 2)));
            tick.tick().await;
            loop {
                tick.tick().await;
                let renewed = async {
                    cloud.announce(device.id(), &addresses, TTL).await?;
                    responder.set_verifier(self.verifier().await?); // the issuer may have changed its key
                    responder.set_folders(self.folders()?);
                    self.save_session().await
                };
                if let Err(error) = renewed.await {
                    tracing::warn!(requirement = error.requirement_id(), "announcing this device: {error}");
                }
            }
        };
        let on_lan = self.on_lan(options.lan, address);
        let changed = Notify::new();
        let (visits, visiting, mut late) = self.visits();
        let (tell_cloud, mut cloud_rounds) = mpsc::unbounded_channel();
        let going_round = async {
            let Some(interval) = options.interval else { return std::future::pending().await };
            // After a change: how long to wait for a peer that was busy with a session from before it.
            let mut busy_for = None;
            loop {
                let round = self.go_round(&visits, progress.clone(), true).await;
                let is_busy = |peer: &PeerRound| matches!(peer.outcome, Outcome::Underway);
                busy_for =
                    busy_for.filter(|_| round.as_ref().is_ok_and(|round| round.peers.iter().any(is_busy)));
                on_round(round);
                let next = Instant::now() + busy_for.map_or(interval, |wait: Duration| wait.min(interval));
                // Meanwhile those that could not be reached, each when its time comes.
                loop {
                    tokio::select! {
                        () = sleep_until(next) => {
                            busy_for = busy_for.map(|wait| wait * 2);
                            break;
                        }
                        () = changed.notified() => {
                            self.cloud_news.notify_one();
                            busy_for = Some(BUSY);
                            break;
                        }
                        peer = self.retries.next_due() => self.retry(peer, &visits, &progress),
                        Some(round) = cloud_rounds.recv() => on_round(round),
                        Some(peer) = late.recv() => {
                            if let Some(round) = self.tell_late(peer).await {
                                on_round(round);
                            }
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = stop => {}
            () = announcing => {}
            () = on_lan => {}
            () = self.answer_calls(calls, &responder) => {}
            () = going_round => {}
            never = self.meet_cloud(options.interval, &progress, &tell_cloud) => match never {},
            never = visiting => match never {},
            never = self.watch(&progress, &changed, options.interval.is_none()) => match never {},
        }
        *super::lock(&self.lan) = None;
        drop(stopping);
        let _ = accepting.await;
        // So that nobody tries in vain until the announcement ends by itself.
        if let Err(error) = cloud.announce(device.id(), &[], 1).await {
            tracing::debug!("taking the announcement back: {error}");
        }
        self.save_session().await
    }

    /// Syncs with the cloud whenever there may be something to give or take, beside the peers and not in their way.
    async fn meet_cloud(
        &self,
        interval: Option<Duration>,
        progress: &Arc<dyn Progress>,
        tell: &mpsc::UnboundedSender<Result<Round>>,
    ) -> Infallible {
        loop {
            self.cloud_news.notified().await;
            if interval.is_none() {
                continue; // this device only answers
            }
            let begin = Instant::now();
            let round = match self.folders() {
                Ok(folders) => {
                    let syncing = self.sync_with_cloud(&folders, progress, true);
                    let cloud = (Box::pin(syncing) as CloudRound<'_>).await;
                    self.save_session().await.map(|()| Round { cloud, ..Round::default() })
                }
                Err(error) => Err(error),
            };
            if round.as_ref().map_or(true, Round::says_something) {
                let _ = tell.send(round);
            }
            // What was put is news, too: so it ends, and the cloud has some rest.
            tokio::time::sleep(begin.elapsed().clamp(REST, Duration::from_secs(5))).await;
        }
    }

    /// Announces the listener on local networks, and tries peers that are seen there.
    async fn on_lan(&self, wanted: bool, listening: SocketAddr) {
        let (tell, mut news) = mpsc::unbounded_channel();
        let started = match self.device() {
            Ok(device) if wanted => {
                let found = move |peer| {
                    let _ = tell.send(peer);
                };
                Lan::start(self.provider, device.id(), listening, found).map(Arc::new)
            }
            _ => return std::future::pending().await,
        };
        let lan = match started {
            Ok(lan) => lan,
            Err(error) => {
                tracing::warn!("{error}");
                return std::future::pending().await;
            }
        };
        *super::lock(&self.lan) = Some(lan.clone());
        let mut tick = tokio::time::interval(LAN_TICK);
        loop {
            if let Err(error) = lan.announce() {
                tracing::debug!("{error}");
            }
            tokio::select! {
                _ = tick.tick() => {}
                Some(peer) = news.recv() => {
                    // Anybody can make news there: of each peer what comes meanwhile is one.
                    let mut seen = BTreeSet::from([peer]);
                    tokio::time::sleep(LAN_NEWS).await;
                    while let Ok(peer) = news.try_recv() {
                        seen.insert(peer);
                    }
                    for peer in seen {
                        tracing::debug!(%peer, "seen on the local network");
                        self.retries.seen(peer, Instant::now());
                    }
                }
            }
        }
    }

    /// An address under which others may find a listener: the one that this device has on its way to the cloud, if it
    /// listens on all.
    fn reachable(&self, listening: SocketAddr) -> SocketAddr {
        if !listening.ip().is_unspecified() {
            return listening;
        }
        let towards_cloud = || -> Option<IpAddr> {
            let url = reqwest::Url::parse(self.config.cloud.as_ref()?).ok()?;
            let cloud = (url.host_str()?.trim_matches(['[', ']']), url.port_or_known_default()?);
            let to = cloud.to_socket_addrs().ok()?.find(|to| to.is_ipv4() == listening.is_ipv4())?;
            // Nothing is sent: a UDP socket only looks up the route.
            let socket = UdpSocket::bind((listening.ip(), 0)).ok()?;
            socket.connect(to).ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        SocketAddr::new(towards_cloud().unwrap_or(listening.ip()), listening.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::NoProgress;

    /// Compiles only if an embedder can spawn the agent's work.
    #[test]
    fn the_agents_futures_can_be_spawned() {
        fn spawnable<T: Send>(_: &T) {}
        let home = tempfile::tempdir().unwrap();
        let agent = Agent::open(home.path()).unwrap();
        let progress = || Arc::new(NoProgress);
        spawnable(&agent.serve(ServeOptions::default(), progress(), |_| {}, |_| {}, std::future::pending()));
        spawnable(&agent.sync_once(progress()));
        assert!(agent.device().is_err() && agent.cloud().is_err());
    }
}
