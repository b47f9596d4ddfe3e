//! A device at a relay (`spec/relay.md`): which one is near, and a stream to the other device through it.

use std::time::Duration;

use meshproof_proto::relay::{PASS, Refusal, Reply, Request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::transport::Stream;

/// How long a relay may take to be reached and to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait at a relay for the other device. It was told at once, if it is there.
const WAIT: Duration = Duration::from_secs(10);

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
    let mut reply = read_reply(relay, &mut stream, ANSWER).await?;
    if reply == Reply::Waiting {
        reply = read_reply(relay, &mut stream, WAIT).await?;
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
    match read_reply(relay, &mut stream, ANSWER).await? {
        Reply::Pong(answer) if answer == nonce => Ok(()),
        _ => Err(Error::Peer("a relay did not answer a ping")),
    }
}

/// Reads a reply and not one byte more.
async fn read_reply(relay: &str, stream: &mut (impl AsyncRead + Unpin), patience: Duration) -> Result<Reply> {
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
        Err(_) => Err(Error::Relay(Refusal::Alone)),
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
