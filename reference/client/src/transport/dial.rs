//! Opening and accepting channels.

use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::channel::Channel;
use meshproof_proto::handshake::{AwaitM1, Device, Suite, Target, Vouched};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::ticket::Verifier;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::drive::Driver;
use super::{BUDGET, Budget, Connection, Outgoing, Outside, Stream};
use crate::error::{Error, Result};

/// How many pieces of up to [`READ`] bytes wait for the session.
const INCOMING: usize = 16;
/// How long a TCP connection may take to be opened.
const CONNECT: Duration = Duration::from_secs(10);
/// How much later each further address of a device is tried.
const STAGGER: Duration = Duration::from_millis(250);
/// How long an initiator may take to say anything. It speaks first, so an honest one says it at once.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// What the own pair ticket gives the initiator (HSK-039).
pub fn grounds_of(verifier: &Verifier, device: &Device, target: &Target) -> Result<Vouched> {
    Ok(target.verify(device, verifier, crate::now())?)
}

/// Opens a channel to the device `target` at `address` (`host:port`). `vouched` is from [`grounds_of`].
pub async fn dial(
    address: &str,
    device: Arc<Device>,
    target: &Target,
    vouched: Vouched,
) -> Result<Connection> {
    let stream = connect(address).await?;
    let dialled = initiate(stream, device.clone(), target, vouched.clone(), Outside::default()).await;
    match dialled {
        // The mutant tries again with what everybody has.
        Err(error) if error.requirement() == Some(req::HSK_037) && deviates(req::HSK_036) => {
            let weaker = Target { floor: Suite::Baseline, ..target.clone() };
            initiate(connect(address).await?, device, &weaker, vouched, Outside::default()).await
        }
        dialled => dialled,
    }
}

/// Opens a channel to the device `target` at the other end of a stream.
pub async fn initiate(
    stream: impl Stream,
    device: Arc<Device>,
    target: &Target,
    vouched: Vouched,
    outside: Outside,
) -> Result<Connection> {
    let channel = Channel::initiate(device, target, vouched, outside.now(), Box::new(outside.entropy))?;
    establish(stream, channel, true, outside).await
}

async fn connect(address: &str) -> Result<TcpStream> {
    let failed = |source| Error::Io { what: format!("connecting to {address}"), source };
    let stream = timeout(CONNECT, TcpStream::connect(address))
        .await
        .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Tries several addresses of one device, each a little later than the one before: connecting and the handshake together, for only the
/// device can do the second.
pub struct Race(JoinSet<(String, Result<Connection>)>);

impl Race {
    /// Begins. Dropping it ends all attempts. Each address has a `patience`, beside the limits that hold anyway.
    pub fn new<'a>(
        addresses: impl IntoIterator<Item = (&'a String, Duration)>,
        device: &Arc<Device>,
        target: &Target,
        vouched: &Vouched,
    ) -> Self {
        let attempt = |(place, (address, patience)): (u32, (&String, Duration))| {
            let (address, device) = (address.clone(), device.clone());
            let (target, vouched) = (target.clone(), vouched.clone());
            async move {
                tokio::time::sleep(STAGGER * place).await;
                let dialled = timeout(patience, dial(&address, device, &target, vouched)).await;
                let dialled = dialled.unwrap_or_else(|_| {
                    let source = std::io::ErrorKind::TimedOut.into();
                    Err(Error::Io { what: format!("a handshake at {address}"), source })
                });
                (address, dialled)
            }
        };
        Self((0..).zip(addresses).map(attempt).collect())
    }

    /// The next that was established or failed. `None`: there are no more.
    pub async fn next(&mut self) -> Option<(String, Result<Connection>)> {
        loop {
            if let Ok(ended) = self.0.join_next().await? {
                return Some(ended);
            }
        }
    }

    /// Whether all were established or failed.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// Does the responder's part of the handshake on an accepted connection.
pub async fn accept(mut stream: impl Stream, start: AwaitM1, outside: Outside) -> Result<Connection> {
    // The deadline of HSK-005 runs from here.
    let mut channel = Channel::accept(start, outside.now(), Box::new(outside.entropy));
    let mut first = Vec::new();
    match timeout(FIRST_BYTE, stream.read_buf(&mut first)).await {
        Ok(Ok(1..)) => channel.handle_input(outside.now(), &first),
        Ok(Ok(0) | Err(_)) => channel.handle_fin(),
        Err(_) => return Err(Error::Peer("it connected and said nothing")),
    }
    establish(stream, channel, false, outside).await
}

async fn establish(
    stream: impl Stream,
    channel: Channel,
    initiator: bool,
    outside: Outside,
) -> Result<Connection> {
    let (established, done) = oneshot::channel();
    let (to_session, incoming) = mpsc::channel(INCOMING);
    let (commands, from_session) = mpsc::unbounded_channel();
    let (given_up, aborted) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let budget = Arc::new(Budget::new(BUDGET));
    let outgoing = Outgoing { commands, budget, given_up: given_up.clone(), aborted, pulse: Arc::default() };
    let driver = Driver::new(channel, outside, established, &outgoing);
    let driver = tokio::spawn(driver.run(stream, to_session, from_session));
    // Who tries several ways at once drops those that lost.
    let mut abandoned = Abandoned(Some(given_up));
    let established =
        done.await.unwrap_or(Err(Error::Peer("the connection was abandoned during the handshake")));
    abandoned.0 = None;
    let peer = match established {
        Ok(peer) => peer,
        Err(error) => {
            drop(incoming);
            if !initiator {
                // The socket of a failed handshake lives a little longer, and so does the caller's account of it.
                let _ = driver.await;
            }
            return Err(error);
        }
    };
    Ok(Connection { peer, initiator, relayed: false, incoming, outgoing })
}

/// Ends a connection whose handshake nobody waits for any more.
struct Abandoned(Option<Arc<Notify>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(given_up) = self.0.take() {
            given_up.notify_one();
        }
    }
}
