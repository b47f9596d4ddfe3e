//! A proto [`Channel`](meshproof_proto::channel::Channel) over a stream, which is TCP or a simulated network: one task a connection, bounded memory both ways.
//!
//! ```text
//!  socket --read--> Channel --Incoming--> queue of a fixed length --> session
//!  socket <-write-- Channel <-Command---- queue of a budget in bytes <-- session
//! ```
//!
//! The task writes whenever it can and reads only when what it read before was taken, so a slow reader slows its peer
//! and nothing else; it never waits for one direction while the other could go on.

mod dial;
mod drive;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshproof_proto::channel::Peer;
use meshproof_proto::handshake::Vouched;
use meshproof_proto::requirement as req;
use meshproof_proto::time::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

use crate::error::Error;
use crate::os_entropy;
use crate::sync::Pulse;

pub use dial::{Race, accept, dial, grounds_of, initiate};

/// How much is read from a socket at once, in bytes.
const READ: usize = 256 * 1024;
/// How many bytes a session may have queued for sending.
const BUDGET: usize = 4 * 1024 * 1024;

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
