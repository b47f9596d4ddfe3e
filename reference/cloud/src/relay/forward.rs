//! The bytes of a circuit, both ways in one task.
//!
//! A direction holds a buffer only while the device it goes to does not take what was read: then nothing more is read
//! (RLY-005). Otherwise bytes go through a buffer of the thread and are gone before the next task runs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use meshproof_proto::error::Error;
use meshproof_proto::requirement::{self as req, deviates};
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep};

use super::connection::{Leg, joined};
use super::net::Stream;
use super::{Shared, refused};
use crate::metrics;

/// How much is read at once.
const CHUNK: usize = 128 * 1_024;
/// After how many bytes an account is charged.
const CHARGE: u64 = 256 * 1_024;
/// How many buffers a thread keeps for its next reads.
const SPARE: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Forwards until both directions have ended, or a rule ends the circuit.
pub(super) async fn circuit<S: Stream>(shared: &Arc<Shared<S>>, legs: [Leg<S>; 2]) {
    let [Leg { stream: mut left, seat: left_seat }, Leg { stream: mut right, seat: right_seat }] = legs;
    if joined(&mut left).await.is_err() || joined(&mut right).await.is_err() {
        return;
    }
    let _open = metrics::open_circuit();
    let idle = shared.times.idle;
    let mut there = Direction::new(left_seat.id);
    let mut back = Direction::new(right_seat.id);
    let mut last = Instant::now();
    let mut timer = std::pin::pin!(sleep(idle));
    let ended = poll_fn(|cx| {
        let one = there.pump(cx, shared, &mut left, &mut right);
        let two = back.pump(cx, shared, &mut right, &mut left);
        if std::mem::take(&mut there.moved) | std::mem::take(&mut back.moved) {
            last = Instant::now();
        }
        match (one, two) {
            (Poll::Ready(Err(end)), _) | (_, Poll::Ready(Err(end))) => return Poll::Ready(Err(end)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            // The mutant of RLY-015 takes the end of one direction for the end of both.
            (Poll::Ready(Ok(())), _) | (_, Poll::Ready(Ok(()))) if deviates(req::RLY_015) => {
                return Poll::Ready(Ok(()));
            }
            _ => {}
        }
        while timer.as_mut().poll(cx).is_ready() {
            if last + idle <= Instant::now() {
                return Poll::Ready(Err(End::Rule(req::RLY_017.into())));
            }
            timer.as_mut().reset(last + idle);
        }
        Poll::Pending
    })
    .await;
    for direction in [there, back] {
        // What is over the quota now is refused at the next JOIN.
        let _ = direction.charge(shared);
    }
    match ended {
        Err(End::Rule(error)) => refused(error),
        Err(End::Failed(error)) => {
            tracing::debug!("relay: a circuit failed: {error}");
            if deviates(req::RLY_016) {
                sleep(idle).await; // the mutant does not tell the other device
            }
        }
        Ok(()) => {}
    }
}

/// Why a circuit ends before both devices have ended it.
enum End {
    Failed(io::Error),
    Rule(Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Rule(error)
    }
}

/// One way.
struct Direction {
    /// Who is charged.
    from: meshproof_proto::relay::ConnectionId,
    /// What was read and not taken, from `taken` on.
    held: Vec<u8>,
    taken: usize,
    uncharged: u64,
    /// The account is ahead of its rate until then.
    pause: Option<Pin<Box<Sleep>>>,
    /// Since somebody looked.
    moved: bool,
    read_ended: bool,
    ended: bool,
}

impl Direction {
    fn new(from: meshproof_proto::relay::ConnectionId) -> Self {
        Self {
            from,
            held: Vec::new(),
            taken: 0,
            uncharged: 0,
            pause: None,
            moved: false,
            read_ended: false,
            ended: false,
        }
    }

    /// Moves bytes while any move. Ready: the direction has ended.
    fn pump<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared<S>,
        from: &mut S,
        to: &mut S,
    ) -> Poll<Result<(), End>> {
        while !self.ended {
            let pending = self.write_held(cx, to)?.is_pending();
            if pending && !deviates(req::RLY_005) {
                return Poll::Pending;
            }
            if self.read_ended {
                if pending {
                    return Poll::Pending;
                }
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.ended = true;
                break;
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let mut buffer = take_buffer();
            let mut target = ReadBuf::new(&mut buffer);
            let read = Pin::new(&mut *from).poll_read(cx, &mut target);
            let count = target.filled().len();
            match read {
                Poll::Ready(Ok(())) if count > 0 => {}
                other => {
                    give_buffer(buffer);
                    ready!(other)?;
                    self.read_ended = true;
                    continue;
                }
            }
            self.moved = true;
            self.send(cx, to, buffer, count)?;
            self.uncharged += count as u64;
            if self.uncharged >= CHARGE {
                let pause = self.charge(shared)?;
                self.uncharged = 0;
                self.pause = (!pause.is_zero()).then(|| Box::pin(sleep(pause)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was just read as far as it goes, and holds the rest.
    fn send<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut S,
        mut buffer: Vec<u8>,
        count: usize,
    ) -> io::Result<()> {
        if deviates(req::RLY_003) {
            buffer[0] ^= 1; // the mutant is careless
        }
        let written = if self.held.is_empty() {
            match Pin::new(to).poll_write(cx, &buffer[..count])? {
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            }
        } else {
            0
        };
        if written == count {
            give_buffer(buffer);
        } else if self.held.is_empty() {
            buffer.truncate(count);
            (self.held, self.taken) = (buffer, written);
        } else {
            self.held.extend_from_slice(&buffer[..count]); // only the mutant of RLY-005 comes here
            give_buffer(buffer);
        }
        Ok(())
    }

    fn write_held<S: Stream>(&mut self, cx: &mut Context<'_>, to: &mut S) -> io::Result<Poll<()>> {
        while self.taken < self.held.len() {
            match Pin::new(&mut *to).poll_write(cx, &self.held[self.taken..])? {
                Poll::Ready(count) => {
                    self.taken += count;
                    self.moved = true;
                }
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        if !self.held.is_empty() {
            give_buffer(std::mem::take(&mut self.held));
            self.taken = 0;
        }
        Ok(Poll::Ready(()))
    }

    fn charge<S>(&self, shared: &Shared<S>) -> Result<Duration, Error> {
        metrics::relayed(self.uncharged);
        let (now, millis) = (shared.clock.now(), shared.millis());
        let pause = shared.inner().board.sent(now, millis, self.from, self.uncharged)?;
        Ok(Duration::from_millis(pause))
    }
}

fn take_buffer() -> Vec<u8> {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; CHUNK])
}

fn give_buffer(mut buffer: Vec<u8>) {
    BUFFERS.with_borrow_mut(|spare| {
        if spare.len() < SPARE && buffer.capacity() < 2 * CHUNK {
            buffer.resize(CHUNK, 0);
            spare.push(buffer);
        }
    });
}
