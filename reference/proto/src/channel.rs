//! A connection between two devices as one sans-IO object: first the handshake, then records.
//!
//! Bytes go in by [`Channel::handle_input`], and everything comes out of [`Channel::poll_output`], which is to be
//! called until it says [`Output::Wait`]. The caller owns socket and clock.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::Id;
use crate::crypto::{Entropy, Provider};
use crate::error::Error;
use crate::handshake::frame::{Frame, FrameType};
use crate::handshake::{
    self, AwaitM1, AwaitM2, AwaitM3, DEADLINE, Device, Established, Failure, Suite, Target,
};
use crate::record::{self, Opener, Sealer};
use crate::requirement::{self as req, deviates};
use crate::ticket::Verifier;
use crate::ticket::pair::Grounds;
use crate::time::UnixTime;

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

enum State {
    AwaitM2(AwaitM2, Grounds),
    AwaitM1(AwaitM1),
    AwaitM3(AwaitM3),
    Open { sealer: Sealer, opener: Opener, we_closed: bool, peer_closed: bool },
    Ended,
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
    /// When the handshake has to be done (HSK-005), then when the right to the channel ends (HSK-042).
    deadline: Option<UnixTime>,
}

impl Channel {
    /// The end of the device that opened the connection. `grounds` is what its own pair ticket says.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if the target's key does not load.
    pub fn initiate(
        device: Arc<Device>,
        target: &Target,
        grounds: Grounds,
        now: UnixTime,
        mut entropy: Box<dyn Entropy + Send>,
    ) -> Result<Self, Error> {
        let provider = device.provider();
        let (state, m1) = handshake::start(device, target, now, &mut *entropy)?;
        Ok(Self { outbox: m1, ..Self::new(provider, State::AwaitM2(state, grounds), now, entropy) })
    }

    /// The end of the device that accepted the connection. `verifier` is for this device as audience.
    pub fn accept(
        device: Arc<Device>,
        verifier: Arc<Verifier>,
        now: UnixTime,
        entropy: Box<dyn Entropy + Send>,
    ) -> Self {
        let provider = device.provider();
        Self::new(provider, State::AwaitM1(AwaitM1::new(device, verifier)), now, entropy)
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
            deadline: Some(now.plus(DEADLINE)),
        }
    }

    /// Bytes came from the connection.
    pub fn handle_input(&mut self, now: UnixTime, bytes: &[u8]) {
        self.handle_timeout(now);
        match &mut self.state {
            State::Ended => return,
            State::Open { opener, .. } => opener.push(bytes),
            _ => self.inbox.extend_from_slice(bytes),
        }
        self.advance(now);
    }

    /// The peer's direction of the connection ended. After its close_notify the own direction goes on.
    pub fn handle_fin(&mut self) {
        match &mut self.state {
            State::Ended => {}
            State::Open { opener, .. } => {
                if let Err(error) = opener.fin() {
                    self.fail(error.into());
                }
            }
            _ => {
                self.events.push_back(Event::HungUp);
                self.state = State::Ended;
            }
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: UnixTime) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Ended => {}
            State::Open { .. } => {
                // HSK-042: not an attack, so the end is authenticated and not a truncation.
                self.close();
                self.fail_keeping_output(req::HSK_042.into());
            }
            _ => self.fail(req::HSK_005.into()),
        }
    }

    /// Sends `content` to the peer; nothing if it is empty.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] before the channel is established and after [`close`](Self::close).
    pub fn send(&mut self, content: &[u8]) -> Result<(), Error> {
        match &mut self.state {
            State::Open { .. } if content.is_empty() => Ok(()),
            State::Open { sealer, .. } => sealer.seal(content, &mut self.outbox),
            _ => Err(Error::ApiMisuse("the channel is not open")),
        }
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self) {
        if let State::Open { sealer, we_closed, .. } = &mut self.state {
            sealer.close(&mut self.outbox);
            *we_closed = true;
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
        match self.state {
            State::Open { we_closed: true, peer_closed: true, .. } | State::Ended => Output::Close,
            _ => Output::Wait(self.deadline),
        }
    }

    /// Handles all that is there.
    fn advance(&mut self, now: UnixTime) {
        loop {
            let went_on = match &mut self.state {
                State::Open { .. } => {
                    if let Err(error) = self.read_records() {
                        self.fail(error.into());
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
            State::AwaitM3(_) => AwaitM3::AWAITS,
            State::Open { .. } | State::Ended => return Ok(false),
        };
        let Some(frame) = Frame::take(&mut self.inbox, awaited)? else { return Ok(false) };
        match core::mem::replace(&mut self.state, State::Ended) {
            State::AwaitM1(state) => {
                let (next, m2) = state.handle(&frame, now, &mut *self.entropy)?;
                self.outbox.extend(m2);
                if deviates(req::HSK_041) {
                    self.outbox.push(0); // the mutant talks too early
                }
                self.state = State::AwaitM3(next);
            }
            State::AwaitM2(state, grounds) => {
                let (established, m3) = state.handle(&frame)?;
                self.outbox.extend(m3);
                let device = established.responder;
                let secrets = |e: Established| (e.traffic.initiator, e.traffic.responder);
                self.open(established, device, grounds, secrets);
                self.deadline = None;
            }
            State::AwaitM3(state) => {
                let admission = state.handle(&frame)?;
                let device = admission.established.initiator;
                let secrets = |e: Established| (e.traffic.responder, e.traffic.initiator);
                self.open(admission.established, device, admission.grounds, secrets);
                self.deadline = Some(admission.ends);
            }
            state @ (State::Open { .. } | State::Ended) => self.state = state,
        }
        Ok(true)
    }

    /// Goes on to records. `secrets` tells which traffic secret is for sending and which for receiving.
    fn open(
        &mut self,
        established: Established,
        device: Id,
        grounds: Grounds,
        secrets: fn(Established) -> (crate::crypto::Secret, crate::crypto::Secret),
    ) {
        let (suite, transcript) = (established.suite, established.transcript);
        let (send, receive) = secrets(established);
        let mut opener = Opener::new(self.provider, receive);
        opener.push(&core::mem::take(&mut self.inbox));
        let sealer = Sealer::new(self.provider, send);
        self.state = State::Open { sealer, opener, we_closed: false, peer_closed: false };
        self.events.push_back(Event::Established(Peer { device, grounds, suite, transcript }));
    }

    fn read_records(&mut self) -> Result<(), Error> {
        let State::Open { opener, peer_closed, .. } = &mut self.state else { return Ok(()) };
        while let Some(event) = opener.next()? {
            self.events.push_back(match event {
                record::Event::Data(content) => Event::Data(content.to_vec()),
                record::Event::Closed => {
                    *peer_closed = true;
                    Event::PeerClosed
                }
            });
        }
        Ok(())
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
