//! Reading records.

use alloc::vec::Vec;
use core::ops::Range;

use super::epoch::Epoch;
use super::{HEADER, MAX_PLAINTEXT, RecordType, TAG};
use crate::codec::Reader;
use crate::crypto::{Provider, Secret, equal};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some, deviates};

/// What comes out of an [`Opener`].
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The content of a data record.
    Data(&'a [u8]),
    /// The peer ended its direction.
    Closed,
    /// The peer sent a new ticket.
    Ticket(&'a [u8]),
}

/// Opens one direction of a channel: bytes in by [`push`](Self::push), events out by [`next`](Self::next).
pub struct Opener {
    provider: &'static dyn Provider,
    epoch: Epoch,
    buffer: Vec<u8>,
    /// Where in `buffer` the next record starts.
    at: usize,
    /// The tag that the next record has to have, where it was computed together with the one before.
    ahead: Option<[u8; TAG]>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// close_notify was read.
    Closed,
    /// A rule was broken; everything from now on is rejected (REC-018).
    Failed,
}

impl Opener {
    /// Opens under the traffic secret of a direction.
    pub fn new(provider: &'static dyn Provider, traffic: Secret) -> Self {
        let epoch = Epoch::new(provider, traffic);
        Self { provider, epoch, buffer: Vec::new(), at: 0, ahead: None, state: State::Open }
    }

    /// Takes bytes as they come from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, or `None` when more bytes are needed. An error is final (REC-018).
    #[allow(clippy::should_implement_trait)] // events borrow from self
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        demand(self.state != State::Failed, req::REC_018)?;
        let before = self.at;
        match self.read() {
            Ok(Some((RecordType::Data, content))) => Ok(Some(Event::Data(&self.buffer[content]))),
            Ok(Some((RecordType::Ticket, content))) => Ok(Some(Event::Ticket(&self.buffer[content]))),
            Ok(Some(_)) => {
                self.state = State::Closed;
                Ok(Some(Event::Closed))
            }
            Ok(None) => Ok(None),
            // The mutant skips the record. Every failure that can be gone on from has moved `at` behind it.
            Err(_) if deviates(req::REC_018) && self.at > before => self.next(),
            Err(error) => {
                self.state = State::Failed;
                Err(error)
            }
        }
    }

    /// The connection ended. To be called when [`next`](Self::next) has given all events.
    pub fn fin(&mut self) -> Result<(), Error> {
        demand(self.state != State::Failed, req::REC_018)?;
        demand(self.state == State::Closed && self.at == self.buffer.len(), req::REC_016)
    }

    /// The next record, past key updates.
    fn read(&mut self) -> Result<Option<(RecordType, Range<usize>)>, Error> {
        loop {
            let mut rest = Reader::new(&self.buffer[self.at..]);
            if !rest.is_empty() {
                demand(self.state != State::Closed, req::REC_017)?;
            }
            let Some(length) = rest.u24() else { return Ok(None) };
            demand((1..=MAX_PLAINTEXT).contains(&length), req::REC_010)?;
            if rest.take(length + TAG).is_none() {
                return Ok(None);
            }
            let (kind, content) = self.open(length)?;
            if kind != RecordType::KeyUpdate {
                return Ok(Some((kind, content)));
            }
            if !deviates(req::REC_015) {
                self.epoch = self.epoch.next(self.provider);
            }
            self.ahead = None; // it was under the keys of before
        }
    }

    /// The right tag of the record of `length` bytes; that of the next one too, if it is there and of the same length.
    fn tag_and_ahead(&mut self, length: usize) -> [u8; TAG] {
        let rest = &self.buffer[self.at..];
        let (body, whole) = (HEADER + length, HEADER + length + TAG);
        let next = rest.get(whole..whole + body).filter(|next| next[..HEADER] == rest[..HEADER]);
        // The tag of the next has to be there too, for `open` to be called on it.
        let Some(next) = next.filter(|_| rest.len() >= 2 * whole) else {
            return self.epoch.tag(&rest[..body]);
        };
        let [first, second] = self.epoch.tag_pair([&rest[..body], next]);
        self.ahead = Some(second);
        first
    }

    /// Checks and decrypts, in place, the record of `length` bytes that is wholly there.
    fn open(&mut self, length: usize) -> Result<(RecordType, Range<usize>), Error> {
        let start = self.at + HEADER;
        let right = self.ahead.take().unwrap_or_else(|| self.tag_and_ahead(length));
        let (head, tag) = self.buffer[self.at..start + length + TAG].split_at_mut(HEADER + length);
        self.at = start + length + TAG;
        demand(equal(&right, tag), req::REC_011)?;
        let ciphertext = &mut head[HEADER..];
        self.epoch.apply(self.epoch.seq(), ciphertext);
        self.epoch.advance(1);
        let type_at = ciphertext.iter().rposition(|byte| *byte != 0);
        let type_at = demand_some(type_at, req::REC_012, || 0)?;
        let kind = RecordType::from_byte(ciphertext[type_at]);
        let kind = demand_some(kind, req::REC_013, || RecordType::Data)?;
        let has_content = matches!(kind, RecordType::Data | RecordType::Ticket);
        demand(has_content || type_at == 0, req::REC_014)?;
        Ok((kind, start..start + type_at))
    }
}
