//! The part of a channel after its handshake: records, and what time does to them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Event;
use crate::crypto::Provider;
use crate::error::Error;
use crate::handshake::{Renewal, Traffic, Vouched};
use crate::record::{self, Opener, Sealer};
use crate::requirement::{self as req, demand, deviates};
use crate::ticket::pair::Grounds;
use crate::time::UnixTime;

/// How often it is looked whether anything was sent, in seconds: twice that is less than 25 s (REC-003).
const BEAT: u64 = 12;
/// How long a peer may be silent, in seconds (REC-019).
const SILENCE: u64 = 90;
/// How long the keys of an epoch are used, in seconds (REC-001).
const EPOCH: u64 = 3_600;
/// The contents of records that came together are one piece of up to so many bytes.
const TOGETHER: usize = 256 * 1024;
/// How long a channel may live, in seconds (HSK-056).
const LIFE: u64 = 24 * 3_600;

/// Which end of the connection this is, with what only that end needs.
pub(super) enum Side {
    Initiator,
    Responder(Renewal),
}

/// An established channel.
pub(super) struct Open {
    sealer: Sealer,
    opener: Opener,
    side: Side,
    grounds: Grounds,
    we_closed: bool,
    peer_closed: bool,
    /// When the right to the channel ends (HSK-042, HSK-056).
    ends: UnixTime,
    last_day: UnixTime,
    heard_at: UnixTime,
    beat_at: UnixTime,
    /// Something was sent since the last beat.
    sent: bool,
    new_keys_at: UnixTime,
}

impl Open {
    pub(super) fn new(
        p: &'static dyn Provider,
        traffic: Traffic,
        side: Side,
        grounds: Grounds,
        ends: UnixTime,
        now: UnixTime,
    ) -> Self {
        let (send, receive) = match side {
            Side::Initiator => (traffic.initiator, traffic.responder),
            Side::Responder(_) => (traffic.responder, traffic.initiator),
        };
        let last_day = now.plus(LIFE);
        Self {
            sealer: Sealer::new(p, send),
            opener: Opener::new(p, receive),
            side,
            grounds,
            we_closed: false,
            peer_closed: false,
            ends: ends.min(last_day),
            last_day,
            heard_at: now,
            beat_at: now.plus(BEAT),
            sent: false,
            new_keys_at: now.plus(EPOCH),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.opener.push(bytes);
    }

    pub(super) fn fin(&mut self) -> Result<(), Error> {
        self.opener.fin()
    }

    pub(super) fn was_deaf(&mut self, now: UnixTime) {
        self.heard_at = now;
    }

    pub(super) fn is_over(&self) -> bool {
        self.we_closed && self.peer_closed
    }

    pub(super) fn send(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.sent = true;
        self.sealer.seal(content, out)
    }

    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        self.sealer.close(out);
        self.we_closed = true;
    }

    pub(super) fn renew(&mut self, ticket: &[u8], vouched: &Vouched, out: &mut Vec<u8>) -> Result<(), Error> {
        if matches!(self.side, Side::Responder(_)) {
            return Err(Error::ApiMisuse("the initiator renews"));
        }
        if !vouched.grounds.cover(&self.grounds) {
            return Err(Error::ApiMisuse("the new ticket permits less"));
        }
        self.sealer.ticket(ticket, out)?;
        self.ends = vouched.ends.min(self.last_day);
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(super) fn wakes_at(&self) -> UnixTime {
        let mut wake = self.ends;
        if !self.peer_closed {
            wake = wake.min(self.heard_at.plus(SILENCE));
        }
        if !self.we_closed {
            wake = wake.min(self.beat_at);
        }
        wake
    }

    /// What is due. An error ends the channel; its close_notify is in `out`.
    pub(super) fn handle_timeout(&mut self, now: UnixTime, out: &mut Vec<u8>) -> Result<(), Error> {
        if now >= self.ends {
            self.close(out);
            return Err(if now >= self.last_day { req::HSK_056 } else { req::HSK_042 }.into());
        }
        demand(self.peer_closed || now < self.heard_at.plus(SILENCE), req::REC_019)?;
        if now >= self.beat_at && !self.we_closed {
            self.beat_at = now.plus(BEAT);
            if now >= self.new_keys_at {
                self.new_keys_at = now.plus(EPOCH);
                self.sealer.update_keys(out)?;
            } else if !self.sent {
                self.sealer.seal(&[], out)?;
            }
            self.sent = false;
        }
        Ok(())
    }

    /// Opens all records that are there.
    pub(super) fn read(&mut self, now: UnixTime, events: &mut VecDeque<Event>) -> Result<(), Error> {
        while let Some(event) = self.opener.next()? {
            self.heard_at = now;
            match event {
                record::Event::Data([]) => {} // a sign of life
                record::Event::Data(content) => match events.back_mut() {
                    Some(Event::Data(before)) if before.len() + content.len() <= TOGETHER => {
                        before.extend_from_slice(content);
                    }
                    _ => events.push_back(Event::Data(content.to_vec())),
                },
                record::Event::Closed => {
                    self.peer_closed = true;
                    events.push_back(Event::PeerClosed);
                }
                record::Event::Ticket(ticket) => {
                    let Side::Responder(renewal) = &self.side else { return Err(req::REC_013.into()) };
                    match renewal.verify(ticket, now) {
                        Ok((grounds, ends)) => {
                            demand(grounds.cover(&self.grounds), req::HSK_057)?;
                            self.ends = ends.min(self.last_day);
                            events.push_back(Event::Renewed(grounds));
                        }
                        Err(_) if deviates(req::HSK_054) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}
