//! A connection between two devices as one sans-IO object: first the handshake, then records.
//!
//! Bytes go in by [`Channel::handle_input`], and everything comes out of [`Channel::poll_output`], which is to be
//! called until it says [`Output::Wait`]. The caller owns socket and clock.

mod open;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::Id;
use crate::crypto::{Entropy, Provider};
use crate::error::Error;
use crate::handshake::frame::{Frame, FrameType};
use crate::handshake::{
    self, Admission, Answer, AwaitM1, AwaitM2, AwaitM3, CurrentVerifier, DEADLINE, Device, Established,
    Failure, Heard, Renewal, Suite, Target, Vouched,
};
use crate::requirement::{self as req, demand, deviates};
use crate::ticket::Verifier;
use crate::ticket::pair::Grounds;
use crate::time::UnixTime;

use open::{Open, Side};

/// What a channel wants of its caller.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Transmit(Vec<u8>),
    /// Something happened.
    Event(Event),
    /// Close the connection; nothing more comes.
    Close,
    /// Nothing until more input, or until this time, when [`Channel::handle_timeout`] is to be called.
    Wait(Option<UnixTime>),
}

/// What happened on a channel.
#[derive(Debug)]
pub enum Event {
    /// The handshake is done: the peer is who it says.
    Established(Peer),
    /// The peer sent this. Its pieces may be cut differently from how they were sent.
    Data(Vec<u8>),
    /// The peer renewed its ticket: why the two devices may go on.
    Renewed(Grounds),
    /// The peer sends nothing more.
    PeerClosed,
    /// The peer hung up during the handshake, as it does when it does not like what it got.
    HungUp,
    /// The channel failed.
    Failed(Failure),
}

/// Who is at the other end, and why it may be.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The device.
    pub device: Id,
    /// Why the two devices may meet.
    pub grounds: Grounds,
    /// The suite of the handshake.
    pub suite: Suite,
    /// `th2` of the handshake.
    pub transcript: [u8; 32],
}

/// ```text
///  initiate:  AwaitM2 --M2 ok / M3--> Open          accept:  AwaitM1 --M1 ok / M2--> AwaitM3 --M3 ok--> Open
///               |  ^                                           |  ^
///               +--+ RETRY, once / M1 with the cookie          +--+ under load / RETRY, once
///
///  Open --close_notify both ways--> closed
///  Open --failure, silence, a stream that ends without close_notify; the end of the ticket / close_notify--> Ended
///  Await.. --failure / REFUSE, NO_COMMON_SUITE or nothing; 30 s; the end of the stream--> Ended
/// ```
///
/// Which of two channels between the same devices stays is no affair of a channel (HSK-058, RLY-030).
enum State {
    AwaitM2(Box<AwaitM2>, Vouched),
    AwaitM1(AwaitM1),
    AwaitM3(Box<AwaitM3>, Renewer),
    Open(Box<Open>),
    Ended,
}

/// What is kept of the responder's state to read new tickets.
struct Renewer {
    device: Arc<Device>,
    verifier: Arc<Verifier>,
    current: Option<Arc<dyn CurrentVerifier>>,
}

/// One end of a connection between two devices.
pub struct Channel {
    provider: &'static dyn Provider,
    entropy: Box<dyn Entropy + Send>,
    state: State,
    /// Handshake bytes that are no whole frame yet.
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    events: VecDeque<Event>,
    /// When the handshake has to be done (HSK-005).
    deadline: UnixTime,
}

impl Channel {
    /// The end of the device that opened the connection. `vouched` is what its own pair ticket says.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if the target's key does not load.
    pub fn initiate(
        device: Arc<Device>,
        target: &Target,
        vouched: Vouched,
        now: UnixTime,
        mut entropy: Box<dyn Entropy + Send>,
    ) -> Result<Self, Error> {
        let provider = device.provider();
        let (state, m1) = handshake::start(device, target, now, &mut *entropy)?;
        Ok(Self { outbox: m1, ..Self::new(provider, State::AwaitM2(Box::new(state), vouched), now, entropy) })
    }

    /// The end of the device that accepted the connection.
    pub fn accept(start: AwaitM1, now: UnixTime, entropy: Box<dyn Entropy + Send>) -> Self {
        let provider = start.device().provider();
        Self::new(provider, State::AwaitM1(start), now, entropy)
    }

    fn new(
        provider: &'static dyn Provider,
        state: State,
        now: UnixTime,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        Self {
            provider,
            entropy,
            state,
            inbox: Vec::new(),
            outbox: Vec::new(),
            events: VecDeque::new(),
            deadline: now.plus(DEADLINE),
        }
    }

    /// Bytes came from the connection.
    pub fn handle_input(&mut self, now: UnixTime, bytes: &[u8]) {
        self.handle_timeout(now);
        match &mut self.state {
            State::Ended => return,
            State::Open(open) => open.push(bytes),
            _ => self.inbox.extend_from_slice(bytes),
        }
        self.advance(now);
    }

    /// The peer's direction of the connection ended. After its close_notify the own direction goes on.
    pub fn handle_fin(&mut self) {
        match &mut self.state {
            State::Ended => {}
            State::Open(open) => {
                if let Err(error) = open.fin() {
                    self.fail(error.into());
                }
            }
            _ => {
                if deviates(req::HSK_006) {
                    self.outbox.push(0); // the mutant complains
                }
                self.events.push_back(Event::HungUp);
                self.state = State::Ended;
            }
        }
    }

    /// The caller has not read from the connection: that nothing came says nothing about the peer (REC-019).
    pub fn was_deaf(&mut self, now: UnixTime) {
        if let State::Open(open) = &mut self.state {
            open.was_deaf(now);
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: UnixTime) {
        match &mut self.state {
            State::Ended => {}
            State::Open(open) => {
                if let Err(error) = open.handle_timeout(now, &mut self.outbox) {
                    // Whoever ends by a rule of time says so, where it still can: no truncation.
                    self.fail_keeping_output(error.into());
                }
            }
            _ if now >= self.deadline => self.fail(req::HSK_005.into()),
            _ => {}
        }
    }

    /// Sends `content` to the peer; nothing if it is empty.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] before the channel is established and after [`close`](Self::close).
    pub fn send(&mut self, content: &[u8]) -> Result<(), Error> {
        match &mut self.state {
            State::Open(_) if content.is_empty() => Ok(()),
            State::Open(open) => open.send(content, &mut self.outbox),
            _ => Err(Error::ApiMisuse("the channel is not open")),
        }
    }

    /// Goes on with a new ticket (HSK-055). `vouched` is what it says, see [`Target::verify`].
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if this end did not open the connection, before it is established and after its end.
    pub fn renew(&mut self, ticket: &[u8], vouched: &Vouched) -> Result<(), Error> {
        match &mut self.state {
            State::Open(open) => open.renew(ticket, vouched, &mut self.outbox),
            _ => Err(Error::ApiMisuse("the channel is not open")),
        }
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self) {
        if let State::Open(open) = &mut self.state {
            open.close(&mut self.outbox);
        }
    }

    /// How many bytes wait to be transmitted.
    pub fn buffered(&self) -> usize {
        self.outbox.len()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        if !self.outbox.is_empty() {
            return Output::Transmit(core::mem::take(&mut self.outbox));
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        match &self.state {
            State::Ended => Output::Close,
            State::Open(open) if open.is_over() => Output::Close,
            State::Open(open) => Output::Wait(Some(open.wakes_at())),
            _ => Output::Wait(Some(self.deadline)),
        }
    }

    /// Handles all that is there.
    fn advance(&mut self, now: UnixTime) {
        loop {
            let went_on = match &mut self.state {
                State::Open(open) => {
                    if let Err(error) = open.read(now, &mut self.events) {
                        if error.is(req::HSK_054) || error.is(req::HSK_057) {
                            // What came before is good: the end is authenticated.
                            self.close();
                            self.fail_keeping_output(error.into());
                        } else {
                            self.fail(error.into());
                        }
                    }
                    return;
                }
                State::Ended => return,
                _ => self.read_frame(now),
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => return self.fail(failure),
            }
        }
    }

    /// Reads one frame of the handshake. `false`: it is not all there.
    fn read_frame(&mut self, now: UnixTime) -> Result<bool, Failure> {
        let awaited: &[FrameType] = match self.state {
            State::AwaitM1(_) => AwaitM1::AWAITS,
            State::AwaitM2(..) => AwaitM2::AWAITS,
            State::AwaitM3(..) => AwaitM3::AWAITS,
            State::Open(_) | State::Ended => return Ok(false),
        };
        let Some(frame) = Frame::take(&mut self.inbox, awaited)? else { return Ok(false) };
        match core::mem::replace(&mut self.state, State::Ended) {
            State::AwaitM1(state) => self.read_m1(state, &frame, now)?,
            State::AwaitM2(state, vouched) => match state.handle(&frame)? {
                Heard::Retry(state, m1) => {
                    self.outbox.extend(m1);
                    self.state = State::AwaitM2(state, vouched);
                }
                Heard::Established(established, m3) => {
                    self.outbox.extend(m3);
                    let Vouched { grounds, ends } = vouched;
                    self.open(*established, Side::Initiator, grounds, ends, now);
                }
            },
            State::AwaitM3(state, renewer) => {
                let Admission { established, key, grounds, ends } = state.handle(&frame)?;
                demand(now < ends, req::HSK_042)?;
                let Renewer { device, verifier, current } = renewer;
                let renewal = Renewal { device, verifier, current, initiator: established.initiator, key };
                self.open(established, Side::Responder(renewal), grounds, ends, now);
            }
            state @ (State::Open(_) | State::Ended) => self.state = state,
        }
        Ok(true)
    }

    fn read_m1(&mut self, state: AwaitM1, frame: &Frame, now: UnixTime) -> Result<(), Failure> {
        let (device, verifier) = (state.device().clone(), state.verifier().clone());
        let renewer = Renewer { device, verifier, current: state.current_verifier() };
        match state.handle(frame, now, &mut *self.entropy)? {
            Answer::Retry(state, retry) => {
                self.outbox.extend(retry);
                self.state = State::AwaitM1(state);
            }
            Answer::M2(state, m2) => {
                self.outbox.extend(m2);
                if deviates(req::HSK_041) {
                    self.outbox.push(0); // the mutant talks too early
                }
                self.state = State::AwaitM3(state, renewer);
            }
        }
        Ok(())
    }

    /// Goes on to records.
    fn open(
        &mut self,
        established: Established,
        side: Side,
        grounds: Grounds,
        ends: UnixTime,
        now: UnixTime,
    ) {
        let Established { suite, transcript, initiator, responder, .. } = established;
        let device = if matches!(side, Side::Initiator) { responder } else { initiator };
        let mut open = Open::new(self.provider, established.traffic, side, grounds.clone(), ends, now);
        open.push(&core::mem::take(&mut self.inbox));
        self.state = State::Open(Box::new(open));
        self.events.push_back(Event::Established(Peer { device, grounds, suite, transcript }));
    }

    /// HSK-006, REC-018: nothing is sent but what the failure says, and nothing is read any more.
    fn fail(&mut self, mut failure: Failure) {
        self.outbox.clear();
        match failure.answer.take() {
            Some(answer) => self.outbox = answer,
            None if deviates(req::HSK_006) => self.outbox.push(0), // the mutant complains
            None => {}
        }
        self.fail_keeping_output(failure);
    }

    fn fail_keeping_output(&mut self, failure: Failure) {
        self.events.push_back(Event::Failed(failure));
        self.state = State::Ended;
    }
}

#[cfg(test)]
mod tests;
