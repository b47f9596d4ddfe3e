//! A device that accepts connections: the kit dials it and plays the initiator.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::fixture::PeerFixture;
use crate::check::{Context, Stop, Verdict};
use crate::edit::Message;
use crate::oracle::handshake::read::may_be_asked;
use crate::oracle::handshake::{Ephemeral, Initiator, M1, M1Fields, Names, Reply, SUITE};

/// No more is made room for before it came: who waits for the end of a connection would take a mebibyte each time.
const READ_AT_ONCE: usize = 1 << 14;

/// Where the device under test is. [`PeerFixture`] says how it is set up.
#[derive(Clone, Debug)]
pub struct PeerTarget {
    /// Where it accepts connections.
    pub address: SocketAddr,
    /// The directory of [`PeerFixture::FOLDER`], if the kit can see it. Some checks then look into it.
    pub folder: Option<PathBuf>,
}

/// Seconds since 1970: the clock of the kit, which the clock of the device under test has to agree with.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// An honest M1 with a ticket that a function may change first. Everything random comes from the check's seed.
pub fn m1_fields(
    context: &Context,
    change_ticket: impl FnOnce(&mut crate::oracle::ticket::TicketFields),
) -> M1Fields {
    let fixture = PeerFixture::get();
    let mut ticket = fixture.pair_ticket(context.random(), now());
    change_ticket(&mut ticket);
    let mut fields =
        M1Fields::new(&fixture.key_y.to_public_key(), context.random(), context.random(), &context.random());
    fields.time = now();
    fields.spki_i = fixture.spki_x();
    fields.ticket = ticket.issue(&fixture.issuer).into_bytes();
    fields
}

/// What an initiator knows after this M1 of the baseline suite.
pub fn initiator(k_r: &[u8], m1: &M1) -> Initiator {
    let fixture = PeerFixture::get();
    Initiator {
        key: fixture.key_x.clone(),
        names: Names {
            initiator: PeerFixture::DEVICE_X.to_vec(),
            responder: PeerFixture::DEVICE_Y.to_vec(),
            spki_i: fixture.spki_x(),
            spki_r: fixture.spki_y(),
        },
        offer: vec![SUITE],
        ephemeral: Ephemeral { x25519: [0; 32], kem: Vec::new() },
        k_r: k_r.to_vec(),
        m1: m1.frame.clone(),
    }
}

/// A TCP connection to the device under test.
pub struct PeerConn {
    stream: TcpStream,
    context: Context,
    patience: Duration,
    /// Its number among the connections of the check.
    number: u16,
    dialled: bool,
}

/// How a connection ended, or did not, with the bytes that came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What came before the end.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub how: How,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In order, with FIN.
    Closed,
    /// With RST, as operating systems do when unread bytes are thrown away.
    Reset,
    /// Not at all, within the patience of the run.
    Open,
}

impl PeerConn {
    /// Dials the device under test.
    pub async fn dial(context: &Context) -> Result<Self, Stop> {
        let targets = context.targets();
        let Some(peer) = &targets.peer else {
            return Err(Stop::NotApplicable("no peer was given".to_owned()));
        };
        Self::connect(context, peer.address).await
    }

    /// Dials any address.
    pub async fn connect(context: &Context, address: SocketAddr) -> Result<Self, Stop> {
        let patience = context.targets().patience.0;
        let stream = timeout(patience, TcpStream::connect(address))
            .await
            .with_context(|| format!("connecting to {address} takes too long"))?
            .with_context(|| format!("cannot connect to {address}"))?;
        Self::over(context, stream, true)
    }

    /// Talks over a connection that was accepted.
    pub fn accepted(context: &Context, stream: TcpStream) -> Result<Self, Stop> {
        Self::over(context, stream, false)
    }

    fn over(context: &Context, stream: TcpStream, dialled: bool) -> Result<Self, Stop> {
        // Checks decide themselves which bytes travel together.
        stream.set_nodelay(true)?;
        let (patience, number) = (context.targets().patience.0, context.connection());
        Ok(PeerConn { stream, context: context.clone(), patience, number, dialled })
    }

    /// The same with more patience, for who has more to do than to answer.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = self.patience.max(patience);
        self
    }

    fn keep(&self, sent: bool, bytes: &[u8]) {
        self.context.wire(self.number, self.dialled, sent, bytes);
    }

    /// The socket itself, for checks that send and read much at once.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends bytes. That the device has closed already is found out by reading, not here.
    pub async fn send(&mut self, name: &str, bytes: &[u8]) -> Verdict {
        let bytes = self.changed(name, bytes).unwrap_or_default();
        self.context.bytes(&format!("sent {name}"), &bytes);
        self.write(&bytes).await
    }

    /// The same without evidence, for many small pieces.
    pub async fn send_quietly(&mut self, bytes: &[u8]) -> Verdict {
        let bytes = self.changed("bytes", bytes).unwrap_or_default();
        self.write(&bytes).await
    }

    /// What goes out in place of these bytes, if anything does.
    pub(super) fn changed<'a>(&self, name: &str, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let Some(script) = self.context.script() else { return Some(Cow::Borrowed(bytes)) };
        let message = Message { name: name.to_owned(), bytes: bytes.to_vec(), ..Message::default() };
        let taken = script.take(message);
        taken.sent.then_some(Cow::Owned(taken.bytes))
    }

    /// Sends bytes as they are.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Verdict {
        if !bytes.is_empty() {
            self.keep(true, bytes);
        }
        match timeout(self.patience, self.stream.write_all(bytes)).await {
            Err(_) => Err(Stop::Blocked("the device does not read what it is sent".to_owned())),
            Ok(Err(error)) if !is_end(error.kind()) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Ends the own direction with FIN and leaves the other open.
    pub async fn finish(&mut self) -> Verdict {
        self.keep(true, &[]);
        match self.stream.shutdown().await {
            Err(error) if !is_end(error.kind()) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads exactly so many bytes, or says how the connection ended before.
    pub async fn read_exact(&mut self, count: usize) -> Result<Vec<u8>, Ending> {
        let deadline = Instant::now() + self.patience;
        let mut bytes = Vec::with_capacity(count.min(READ_AT_ONCE));
        while bytes.len() < count {
            let mut buffer = vec![0; (count - bytes.len()).min(READ_AT_ONCE)];
            match timeout_at(deadline, self.stream.read(&mut buffer)).await {
                Ok(Ok(0)) => {
                    self.keep(false, &[]);
                    return Err(Ending { bytes, how: How::Closed });
                }
                Ok(Ok(read)) => {
                    self.keep(false, &buffer[..read]);
                    bytes.extend_from_slice(&buffer[..read]);
                }
                Ok(Err(_)) => return Err(Ending { bytes, how: How::Reset }),
                Err(_) => return Err(Ending { bytes, how: How::Open }),
            }
        }
        Ok(bytes)
    }

    /// Reads one handshake frame, header and body.
    pub async fn read_frame(&mut self) -> Result<Vec<u8>, Ending> {
        let mut frame = self.read_exact(4).await?;
        let length = usize::from(frame[1]) << 16 | usize::from(frame[2]) << 8 | usize::from(frame[3]);
        match self.read_exact(length).await {
            Ok(body) => frame.extend(body),
            Err(ending) => return Err(Ending { bytes: [frame, ending.bytes].concat(), how: ending.how }),
        }
        self.context.bytes("received frame", &frame);
        Ok(frame)
    }

    /// Reads to the end.
    pub async fn ending(&mut self) -> Ending {
        // More than any honest peer sends to someone it does not talk to.
        match self.read_exact(1 << 20).await {
            Ok(bytes) => Ending { bytes, how: How::Open },
            Err(ending) => ending,
        }
    }

    /// Demands that the device closes without sending a byte (HSK-006, record.md section 5).
    pub async fn expect_silent_close(&mut self) -> Verdict {
        let ending = self.ending().await;
        self.context.note("ending", format!("{:?} after {} bytes", ending.how, ending.bytes.len()));
        ending.demand_silent(self.patience)
    }

    /// Demands that nothing arrives for a while; for what only the absence of bytes can show.
    pub async fn expect_nothing(&mut self, during: Duration) -> Verdict {
        let patience = std::mem::replace(&mut self.patience, during);
        let ending = self.read_exact(1).await;
        self.patience = patience;
        match ending {
            Err(Ending { how: How::Open, .. }) => Ok(()),
            Err(Ending { how, .. }) => Err(Stop::Fail(format!("the connection ended too early: {how:?}"))),
            Ok(byte) => Err(Stop::Fail(format!("the device sent byte {:02x} too early", byte[0]))),
        }
    }

    /// Sends an M1 and reads what the device answers with.
    pub async fn ask(&mut self, initiator: &Initiator) -> Result<Asked, Stop> {
        self.send("M1", &initiator.m1).await?;
        self.read_answer(initiator).await
    }

    /// Reads what the device answers an M1 with that was sent before. A device under load may ask for a cookie first, once
    /// it has found nothing wrong in clear: then the same M1 goes out again with the cookie (HSK-047), wrong as it may be.
    pub async fn read_answer(&mut self, initiator: &Initiator) -> Result<Asked, Stop> {
        let initiator = initiator.clone();
        let answer = self.read_frame().await;
        if let Ok(frame) = &answer
            && let Ok(Reply::Retry(cookie)) = initiator.read(frame)
            && may_be_asked(&initiator.m1, &initiator.names.spki_r)
        {
            let again = Initiator { m1: initiator.m1_again(&cookie), ..initiator };
            self.send("M1 with the cookie", &again.m1).await?;
            let answer = self.read_frame().await;
            return Ok(Asked { initiator: again, answer });
        }
        Ok(Asked { initiator, answer })
    }

    /// Sends an M1 and reads the M2, as an honest initiator does.
    pub async fn expect_m2(&mut self, initiator: &Initiator) -> Result<Keys, Stop> {
        self.ask(initiator).await?.expect_m2()
    }

    /// Reads the M2 that answers an M1 sent before.
    pub async fn read_m2(&mut self, initiator: &Initiator) -> Result<Keys, Stop> {
        self.read_answer(initiator).await?.expect_m2()
    }

    /// The check this connection belongs to.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

/// An M1, and how the device answered it.
pub struct Asked {
    /// With the M1 that was answered: the second, if the device asked for a cookie.
    pub initiator: Initiator,
    /// A frame, or how the connection ended.
    pub answer: Result<Vec<u8>, Ending>,
}

impl Asked {
    /// What an M2 gives.
    pub fn expect_m2(self) -> Result<Keys, Stop> {
        let frame = self.answer.map_err(|ending| ending.instead_of("M2"))?;
        match self.initiator.read(&frame) {
            Ok(Reply::M2 { suite, m3, traffic_i, traffic_r, k_i }) => {
                Ok(Keys { suite, m1: self.initiator.m1, m2: frame, m3, traffic_i, traffic_r, k_i })
            }
            Ok(Reply::Refused(code)) => {
                Err(Stop::Fail(format!("the device answered REFUSE with code {code} instead of M2")))
            }
            Ok(Reply::Retry(_)) => Err(Stop::Fail(
                "the device asks for a cookie again, though it got the one that it made (HSK-080)".to_owned(),
            )),
            Err(rejection) => Err(Stop::Fail(format!("the answer of the device is wrong: {rejection}"))),
        }
    }

    /// Demands that the device closed without sending a byte (HSK-006).
    pub fn demand_silent(&self, context: &Context) -> Verdict {
        let ending = match &self.answer {
            Ok(frame) => &Ending { bytes: frame.clone(), how: How::Open },
            Err(ending) => ending,
        };
        context.note("ending", format!("{:?} after {} bytes", ending.how, ending.bytes.len()));
        ending.demand_silent(context.targets().patience.0)
    }
}

/// What an accepted M2 gives.
pub struct Keys {
    /// The M1 that was answered.
    pub m1: Vec<u8>,
    /// The suite of M2.
    pub suite: u16,
    /// `k_I`, for a look at its freshness.
    pub k_i: Vec<u8>,
    /// The M2 frame.
    pub m2: Vec<u8>,
    /// The M3 frame to send.
    pub m3: Vec<u8>,
    /// The secret of what the initiator sends.
    pub traffic_i: Vec<u8>,
    /// The secret of what the responder sends.
    pub traffic_r: Vec<u8>,
}

impl Ending {
    /// Fails unless this is the end of the connection without a byte before.
    pub fn demand_silent(&self, patience: Duration) -> Verdict {
        match self {
            Ending { bytes, .. } if !bytes.is_empty() => Err(Stop::Fail(format!(
                "the device sent {} bytes where it has to close silently: {}",
                bytes.len(),
                first_bytes(bytes)
            ))),
            Ending { how: How::Open, .. } => Err(Stop::Fail(format!(
                "the device kept the connection open for {} s where it has to close it",
                patience.as_secs_f32()
            ))),
            _ => Ok(()),
        }
    }

    /// The failure of a check that expected a message.
    pub fn instead_of(self, expected: &str) -> Stop {
        let how = match self.how {
            How::Closed => "closed the connection",
            How::Reset => "reset the connection",
            How::Open => "sent nothing more",
        };
        Stop::Fail(format!("expected {expected}, but the device {how} after {} bytes", self.bytes.len()))
    }
}

/// The begin of a message, for people.
pub fn first_bytes(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    shown.join(" ") + if bytes.len() > 16 { " ..." } else { "" }
}

/// Errors that say that the other side has closed.
fn is_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_an_end_without_a_byte() {
        let silent = |bytes: &[u8], how| {
            Ending { bytes: bytes.to_vec(), how }.demand_silent(Duration::from_secs(1)).is_ok()
        };
        assert!(silent(b"", How::Closed) && silent(b"", How::Reset));
        assert!(!silent(b"", How::Open), "it is still there");
        assert!(!silent(b"x", How::Closed) && !silent(b"x", How::Reset));
    }
}
