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
    self, AwaitM1, AwaitM2, AwaitM3, DEADLINE, Device, Established, Failure, Suite, Target, Vouched,
};
use crate::record::{self, Opener, Sealer};
use crate::requirement::{self as req, demand, deviates};
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
    AwaitM2(AwaitM2, Vouched),
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
        Ok(Self { outbox: m1, ..Self::new(provider, State::AwaitM2(state, vouched), now, entropy) })
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
            State::AwaitM2(state, vouched) => {
                let (established, m3) = state.handle(&frame)?;
                self.outbox.extend(m3);
                let device = established.responder;
                let secrets = |e: Established| (e.traffic.initiator, e.traffic.responder);
                self.open(established, device, vouched.grounds, secrets);
                self.deadline = Some(vouched.ends);
            }
            State::AwaitM3(state) => {
                let admission = state.handle(&frame)?;
                demand(now < admission.ends, req::HSK_042)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{DEFAULT, RUSTCRYPTO};
    use crate::handshake::tests::{NOW, world};
    use crate::test_keys::Script;

    fn pair() -> [Channel; 2] {
        let world = world(DEFAULT, RUSTCRYPTO);
        let vouched = world.target.verify(&world.initiator, &world.verifier, NOW).unwrap();
        let (one, two) = (Box::new(Script::new(1)), Box::new(Script::new(2)));
        [
            Channel::initiate(world.initiator, &world.target, vouched, NOW, one).unwrap(),
            Channel::accept(world.responder, world.verifier, NOW, two),
        ]
    }

    /// What comes out of one end: bytes and events.
    fn drain(channel: &mut Channel) -> (Vec<u8>, Vec<Event>) {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        loop {
            match channel.poll_output() {
                Output::Transmit(more) => bytes.extend(more),
                Output::Event(event) => events.push(event),
                Output::Wait(_) | Output::Close => return (bytes, events),
            }
        }
    }

    /// Carries bytes to and fro until nothing moves; the events of both ends.
    fn settle(ends: &mut [Channel; 2], now: UnixTime) -> [Vec<Event>; 2] {
        let mut events = [Vec::new(), Vec::new()];
        loop {
            let mut moved = false;
            for end in 0..2 {
                let (bytes, more) = drain(&mut ends[end]);
                events[end].extend(more);
                if !bytes.is_empty() {
                    ends[1 - end].handle_input(now, &bytes);
                    moved = true;
                }
            }
            if !moved {
                return events;
            }
        }
    }

    fn failed_with(events: &[Event], requirement: req::Requirement) -> bool {
        matches!(events.last(), Some(Event::Failed(failure)) if failure.error.is(requirement))
    }

    #[test]
    fn data_goes_both_ways_and_ends_are_told_apart() {
        let mut ends = pair();
        let [left, right] = settle(&mut ends, NOW);
        assert!(matches!((&left[..], &right[..]), ([Event::Established(_)], [Event::Established(_)])));
        ends[0].send(b"to the responder").unwrap();
        ends[1].send(b"to the initiator").unwrap();
        ends[0].close();
        let [left, right] = settle(&mut ends, NOW);
        assert!(matches!(&left[..], [Event::Data(data)] if data == b"to the initiator"));
        assert!(matches!(&right[..], [Event::Data(data), Event::PeerClosed] if data == b"to the responder"));
        ends[1].handle_fin(); // after close_notify: no truncation, and our direction goes on
        ends[1].send(b"still here").unwrap();
        let [left, right] = settle(&mut ends, NOW);
        assert!(right.is_empty() && matches!(&left[..], [Event::Data(data)] if data == b"still here"));
        ends[0].handle_fin(); // without close_notify
        assert!(failed_with(&drain(&mut ends[0]).1, req::REC_016));
    }

    #[test]
    fn a_handshake_has_thirty_seconds() {
        for mut end in pair() {
            drain(&mut end);
            end.handle_timeout(NOW.plus(DEADLINE - 1));
            assert!(drain(&mut end).1.is_empty());
            end.handle_timeout(NOW.plus(DEADLINE));
            let (bytes, events) = drain(&mut end);
            assert!(bytes.is_empty() && failed_with(&events, req::HSK_005));
        }
    }

    #[test]
    fn both_ends_stop_when_the_ticket_does() {
        for late in 0..2 {
            let mut ends = pair();
            settle(&mut ends, NOW);
            ends[late].handle_timeout(NOW.plus(599));
            ends[late].send(b"in time").unwrap();
            ends[late].handle_timeout(NOW.plus(600));
            assert!(ends[late].send(b"too late").is_err());
            let events = settle(&mut ends, NOW);
            assert!(failed_with(&events[late], req::HSK_042));
            // The other end sees an end, not a truncation.
            assert!(matches!(events[1 - late].last(), Some(Event::PeerClosed)));
        }
    }

    #[test]
    fn an_m3_that_comes_after_the_ticket_opens_nothing() {
        let late = NOW.plus(590);
        let world = world(DEFAULT, DEFAULT);
        let vouched = world.target.verify(&world.initiator, &world.verifier, late).unwrap();
        let (one, two) = (Box::new(Script::new(1)), Box::new(Script::new(2)));
        let mut ends = [
            Channel::initiate(world.initiator, &world.target, vouched, late, one).unwrap(),
            Channel::accept(world.responder, world.verifier, late, two),
        ];
        let (m1, _) = drain(&mut ends[0]);
        ends[1].handle_input(late, &m1);
        let (m2, _) = drain(&mut ends[1]);
        ends[0].handle_input(late, &m2);
        let (m3, _) = drain(&mut ends[0]);
        ends[1].handle_input(late.plus(15), &m3);
        let (bytes, events) = drain(&mut ends[1]);
        assert!(bytes.is_empty() && failed_with(&events, req::HSK_042));
    }
}
