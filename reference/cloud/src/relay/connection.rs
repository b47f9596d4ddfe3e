//! One connection until it is joined: PINGs, JOIN, the wait for the other side.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::error::Error;
use meshproof_proto::relay::{ConnectionId, Joined, PASS, REQUEST_MAX, Refused, Reply, Request};
use meshproof_proto::requirement::{self as req, deviates};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::lobby::Place;
use super::net::Stream;
use super::{Shared, forward, refused};

/// How long a refused device has to close its side.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that waits or is joined. It leaves the switchboard when it is dropped.
pub(super) struct Leg<S> {
    pub(super) stream: S,
    pub(super) seat: Seat<S>,
}

/// The entry of a connection in the switchboard.
pub(super) struct Seat<S> {
    shared: Arc<Shared<S>>,
    pub(super) id: ConnectionId,
}

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        self.shared.inner().board.leave(self.id);
    }
}

/// Serves a connection to its end, or until the task of the other side takes it over.
pub(super) async fn serve<S: Stream>(shared: Arc<Shared<S>>, mut stream: S, place: Place) {
    stream.set_nodelay();
    let read = tokio::select! {
        read = timeout(shared.times.join, read_join(&mut stream)) => read,
        () = place.gone() => return turn_away(&mut stream, req::RLY_009.into()).await,
    };
    let pass = match read {
        Ok(Ok(Some(pass))) => pass,
        Ok(Ok(None)) => return, // it has gone
        Ok(Err(error)) => return refused(error),
        Err(_) => return refused(req::RLY_013.into()),
    };
    let Waiting { leg, told } = match join(&shared, stream, &pass) {
        Ok(waiting) => waiting,
        Err(None) => return, // the task of the other side has it now
        Err(Some((mut stream, why))) => return refuse(&mut stream, why).await,
    };
    drop(place);
    if let Some((leg, other)) = wait(&shared, leg, told).await {
        forward::circuit(&shared, [leg, other]).await;
    }
}

/// A connection that is alone, and how it gets the other side.
struct Waiting<S> {
    leg: Leg<S>,
    told: oneshot::Receiver<Leg<S>>,
}

/// Reads up to the pass and not one byte more: what follows is for the other device. `None`: the connection has ended.
async fn read_join<S: Stream>(stream: &mut S) -> Result<Option<[u8; PASS]>, Error> {
    let mut buffer = [0; REQUEST_MAX];
    let mut filled = 0;
    loop {
        match Request::read(&buffer[..filled])? {
            Ok(Request::Join(pass)) => return Ok(Some(pass)),
            Ok(Request::Ping(mut nonce)) => {
                if deviates(req::RLY_006) {
                    nonce = [0; 8]; // the mutant does not look
                }
                if stream.write_all(&Reply::Pong(nonce).encode()).await.is_err() {
                    return Ok(None);
                }
                filled = 0;
            }
            Err(missing) => match stream.read(&mut buffer[filled..filled + missing]).await {
                Ok(count) if count > 0 => filled += count,
                _ => return Ok(None),
            },
        }
    }
}

/// Asks the switchboard. `Err(None)`: this connection is with the other side now.
fn join<S: Stream>(
    shared: &Arc<Shared<S>>,
    stream: S,
    pass: &[u8; PASS],
) -> Result<Waiting<S>, Option<(S, Refused)>> {
    let id = shared.next_id();
    let now = shared.clock.now();
    let mut inner = shared.inner();
    let joined = match inner.board.join(now, id, pass) {
        Ok(joined) => joined,
        Err(why) => return Err(Some((stream, why))),
    };
    let leg = Leg { stream, seat: Seat { shared: shared.clone(), id } };
    match joined {
        Joined::Alone => {
            let (tell, told) = oneshot::channel();
            inner.waiting.insert(id, tell);
            Ok(Waiting { leg, told })
        }
        Joined::With(other) => {
            let unheard = match inner.waiting.remove(&other) {
                Some(tell) => tell.send(leg).err(),
                None => Some(leg),
            };
            drop(inner); // the seat of a leg that nobody took wants the lock
            drop(unheard);
            Err(None)
        }
    }
}

/// Waits for the other side. `None`: it did not come, and the connection has ended.
async fn wait<S: Stream>(
    shared: &Arc<Shared<S>>,
    mut leg: Leg<S>,
    mut told: oneshot::Receiver<Leg<S>>,
) -> Option<(Leg<S>, Leg<S>)> {
    if !deviates(req::RLY_010) {
        // That it has gone is seen below.
        let _ = leg.stream.write_all(&Reply::Waiting.encode()).await;
    }
    let mut drained = shared.drained.clone();
    let why = tokio::select! {
        biased;
        other = &mut told => return Some((leg, other.ok()?)),
        () = tokio::time::sleep(shared.times.wait) => Some(req::RLY_014),
        _ = drained.wait_for(|drained| *drained) => Some(req::RLY_020),
        () = hung_up(&mut leg.stream) => None,
    };
    if shared.inner().waiting.remove(&leg.seat.id).is_none() {
        return Some((leg, told.await.ok()?)); // it came in this very moment
    }
    if let Some(requirement) = why {
        refuse(&mut leg.stream, Refused::from(Error::from(requirement))).await;
    }
    None
}

/// Waits until the device closes. Once it has sent something for the other side this is not seen any more.
async fn hung_up<S: Stream>(stream: &mut S) {
    if matches!(stream.peek(&mut [0]).await, Ok(1..)) {
        std::future::pending::<()>().await;
    }
}

/// Says that there is no place (RLY-012), as far as that goes without waiting: there is none to wait at either.
pub(super) async fn turn_away<S: Stream>(stream: &mut S, error: Error) {
    let why = Refused::from(error);
    refused(error);
    if !deviates(req::RLY_012) {
        let bytes = Reply::Refused(why.refusal).encode();
        let mut said = std::pin::pin!(stream.write(&bytes));
        std::future::poll_fn(|cx| {
            let _ = said.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
}

async fn refuse<S: Stream>(stream: &mut S, Refused { refusal, error }: Refused) {
    refused(error);
    // Unread input would turn the last word into a reset.
    let saying = async {
        if !deviates(req::RLY_012) {
            stream.write_all(&Reply::Refused(refusal).encode()).await?;
        }
        stream.shutdown().await?;
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    if !matches!(timeout(FAREWELL, saying).await, Ok(Ok(()))) {
        tracing::debug!("relay: a device did not wait for its refusal");
    }
}

/// A circuit begins.
pub(super) async fn joined<S: Stream>(stream: &mut S) -> io::Result<()> {
    stream.write_all(&Reply::Joined.encode()).await
}
