//! A device at a relay (`spec/relay.md`): which one is near, and a stream to the other device through it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::relay::{PASS, Refusal, Reply, Request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::error::{Error, Result};
use crate::transport::Stream;

/// How long a relay may take to be reached and to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait at a relay for the other device. It was told at once, if it is there.
const WAIT: Duration = Duration::from_secs(10);

/// How long a relay is left out that joined nobody, where there are others.
const LEFT_OUT: Duration = Duration::from_mins(10);

/// The relays at which something failed: for all devices, if it was the relay's own affair (relay.md, section 5: "takes another relay");
/// for one, if that did not come, for which it or the relay may be the reason.
#[derive(Default)]
pub struct Failed(Mutex<HashMap<(String, Option<Id>), Instant>>);

impl Failed {
    /// Those of these relays that are to be tried with a device: all, if each failed.
    pub fn without(&self, relays: &[String], peer: Id) -> Vec<String> {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|(relay, _), since| relays.contains(relay) && since.elapsed() < LEFT_OUT);
        let works = |relay: &&String| {
            [None, Some(peer)].into_iter().all(|peer| !failed.contains_key(&((*relay).clone(), peer)))
        };
        let left: Vec<String> = relays.iter().filter(works).cloned().collect();
        if left.is_empty() { relays.to_vec() } else { left }
    }

    /// What came of meeting a device at a relay. Whether another may do at once: it was the relay's own affair that it failed.
    pub fn told(&self, relay: &str, peer: Id, error: &Error) -> bool {
        let blames = match error {
            Error::Relay(refusal) => match refusal {
                Refusal::Unknown | Refusal::Busy | Refusal::Draining => true,
                Refusal::Expired | Refusal::Taken | Refusal::Quota | Refusal::Alone => false,
            },
            Error::Io { .. } | Error::Peer(_) => true,
            _ => false,
        };
        if blames || matches!(error, Error::Relay(Refusal::Alone)) {
            let whom = (!blames).then_some(peer);
            let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            failed.insert((relay.to_owned(), whom), Instant::now());
        }
        blames
    }
}

/// Which of these relays, as `host:port`, answers first. `None`: none does.
pub async fn nearest(relays: &[String]) -> Option<String> {
    if let [only] = relays {
        return Some(only.clone());
    }
    let mut asked: JoinSet<Option<String>> = relays
        .iter()
        .cloned()
        .map(|relay| async move { ping(&relay).await.is_ok().then_some(relay) })
        .collect();
    while let Some(answer) = asked.join_next().await {
        if let Ok(Some(relay)) = answer {
            return Some(relay);
        }
    }
    None
}

/// Joins with a pass. What is read and written afterwards is the other device's.
pub async fn join(relay: &str, pass: &[u8; PASS]) -> Result<TcpStream> {
    let stream = within(ANSWER, relay, TcpStream::connect(relay)).await?;
    let _ = stream.set_nodelay(true);
    join_over(stream, relay, pass).await
}

/// The same over a stream to the relay that is there.
pub async fn join_over<S: Stream>(mut stream: S, relay: &str, pass: &[u8; PASS]) -> Result<S> {
    within(ANSWER, relay, stream.write_all(&Request::Join(*pass).encode())).await?;
    // Who says nothing is no relay that works; who says WAITING may have nobody to join.
    let silent =
        Error::Io { what: format!("the relay {relay}"), source: std::io::ErrorKind::TimedOut.into() };
    let mut reply = read_reply(relay, &mut stream, ANSWER, silent).await?;
    if reply == Reply::Waiting {
        reply = read_reply(relay, &mut stream, WAIT, Error::Relay(Refusal::Alone)).await?;
    }
    match reply {
        Reply::Joined => Ok(stream),
        Reply::Refused(refusal) => Err(Error::Relay(refusal)),
        _ => Err(Error::Peer("a relay said what it does not say here")),
    }
}

async fn ping(relay: &str) -> Result<()> {
    let mut nonce = [0; 8];
    crate::os_entropy(&mut nonce);
    let mut stream = within(ANSWER, relay, TcpStream::connect(relay)).await?;
    within(ANSWER, relay, stream.write_all(&Request::Ping(nonce).encode())).await?;
    match read_reply(relay, &mut stream, ANSWER, Error::Peer("a relay did not answer a ping")).await? {
        Reply::Pong(answer) if answer == nonce => Ok(()),
        _ => Err(Error::Peer("a relay did not answer a ping")),
    }
}

/// Reads a reply and not one byte more.
async fn read_reply(
    relay: &str,
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
    silent: Error,
) -> Result<Reply> {
    let reading = async {
        let mut bytes = Vec::new();
        loop {
            match Reply::read(&bytes) {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(missing)) => {
                    let from = bytes.len();
                    bytes.resize(from + missing, 0);
                    stream.read_exact(&mut bytes[from..]).await.map_err(|error| failed(relay, error))?;
                }
                Err(_) => return Err(Error::Peer("it is no relay")),
            }
        }
    };
    match timeout(patience, reading).await {
        Ok(reply) => reply,
        Err(_) => Err(silent),
    }
}

async fn within<T>(
    patience: Duration,
    relay: &str,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T> {
    let done = timeout(patience, work).await.unwrap_or(Err(std::io::ErrorKind::TimedOut.into()));
    done.map_err(|error| failed(relay, error))
}

fn failed(relay: &str, source: std::io::Error) -> Error {
    Error::Io { what: format!("the relay {relay}"), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_failed_is_left_out_while_there_are_others() {
        let (failed, both) = (Failed::default(), ["near:1".to_owned(), "far:1".to_owned()]);
        let (peer, other) = (Id([1; 16]), Id([2; 16]));
        assert!(!failed.told("near:1", peer, &Error::Relay(Refusal::Alone)), "the other may not be there");
        assert_eq!(failed.without(&both, peer), both[1..]);
        assert_eq!(failed.without(&both, other), both);
        assert!(failed.told("near:1", peer, &Error::Relay(Refusal::Draining)));
        assert_eq!(failed.without(&both, other), both[1..]);
        assert_eq!(failed.without(&both[..1], other), both[..1], "there is no other");
        failed.told("far:1", peer, &Error::Peer("it is no relay"));
        assert_eq!(failed.without(&both, other), both);
        tokio::time::advance(LEFT_OUT).await;
        failed.told("far:1", peer, &Error::Relay(Refusal::Busy));
        assert_eq!(failed.without(&both, peer), both[..1], "it is over");
    }
}
