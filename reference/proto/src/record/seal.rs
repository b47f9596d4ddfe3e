//! Writing records.

use alloc::vec::Vec;

use super::epoch::Epoch;
use super::{HEADER, MAX_CONTENT, RecordType, TAG};
use crate::codec::Write;
use crate::crypto::{Provider, Secret};
use crate::error::Error;
use crate::requirement::{self as req, deviates};

/// When keys are renewed (REC-001).
#[derive(Clone, Copy, Debug)]
struct Limits {
    records: u64,
    bytes: u64,
}

const LIMITS: Limits = Limits { records: 1 << 24, bytes: 1 << 36 };

/// Seals one direction of a channel.
pub struct Sealer {
    provider: &'static dyn Provider,
    epoch: Epoch,
    bytes: u64,
    limits: Limits,
    closed: bool,
}

impl Sealer {
    /// Seals under the traffic secret of a direction.
    pub fn new(provider: &'static dyn Provider, traffic: Secret) -> Self {
        let epoch = Epoch::new(provider, traffic);
        Self { provider, epoch, bytes: 0, limits: LIMITS, closed: false }
    }

    /// Appends records with `content` to `out`, each of at most 65,535 bytes of it; one without content if it is empty.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] after [`close`](Self::close).
    pub fn seal(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.closed {
            return Err(Error::ApiMisuse("the direction is closed"));
        }
        let nothing: &[u8] = &[];
        let pieces = content.chunks(MAX_CONTENT).chain(content.is_empty().then_some(nothing));
        for piece in pieces {
            self.make_room(piece.len(), out)?;
            self.write(RecordType::Data, piece, out);
        }
        Ok(())
    }

    /// REC-001: one record of the epoch is kept for the key update itself.
    fn make_room(&mut self, content: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let most = content as u64 + 2;
        if self.epoch.seq() + 2 > self.limits.records || self.bytes + most > self.limits.bytes {
            self.update_keys(out)?;
        }
        Ok(())
    }

    /// Moves to the next traffic secret.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] after [`close`](Self::close).
    pub fn update_keys(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.closed {
            return Err(Error::ApiMisuse("the direction is closed"));
        }
        self.write(RecordType::KeyUpdate, &[], out);
        self.epoch = self.epoch.next(self.provider);
        self.bytes = 0;
        Ok(())
    }

    /// Appends a record with a new pair ticket. For the initiator alone.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] after [`close`](Self::close), or if the ticket is none that may be sent.
    pub fn ticket(&mut self, ticket: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.closed || !(1..=crate::ticket::MAX_TICKET).contains(&ticket.len()) {
            return Err(Error::ApiMisuse("no ticket for this channel"));
        }
        self.make_room(ticket.len(), out)?;
        self.write(RecordType::Ticket, ticket, out);
        Ok(())
    }

    /// Ends the direction with close_notify (REC-002). Nothing can be sealed after it.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if !self.closed && !deviates(req::REC_002) {
            self.write(RecordType::CloseNotify, &[], out);
        }
        self.closed = true;
    }

    fn write(&mut self, kind: RecordType, content: &[u8], out: &mut Vec<u8>) {
        let length = content.len() + 1;
        out.reserve(HEADER + length + TAG);
        let start = out.len();
        out.put_u24(length);
        out.extend_from_slice(content);
        out.put_u8(kind as u8);
        let (header, plaintext) = out[start..].split_at_mut(HEADER);
        self.epoch.apply(plaintext);
        let tag = self.epoch.tag(header, plaintext);
        out.extend_from_slice(&tag);
        self.epoch.advance();
        self.bytes += length as u64;
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, records: u64, bytes: u64) {
        self.limits = Limits { records, bytes };
    }
}
