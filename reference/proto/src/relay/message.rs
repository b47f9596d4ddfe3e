//! The messages between a device and a relay (`spec/relay.md`, section 3).

use alloc::vec::Vec;

use super::pass::PASS;
use crate::codec::Write as _;
use crate::error::Error;
use crate::requirement::{self as req, Requirement, demand};

const VERSION: [u8; 2] = [0, 1];
const JOIN: u8 = 1;
const PING: u8 = 2;
const HEADER: usize = VERSION.len() + 1;
const NONCE: usize = 8;

const JOINED: u8 = 1;
const WAITING: u8 = 2;
const PONG: u8 = 3;
const REFUSED: u8 = 4;

/// The longest request, in bytes.
pub const REQUEST_MAX: usize = HEADER + PASS;
/// A PONG, in bytes: the longest reply.
pub const PONG_LENGTH: usize = 1 + NONCE;

/// What a device says to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// With this pass.
    Join([u8; PASS]),
    /// Is anybody there?
    Ping([u8; NONCE]),
}

impl Request {
    /// Reads a request from the begin of a connection. `Err(n)` inside: `n` more bytes are needed, and none behind them may
    /// be read, for they are not the relay's.
    pub fn read(bytes: &[u8]) -> Result<Result<Self, usize>, Error> {
        let version = bytes.iter().zip(VERSION).all(|(got, wanted)| *got == wanted);
        demand(version, req::RLY_001)?;
        let Some((header, body)) = bytes.split_at_checked(HEADER) else {
            return Ok(Err(HEADER - bytes.len()));
        };
        let kind = header[HEADER - 1];
        demand(kind == JOIN || kind == PING, req::RLY_001)?;
        let length = if kind == PING { NONCE } else { PASS };
        if body.len() < length {
            return Ok(Err(length - body.len()));
        }
        let read = match kind {
            PING => body.first_chunk().copied().map(Self::Ping),
            _ => body.first_chunk().copied().map(Self::Join),
        };
        Ok(read.ok_or(length))
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(REQUEST_MAX);
        out.extend_from_slice(&VERSION);
        match self {
            Self::Join(pass) => {
                out.put_u8(JOIN);
                out.extend_from_slice(pass);
            }
            Self::Ping(nonce) => {
                out.put_u8(PING);
                out.extend_from_slice(nonce);
            }
        }
        out
    }
}

/// What a relay says to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// From now on the bytes are the other device's.
    Joined,
    /// The other device is not here yet.
    Waiting,
    /// The answer to a PING.
    Pong([u8; NONCE]),
    /// The end.
    Refused(Refusal),
}

impl Reply {
    /// Reads a reply from the begin of what came. `Ok(Err(n))`: `n` more bytes are needed. `Err`: no relay says this.
    pub fn read(bytes: &[u8]) -> Result<Result<Self, usize>, NotAReply> {
        let more = |wanted: usize| Ok(Err(wanted.saturating_sub(bytes.len())));
        match bytes {
            [] => more(1),
            [JOINED, ..] => Ok(Ok(Self::Joined)),
            [WAITING, ..] => Ok(Ok(Self::Waiting)),
            [PONG, nonce @ ..] => match nonce.first_chunk() {
                Some(nonce) => Ok(Ok(Self::Pong(*nonce))),
                None => more(PONG_LENGTH),
            },
            [REFUSED, code, ..] => Ok(Ok(Self::Refused(Refusal::from_code(*code)))),
            [REFUSED] => more(2),
            _ => Err(NotAReply),
        }
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Joined => [JOINED].into(),
            Self::Waiting => [WAITING].into(),
            Self::Pong(nonce) => [&[PONG][..], nonce].concat(),
            Self::Refused(refusal) => [REFUSED, refusal.code()].into(),
        }
    }
}

/// What came is nothing that a relay says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAReply;

impl core::fmt::Display for NotAReply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("this is no relay")
    }
}

impl core::error::Error for NotAReply {}

/// Why a relay does not join a connection (`spec/relay.md`, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// RLY-002
    Unknown,
    /// RLY-007
    Expired,
    /// RLY-004
    Taken,
    /// RLY-008, RLY-009
    Busy,
    /// RLY-020
    Draining,
    /// RLY-019
    Quota,
    /// RLY-014
    Alone,
}

impl Refusal {
    /// The refusal that a requirement ends in. `None`: the connection is closed without a word.
    pub fn of(requirement: Requirement) -> Option<Self> {
        Some(match requirement {
            req::RLY_002 => Self::Unknown,
            req::RLY_007 => Self::Expired,
            req::RLY_004 => Self::Taken,
            req::RLY_008 | req::RLY_009 => Self::Busy,
            req::RLY_020 => Self::Draining,
            req::RLY_019 => Self::Quota,
            req::RLY_014 => Self::Alone,
            _ => return None,
        })
    }

    /// The code on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Unknown => 1,
            Self::Expired => 2,
            Self::Taken => 3,
            Self::Busy => 4,
            Self::Draining => 5,
            Self::Quota => 6,
            Self::Alone => 7,
        }
    }

    /// The refusal of a code. One that is not known counts as busy.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Unknown,
            2 => Self::Expired,
            3 => Self::Taken,
            5 => Self::Draining,
            6 => Self::Quota,
            7 => Self::Alone,
            _ => Self::Busy,
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the relay does not know the pass",
            Self::Expired => "the pass has expired",
            Self::Taken => "the pass was used before",
            Self::Busy => "the relay is busy",
            Self::Draining => "the relay is about to stop",
            Self::Quota => "the relay has carried all it carries for this user in a day",
            Self::Alone => "the other device did not come",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_as_bytes() {
        let join = Request::Join([7; PASS]).encode();
        assert_eq!(join[..4], [0, 1, 1, 7]); // version, JOIN, the pass
        assert_eq!(join.len(), 76);
        let ping = Request::Ping([9; NONCE]).encode();
        assert_eq!(ping, [0, 1, 2, 9, 9, 9, 9, 9, 9, 9, 9]);
        for request in [&join, &ping] {
            for cut in 0..request.len() {
                let missing = Request::read(&request[..cut]).unwrap().unwrap_err();
                assert!(missing > 0 && cut + missing <= request.len(), "{cut}");
            }
        }
        assert_eq!(Request::read(&join).unwrap(), Ok(Request::Join([7; PASS])));
        assert_eq!(Request::read(&ping).unwrap(), Ok(Request::Ping([9; NONCE])));
    }

    #[test]
    fn other_begins_are_refused_at_the_first_wrong_byte() {
        for wrong in [&b"G"[..], &[1], &[0, 0], &[0, 2, 1], &[0, 1, 0], &[0, 1, 3], &[22, 3, 1]] {
            assert!(Request::read(wrong).unwrap_err().is(req::RLY_001), "{wrong:?}");
        }
    }

    #[test]
    fn replies_as_bytes() {
        let replies = [
            (Reply::Joined, &[1][..]),
            (Reply::Waiting, &[2]),
            (Reply::Pong([5; 8]), &[3, 5, 5, 5, 5, 5, 5, 5, 5]),
            (Reply::Refused(Refusal::Alone), &[4, 7]),
        ];
        for (reply, bytes) in replies {
            assert_eq!(reply.encode(), bytes);
            assert_eq!(Reply::read(bytes), Ok(Ok(reply)));
            for cut in 0..bytes.len() {
                assert!(matches!(Reply::read(&bytes[..cut]), Ok(Err(1..))), "{reply:?} {cut}");
            }
        }
        assert_eq!(Reply::read(&[4, 99]), Ok(Ok(Reply::Refused(Refusal::Busy))));
        assert_eq!(Reply::read(b"HTTP"), Err(NotAReply));
        for code in 1..=7 {
            assert_eq!(Refusal::from_code(code).code(), code);
        }
    }
}
