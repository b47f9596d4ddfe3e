//! The task of a connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::channel::{Channel, Event, Output, Peer};
use meshproof_proto::time::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::{Budget, Command, Incoming, Outgoing, Outside, READ, Stream};
use crate::error::{Error, Result};

/// How many sealed bytes wait for the socket before more is sealed.
const HIGH_WATER: usize = 1024 * 1024;
/// How long the peer may take to answer our close_notify.
const LINGER: Duration = Duration::from_secs(10);
/// The same for a peer that broke a rule, which owes no answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a channel may be silent both ways before the peer counts as gone.
const IDLE: Duration = Duration::from_mins(5);

/// The task of one connection.
pub(super) struct Driver {
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
    /// For a channel whose handshake begins. `established` is told what comes of it.
    pub(super) fn new(
        channel: Channel,
        outside: Outside,
        established: oneshot::Sender<Result<Peer>>,
        outgoing: &Outgoing,
    ) -> Self {
        Self {
            channel,
            clock: Steady::new(outside),
            established: Some(established),
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            written: 0,
            ready: VecDeque::new(),
            budget: outgoing.budget.clone(),
            given_up: outgoing.given_up.clone(),
            abort: outgoing.aborted.clone(),
            closing_since: None,
            aborted: false,
        }
    }

    /// Goes on until the channel ended.
    pub(super) async fn run(
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
