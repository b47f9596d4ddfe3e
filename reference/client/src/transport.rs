//! A proto [`Channel`] over a stream, which is TCP or a simulated network: one task a connection, bounded memory both ways.
//!
//! ```text
//!  socket --read--> Channel --Incoming--> queue of a fixed length --> session
//!  socket <-write-- Channel <-Command---- queue of a budget in bytes <-- session
//! ```
//!
//! The task writes whenever it can and reads only when what it read before was taken, so a slow reader slows its peer
//! and nothing else; it never waits for one direction while the other could go on.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshproof_proto::channel::{Channel, Event, Output, Peer};
use meshproof_proto::handshake::{AwaitM1, Device, Suite, Target, Vouched};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::ticket::Verifier;
use meshproof_proto::time::UnixTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::error::{Error, Result};
use crate::os_entropy;
use crate::sync::Pulse;

/// How much is read from a socket at once, in bytes.
const READ: usize = 256 * 1024;
/// How many pieces of up to [`READ`] bytes wait for the session.
const INCOMING: usize = 16;
/// How many sealed bytes wait for the socket before more is sealed.
const HIGH_WATER: usize = 1024 * 1024;
/// How many bytes a session may have queued for sending.
const BUDGET: usize = 4 * 1024 * 1024;
/// How long a TCP connection may take to be opened.
const CONNECT: Duration = Duration::from_secs(10);
/// How much later each further address of a device is tried.
const STAGGER: Duration = Duration::from_millis(250);
/// How long an initiator may take to say anything. It speaks first, so an honest one says it at once.
const FIRST_BYTE: Duration = Duration::from_secs(5);
/// How long the peer may take to answer our close_notify.
const LINGER: Duration = Duration::from_secs(10);
/// The same for a peer that broke a rule, which owes no answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a channel may be silent both ways before the peer counts as gone.
const IDLE: Duration = Duration::from_mins(5);

/// What channels run over: bytes both ways, in order.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// What a channel takes from outside: the clock and random numbers.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// The time since 1970. It goes as fast as the clock of tokio, or is set.
    pub clock: fn() -> Duration,
    /// Fills the slice with random bytes.
    pub entropy: fn(&mut [u8]),
}

impl Outside {
    /// The clock reading, as the protocol crate takes it.
    pub fn now(&self) -> UnixTime {
        UnixTime((self.clock)().as_secs())
    }
}

/// A clock for one channel: that of the system as it was, and the time since. It is not set back with it, for else limits of time would be
/// as much longer; but it is set forward, for tickets end by it, and a machine that slept was not there.
struct Steady {
    outside: fn() -> Duration,
    began: Duration,
    since: Instant,
}

impl Steady {
    fn new(outside: Outside) -> Self {
        Self { outside: outside.clock, began: (outside.clock)(), since: Instant::now() }
    }

    fn reading(&self) -> Duration {
        (self.began + self.since.elapsed()).max((self.outside)())
    }

    fn now(&self) -> UnixTime {
        UnixTime(self.reading().as_secs())
    }
}

impl Default for Outside {
    /// Those of the system.
    fn default() -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { clock, entropy: os_entropy }
    }
}

/// An established channel. Dropping it closes the channel.
pub struct Connection {
    /// Who is at the other end, and why it may be.
    pub peer: Peer,
    /// Whether this device opened the connection.
    pub initiator: bool,
    /// Whether it goes through a relay.
    pub relayed: bool,
    /// What the peer sends.
    pub incoming: mpsc::Receiver<Incoming>,
    /// The way to the peer.
    pub outgoing: Outgoing,
}

/// What comes out of a channel.
#[derive(Debug)]
pub enum Incoming {
    /// The peer sent this.
    Data(Vec<u8>),
    /// The peer sends nothing more.
    Closed,
    /// This device wants to go on elsewhere: the session is to end at the next message. The peer sends on.
    Finish,
    /// The channel failed; this is the last that comes.
    Failed(Error),
}

/// The sending end of a channel, for threads that may block.
#[derive(Clone)]
pub struct Outgoing {
    commands: mpsc::UnboundedSender<Command>,
    budget: Arc<Budget>,
    /// Told when the connection is to end whatever waits in it.
    given_up: Arc<Notify>,
    /// Told when it is to end with what was said until then, and soon.
    aborted: Arc<Notify>,
    pulse: Arc<Pulse>,
}

enum Command {
    Send { content: Vec<u8>, cost: usize },
    Renew { ticket: Vec<u8>, vouched: Vouched },
    Finish,
    Close,
}

impl Outgoing {
    /// Sends without waiting. For what is small and bounded by a rule of its own.
    pub fn send(&self, content: Vec<u8>) {
        let _ = self.commands.send(Command::Send { content, cost: 0 });
    }

    /// Waits until there is room, then sends. `false`: the channel has ended. Not for async code: it blocks.
    pub fn send_bulk(&self, content: Vec<u8>) -> bool {
        let cost = content.len().min(BUDGET);
        self.budget.take(cost) && self.commands.send(Command::Send { content, cost }).is_ok()
    }

    /// Goes on with a new ticket, which says `vouched` (HSK-055). For whoever opened the connection.
    pub fn renew(&self, ticket: Vec<u8>, vouched: Vouched) {
        let _ = self.commands.send(Command::Renew { ticket, vouched });
    }

    /// Asks the session to end in order, for it goes on elsewhere.
    pub fn finish(&self) {
        let _ = self.commands.send(Command::Finish);
    }

    /// Says, after all that was sent, that nothing more comes.
    pub fn close(&self) {
        let _ = self.commands.send(Command::Close);
    }

    /// Says that nothing more comes, and waits for no answer: the peer broke a rule, or there is no place for it.
    pub fn abort(&self) {
        self.budget.close();
        self.aborted.notify_one();
    }

    /// Waits until nothing is left of the connection.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Ends the connection at once, also if the peer takes nothing of what is to be said.
    pub fn give_up(&self) {
        self.given_up.notify_one();
    }

    /// Whether the session over this channel gets on.
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }
}

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
    let budget = Arc::new(Budget::new(BUDGET));
    let (given_up, aborted) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let driver = Driver {
        channel,
        clock: Steady::new(outside),
        established: Some(established),
        sealed: VecDeque::new(),
        sealed_bytes: 0,
        written: 0,
        ready: VecDeque::new(),
        budget: budget.clone(),
        given_up: given_up.clone(),
        abort: aborted.clone(),
        closing_since: None,
        aborted: false,
    };
    let driver = tokio::spawn(driver.run(stream, to_session, from_session));
    // Who tries several ways at once drops those that lost.
    let mut abandoned = Abandoned(Some(given_up.clone()));
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
    Ok(Connection {
        peer,
        initiator,
        relayed: false,
        incoming,
        outgoing: Outgoing { commands, budget, given_up, aborted, pulse: Arc::default() },
    })
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

/// The task of one connection.
struct Driver {
    channel: Channel,
    clock: Steady,
    established: Option<oneshot::Sender<Result<Peer>>>,
    /// What waits for the socket, and how much of the first piece is written.
    sealed: VecDeque<Vec<u8>>,
    sealed_bytes: usize,
    written: usize,
    /// What waits for the session.
    ready: VecDeque<Incoming>,
    budget: Arc<Budget>,
    given_up: Arc<Notify>,
    abort: Arc<Notify>,
    closing_since: Option<Instant>,
    aborted: bool,
}

impl Driver {
    async fn run(
        mut self,
        stream: impl Stream,
        to_session: mpsc::Sender<Incoming>,
        mut from_session: mpsc::UnboundedReceiver<Command>,
    ) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut input = Vec::with_capacity(READ);
        let mut last_activity = Instant::now();
        let (mut readable, mut writable, mut session_gone) = (true, true, false);
        let (given_up, abort) = (self.given_up.clone(), self.abort.clone());
        loop {
            let (ended, deadline) = self.poll_channel();
            let ended = ended || self.aborted;
            if ended && (self.sealed.is_empty() || !writable) {
                break;
            }
            let wake = self.wake_at(deadline, last_activity);
            tokio::select! {
                result = writer.write(self.unwritten()), if writable && !self.sealed.is_empty() => {
                    last_activity = Instant::now();
                    match result {
                        Ok(count) if count > 0 => self.wrote(count),
                        // The peer may have said why before it went: go on reading.
                        _ => writable = false,
                    }
                }
                room = to_session.reserve(), if !self.ready.is_empty() && !session_gone => match room {
                    Ok(room) => {
                        if let Some(next) = self.ready.pop_front() {
                            room.send(next);
                        }
                    }
                    Err(_) => session_gone = true,
                },
                result = reader.read_buf(&mut input), if readable && !ended && (self.ready.is_empty() || session_gone) => {
                    last_activity = Instant::now();
                    match result {
                        Ok(count) if count > 0 => self.channel.handle_input(self.clock.now(), &input),
                        _ => {
                            readable = false;
                            self.channel.handle_fin();
                        }
                    }
                    input.clear();
                    if session_gone {
                        self.ready.clear();
                    }
                }
                command = from_session.recv(), if self.takes_commands(ended) => {
                    self.obey(command, &mut from_session);
                }
                () = abort.notified(), if !self.aborted => {
                    // What was said before the rule was broken; not more than waits already, for a peer that may read nothing.
                    while self.takes_commands(ended)
                        && let Ok(command) = from_session.try_recv()
                    {
                        self.obey(Some(command), &mut from_session);
                    }
                    self.channel.close();
                    self.closing_since = Some(Instant::now());
                    self.aborted = true;
                }
                () = given_up.notified() => {
                    self.aborted = true;
                    writable = false;
                }
                () = tokio::time::sleep_until(wake) => {
                    if !self.ready.is_empty() {
                        // Nothing was read, so nothing could be heard.
                        self.channel.was_deaf(self.clock.now());
                    }
                    self.channel.handle_timeout(self.clock.now());
                    if self.is_dead(last_activity) {
                        self.channel.handle_fin();
                        writable = false;
                    }
                }
            }
        }
        self.budget.close();
        for last in self.ready.drain(..) {
            let _ = to_session.send(last).await;
        }
        drop(to_session);
        // Unread input would turn our last words into a reset, so what still comes is read for a moment.
        let _ = writer.shutdown().await;
        let drain = async {
            while matches!(reader.read_buf(&mut input).await, Ok(n) if n > 0) {
                input.clear();
            }
        };
        let _ = timeout(FAREWELL, drain).await;
    }

    /// Collects what the channel has to say. Returns whether it ended, and when it wants to be woken.
    fn poll_channel(&mut self) -> (bool, Option<UnixTime>) {
        loop {
            match self.channel.poll_output() {
                Output::Transmit(bytes) => {
                    self.sealed_bytes += bytes.len();
                    self.sealed.push_back(bytes);
                }
                Output::Event(event) => self.take_event(event),
                Output::Close => return (true, None),
                Output::Wait(deadline) => return (false, deadline),
            }
        }
    }

    fn take_event(&mut self, event: Event) {
        let next = match event {
            Event::Established(peer) => {
                let nobody_waits = self.established.take().is_none_or(|tell| tell.send(Ok(peer)).is_err());
                if nobody_waits {
                    self.channel.close();
                }
                return;
            }
            Event::Data(content) => {
                if let Some(Incoming::Data(before)) = self.ready.back_mut()
                    && before.len() + content.len() <= READ
                {
                    before.extend_from_slice(&content);
                    return;
                }
                Incoming::Data(content)
            }
            // What the new ticket says of folders holds from the next session on.
            Event::Renewed(_) => return,
            Event::PeerClosed => Incoming::Closed,
            Event::HungUp => Incoming::Failed(Error::Channel {
                message: "the peer hung up during the handshake".into(),
                requirement: None,
                refused: None,
            }),
            Event::Failed(failure) => {
                let error = Error::from(failure);
                tracing::warn!(requirement = error.requirement_id(), "channel failed: {error}");
                Incoming::Failed(error)
            }
        };
        match (next, self.established.take()) {
            (Incoming::Failed(error), Some(tell)) => drop(tell.send(Err(error))),
            (next, tell) => {
                self.established = tell;
                self.ready.push_back(next);
            }
        }
    }

    fn unwritten(&self) -> &[u8] {
        self.sealed.front().map_or(&[], |piece| &piece[self.written..])
    }

    fn wrote(&mut self, count: usize) {
        self.written += count;
        self.sealed_bytes -= count;
        if self.unwritten().is_empty() {
            self.sealed.pop_front();
            self.written = 0;
        }
    }

    fn takes_commands(&self, ended: bool) -> bool {
        let established = self.established.is_none();
        established && !ended && self.closing_since.is_none() && self.sealed_bytes < HIGH_WATER
    }

    /// Obeys a command and those behind it. `None`: the session is gone.
    fn obey(&mut self, first: Option<Command>, more: &mut mpsc::UnboundedReceiver<Command>) {
        let mut small = Vec::new();
        let mut command = first.unwrap_or(Command::Close);
        loop {
            match command {
                Command::Send { content, cost } => {
                    self.budget.give(cost);
                    if small.is_empty() && content.len() >= READ / 4 {
                        small = content;
                    } else {
                        // Many small messages make one record.
                        small.extend_from_slice(&content);
                    }
                }
                Command::Renew { ticket, vouched } => {
                    if let Err(error) = self.channel.renew(&ticket, &vouched) {
                        tracing::warn!("renewing the ticket: {error}");
                    }
                }
                Command::Finish => self.ready.push_back(Incoming::Finish),
                Command::Close => {
                    let _ = self.channel.send(&small);
                    self.channel.close();
                    self.closing_since = Some(Instant::now());
                    return;
                }
            }
            if small.len() >= READ {
                break;
            }
            match more.try_recv() {
                Ok(next) => command = next,
                Err(_) => break,
            }
        }
        let _ = self.channel.send(&small);
    }

    fn wake_at(&self, deadline: Option<UnixTime>, last_activity: Instant) -> Instant {
        let mut wake = last_activity + IDLE;
        if let Some(since) = self.closing_since {
            wake = wake.min(since + self.lingers());
        }
        if let Some(UnixTime(seconds)) = deadline {
            let left = Duration::from_secs(seconds).saturating_sub(self.clock.reading());
            wake = wake.min(Instant::now() + left);
        }
        wake
    }

    /// How long a peer may take to hear the last words.
    fn lingers(&self) -> Duration {
        if self.aborted { FAREWELL } else { LINGER }
    }

    /// Whether the peer took too long for a close or for any sign of life.
    fn is_dead(&self, last_activity: Instant) -> bool {
        let lingered = self.closing_since.is_some_and(|since| since.elapsed() >= self.lingers());
        lingered || last_activity.elapsed() >= IDLE
    }
}

impl Drop for Driver {
    /// Also when the runtime ends before the connection: no thread waits for room that never comes.
    fn drop(&mut self) {
        self.budget.close();
    }
}

/// How many bytes may still be queued. Threads wait for it, the task of the connection gives back.
struct Budget {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Budget {
    fn new(available: usize) -> Self {
        Self { state: Mutex::new((available, true)), changed: Condvar::new() }
    }

    fn take(&self, cost: usize) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.1 && state.0 < cost {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.0 = state.0.saturating_sub(cost);
        state.1
    }

    fn give(&self, cost: usize) {
        if cost > 0 {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).0 += cost;
            self.changed.notify_all();
        }
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = false;
        self.changed.notify_all();
    }
}

/// Whether an error says that the channel's ticket is over, so that a new one helps.
pub fn ticket_ended(error: &Error) -> bool {
    error.requirement() == Some(req::HSK_042)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_makes_no_limit_of_time_longer() {
        static SECONDS: AtomicU64 = AtomicU64::new(1_800_000_000);
        let clock = || Duration::from_secs(SECONDS.load(Ordering::Relaxed));
        let steady = Steady::new(Outside { clock, ..Outside::default() });
        let began = steady.now();
        SECONDS.fetch_sub(3_600, Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(steady.now(), began.plus(90));
        SECONDS.fetch_add(7_200, Ordering::Relaxed);
        assert_eq!(steady.now(), began.plus(3_600), "a ticket ends in time");
    }
}
