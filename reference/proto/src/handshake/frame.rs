//! The frame around every handshake message: `type u8 | len u24 | body`.

use alloc::vec::Vec;

use crate::codec::{Reader, Write};
use crate::error::Error;
use crate::requirement::{self as req, demand, deviates};

/// The bytes before a body.
pub const HEADER: usize = 4;

/// All frame types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Initiator to responder.
    M1 = 1,
    /// Responder to initiator.
    M2 = 2,
    /// Initiator to responder.
    M3 = 3,
    /// Responder to initiator, in clear.
    Retry = 4,
    /// Responder to initiator, authenticated.
    Refuse = 5,
    /// Responder to initiator, in clear.
    NoCommonSuite = 6,
}

impl FrameType {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::M1, Self::M2, Self::M3, Self::Retry, Self::Refuse, Self::NoCommonSuite]
            .into_iter()
            .find(|t| *t as u8 == byte)
    }

    /// The largest body, in bytes.
    pub fn largest_body(self) -> usize {
        match self {
            Self::M1 | Self::M2 => 24_576,
            Self::M3 => 32,
            Self::Retry => 40,
            Self::Refuse => 64,
            Self::NoCommonSuite => 0,
        }
    }
}

/// A whole frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it is.
    pub kind: FrameType,
    /// From the type byte to the end of the body.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Takes a frame off the front of `buffer`, if it is all there. A frame that is none of `awaited`, or too large, is
    /// rejected as soon as its header shows it.
    pub fn take(buffer: &mut Vec<u8>, awaited: &[FrameType]) -> Result<Option<Self>, Error> {
        let mut header = Reader::new(buffer);
        let Some(byte) = header.u8() else { return Ok(None) };
        let kind = FrameType::from_byte(byte);
        demand(kind.is_some_and(|kind| awaited.contains(&kind)), req::HSK_001)?;
        // The mutant of HSK-001 takes an unknown frame for one that it awaits.
        let taken_for = kind.filter(|kind| awaited.contains(kind)).or(awaited.first().copied());
        let (Some(kind), Some(length)) = (taken_for, header.u24()) else { return Ok(None) };
        demand(length <= kind.largest_body(), req::HSK_002)?;
        if buffer.len() < HEADER + length {
            return Ok(None);
        }
        let rest = buffer.split_off(HEADER + length);
        if deviates(req::HSK_001) {
            buffer.splice(..1, [kind as u8]);
        }
        Ok(Some(Self { kind, bytes: core::mem::replace(buffer, rest) }))
    }

    /// The bytes after the header.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }
}

/// The start of a frame whose body will have `length` bytes.
pub(super) fn header(kind: FrameType, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + length);
    out.put_u8(kind as u8);
    out.put_u24(length);
    out
}
