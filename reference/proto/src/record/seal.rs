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
    /// The most content of a record, in bytes.
    most: usize,
    closed: bool,
}

impl Sealer {
    /// Seals under the traffic secret of a direction.
    pub fn new(provider: &'static dyn Provider, traffic: Secret) -> Self {
        let epoch = Epoch::new(provider, traffic);
        Self { provider, epoch, bytes: 0, limits: LIMITS, most: MAX_CONTENT, closed: false }
    }

    /// Puts at most `most` bytes of content into a record, rather than 65,535.
    #[must_use]
    pub fn with_record_size(self, most: usize) -> Self {
        Self { most: most.clamp(1, MAX_CONTENT), ..self }
    }

    /// Appends records with `content` to `out`, each of at most 65,535 bytes of it; one without content if it is empty.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] after [`close`](Self::close).
    pub fn seal(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.closed {
            return Err(Error::ApiMisuse("the direction is closed"));
        }
        // Room for all at once, rather than growing step by step; a key update is rare.
        let records = content.len().div_ceil(self.most).max(1);
        out.reserve(content.len() + records * (HEADER + 1 + TAG));
        // Two records of one length at a time: their MACs are computed together.
        let mut pairs = content.chunks_exact(2 * self.most);
        for pair in &mut pairs {
            self.make_room(2, pair.len(), out)?;
            self.write_pair(pair.split_at(self.most), out);
        }
        let rest = pairs.remainder();
        let nothing: &[u8] = &[];
        for piece in rest.chunks(self.most).chain(content.is_empty().then_some(nothing)) {
            self.make_room(1, piece.len(), out)?;
            self.write(RecordType::Data, piece, out);
        }
        Ok(())
    }

    /// REC-001, for so many records with so much content: one of the epoch is kept for the key update itself.
    fn make_room(&mut self, records: u64, content: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let most = content as u64 + records + 1;
        if self.epoch.seq() + records + 1 > self.limits.records || self.bytes + most > self.limits.bytes {
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
        if self.closed || !(1..=MAX_CONTENT).contains(&ticket.len()) {
            return Err(Error::ApiMisuse("no ticket for this channel"));
        }
        self.make_room(1, ticket.len(), out)?;
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
        let start = out.len();
        put_plaintext(kind, content, out);
        self.epoch.apply(self.epoch.seq(), &mut out[start + HEADER..]);
        let tag = self.epoch.tag(&out[start..]);
        out.extend_from_slice(&tag);
        self.epoch.advance(1);
        self.bytes += content.len() as u64 + 1;
    }

    /// Two data records of one length.
    fn write_pair(&mut self, (first, second): (&[u8], &[u8]), out: &mut Vec<u8>) {
        let whole = HEADER + first.len() + 1 + TAG;
        let start = out.len();
        for content in [first, second] {
            put_plaintext(RecordType::Data, content, out);
            out.extend_from_slice(&[0; TAG]);
        }
        let (one, two) = out[start..].split_at_mut(whole);
        let seq = self.epoch.seq();
        let end = whole - TAG;
        self.epoch.apply(seq, &mut one[HEADER..end]);
        self.epoch.apply(seq + 1, &mut two[HEADER..end]);
        let tags = self.epoch.tag_pair([&one[..end], &two[..end]]);
        one[end..].copy_from_slice(&tags[0]);
        two[end..].copy_from_slice(&tags[1]);
        self.epoch.advance(2);
        self.bytes += 2 * (first.len() as u64 + 1);
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, records: u64, bytes: u64) {
        self.limits = Limits { records, bytes };
    }
}

fn put_plaintext(kind: RecordType, content: &[u8], out: &mut Vec<u8>) {
    out.put_u24(content.len() + 1);
    out.extend_from_slice(content);
    out.put_u8(kind as u8);
}
