//! The fields of the messages (`spec/handshake.md`, section 3), without their cryptography.

use alloc::vec::Vec;

use super::boxes::{check_padding, padded};
use super::frame::{Frame, FrameType, HEADER, header};
use super::guard::COOKIE;
use super::{Suite, VERSION};
use crate::codec::{Reader, Write};
use crate::crypto::{Provider, Spki};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};

pub(super) const LABEL_R: &[u8] = b"meshp2p/1 kR";
pub(super) const LABEL_I: &[u8] = b"meshp2p/1 kI";
pub(super) const MAC1: usize = 16;
const MAX_SUITES: usize = 8;
const MAX_TICKET: usize = crate::ticket::MAX_TICKET;

/// A received M1.
pub(super) struct M1<'a> {
    pub(super) suites: Vec<u16>,
    pub(super) rdv_token: [u8; 16],
    pub(super) cookie: &'a [u8],
    pub(super) share: &'a [u8],
    /// `M1head`: the body up to and including ct_R, in two pieces that leave out the cookie and its length.
    pub(super) head: [&'a [u8]; 2],
    pub(super) ct_r: &'a [u8],
    pub(super) box1: &'a [u8],
    pub(super) mac1: &'a [u8],
    /// From the type byte up to and including the length of box1.
    pub(super) prefix: &'a [u8],
    /// From the type byte up to mac1.
    pub(super) maced: &'a [u8],
}

impl<'a> M1<'a> {
    /// HSK-003, HSK-010 to HSK-013.
    pub(super) fn read(frame: &'a Frame) -> Result<Self, Error> {
        let malformed = || Error::from(req::HSK_003);
        let mut body = Reader::new(frame.body());
        demand(body.u16().ok_or_else(malformed)? == VERSION, req::HSK_010)?;
        let count = body.u8().ok_or_else(malformed)?;
        let numbers = body.take(usize::from(count) * 2).ok_or_else(malformed)?;
        let suites: Vec<u16> = numbers.chunks_exact(2).map(|n| u16::from_be_bytes([n[0], n[1]])).collect();
        let once = suites.iter().enumerate().all(|(at, suite)| !suites[..at].contains(suite));
        demand((1..=MAX_SUITES).contains(&suites.len()) && once, req::HSK_011)?;
        let _nonce = body.array::<32>().ok_or_else(malformed)?;
        let rdv_token = body.array::<16>().ok_or_else(malformed)?;
        let before_cookie = read_so_far(frame, &body);
        let cookie = body.field8().ok_or_else(malformed)?;
        demand(matches!(cookie.len(), 0 | COOKIE), req::HSK_012)?;
        let after_cookie = read_so_far(frame, &body).len();
        let share = body.field16().ok_or_else(malformed)?;
        let strongest = suites.iter().filter_map(|number| Suite::from_number(*number)).max();
        let length = strongest.map_or(0, Suite::initiator_share);
        demand(share.len() == length, req::HSK_013)?;
        let ct_r = body.field16().ok_or_else(malformed)?;
        let head = [before_cookie, &read_so_far(frame, &body)[after_cookie..]];
        let box1 = body.field24().ok_or_else(malformed)?;
        let prefix = &frame.bytes[..frame.bytes.len() - body.clone().rest().len() - box1.len()];
        let mac1 = body.take(MAC1).ok_or_else(malformed)?;
        let maced = &frame.bytes[..prefix.len() + box1.len()];
        demand(body.is_empty(), req::HSK_003)?;
        Ok(Self { suites, rdv_token, cookie, share, head, ct_r, box1, mac1, prefix, maced })
    }
}

/// The part of a body that was read.
fn read_so_far<'a>(frame: &'a Frame, rest: &Reader<'a>) -> &'a [u8] {
    let body = frame.body();
    &body[..body.len() - rest.clone().rest().len()]
}

/// What an initiator says in clear, but for the cookie.
pub(super) struct Clear {
    pub(super) suites: Vec<Suite>,
    pub(super) nonce: [u8; 32],
    pub(super) rdv_token: [u8; 16],
    pub(super) share: Vec<u8>,
    pub(super) ct_r: Vec<u8>,
}

impl Clear {
    /// Writes M1 up to and including the length of box1, which will have `box1` bytes.
    pub(super) fn write(&self, cookie: &[u8], box1: usize) -> Vec<u8> {
        let suites: Vec<u8> = self.suites.iter().flat_map(|suite| suite.number().to_be_bytes()).collect();
        let fields = suites.len() + cookie.len() + self.share.len() + self.ct_r.len() + box1;
        let mut out = header(FrameType::M1, 2 + 1 + 32 + 16 + 1 + 2 + 2 + 3 + MAC1 + fields);
        out.put_u16(VERSION);
        out.put_field8(&suites);
        // The count is of suites, not of bytes.
        out[HEADER + 2] /= 2;
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.rdv_token);
        out.put_field8(cookie);
        out.put_field16(&self.share);
        out.put_field16(&self.ct_r);
        out.put_u24(box1);
        out
    }
}

/// `mac1` over what precedes it, for the responder with this key (HSK-014).
pub(super) fn mac1(p: &dyn Provider, responder: &Spki, maced: &[u8]) -> [u8; MAC1] {
    let key = p.sha256(&[b"meshp2p/1 mac1", responder.der()]);
    let mac = p.hmac(&key, &[maced]);
    let mut out = [0; MAC1];
    out.copy_from_slice(&mac[..MAC1]);
    out
}

/// The plaintext of box1.
pub(super) struct Box1<'a> {
    pub(super) time: u64,
    pub(super) spki: &'a [u8],
    pub(super) ticket: &'a [u8],
}

impl<'a> Box1<'a> {
    pub(super) fn read(plaintext: &'a [u8]) -> Result<Self, Error> {
        let malformed = || Error::from(req::HSK_003);
        let mut fields = Reader::new(plaintext);
        let time = fields.u64().ok_or_else(malformed)?;
        let spki = fields.field16().ok_or_else(malformed)?;
        let ticket = fields.field24().ok_or_else(malformed)?;
        demand((1..=MAX_TICKET).contains(&ticket.len()), req::HSK_003)?;
        check_params(fields.field16().ok_or_else(malformed)?)?;
        check_padding(plaintext, fields.rest())?;
        Ok(Self { time, spki, ticket })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.time);
        out.put_field16(self.spki);
        out.put_field24(self.ticket);
        out.put_field16(&[]); // params
        out.resize(padded(out.len()), 0);
        out
    }
}

/// Parameters are for later versions: unknown ones are ignored, but they have to be well-formed (HSK-003).
fn check_params(params: &[u8]) -> Result<(), Error> {
    let mut rest = Reader::new(params);
    while !rest.is_empty() {
        let parameter = rest.u16().and_then(|_type| rest.field16());
        demand(parameter.is_some(), req::HSK_003)?;
        if parameter.is_none() {
            break; // only the mutant comes here
        }
    }
    Ok(())
}

/// A received M2.
pub(super) struct M2<'a> {
    pub(super) suite: Suite,
    pub(super) share: &'a [u8],
    pub(super) box2: &'a [u8],
    pub(super) tag_r: &'a [u8],
    /// From the type byte up to and including the length of box2.
    pub(super) prefix: &'a [u8],
    /// From the type byte up to and including box2.
    pub(super) through_box2: &'a [u8],
}

impl<'a> M2<'a> {
    /// HSK-003, HSK-030, HSK-031.
    pub(super) fn read(frame: &'a Frame, offered: &[Suite]) -> Result<Self, Error> {
        let malformed = || Error::from(req::HSK_003);
        let mut body = Reader::new(frame.body());
        let suite = Suite::from_number(body.u16().ok_or_else(malformed)?);
        let suite = suite.filter(|suite| offered.contains(suite));
        let suite = demand_some(suite, req::HSK_030, || offered.last().copied().unwrap_or(Suite::Baseline))?;
        let _nonce = body.array::<32>().ok_or_else(malformed)?;
        let share = body.field16().ok_or_else(malformed)?;
        demand(share.len() == suite.responder_share(), req::HSK_031)?;
        let box2 = body.field24().ok_or_else(malformed)?;
        let prefix = &frame.bytes[..frame.bytes.len() - body.clone().rest().len() - box2.len()];
        let through_box2 = &frame.bytes[..prefix.len() + box2.len()];
        let tag_r = body.take(32).ok_or_else(malformed)?;
        demand(body.is_empty(), req::HSK_003)?;
        Ok(Self { suite, share, box2, tag_r, prefix, through_box2 })
    }
}

/// Writes M2 up to and including the length of box2, which will have `box2` bytes.
pub(super) fn write_m2_prefix(suite: Suite, nonce: &[u8; 32], share: &[u8], box2: usize) -> Vec<u8> {
    let mut out = header(FrameType::M2, 2 + 32 + 2 + share.len() + 3 + box2 + 32);
    out.put_u16(suite.number());
    out.extend_from_slice(nonce);
    out.put_field16(share);
    out.put_u24(box2);
    out
}

/// The ciphertext in the plaintext of box2.
pub(super) fn read_box2(plaintext: &[u8]) -> Result<&[u8], Error> {
    let malformed = || Error::from(req::HSK_003);
    let mut fields = Reader::new(plaintext);
    let ct_i = fields.field16().ok_or_else(malformed)?;
    check_params(fields.field16().ok_or_else(malformed)?)?;
    check_padding(plaintext, fields.rest())?;
    Ok(ct_i)
}

pub(super) fn write_box2(ct_i: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_field16(ct_i);
    out.put_field16(&[]); // params
    out.resize(padded(out.len()), 0);
    out
}

/// The cookie of a RETRY.
pub(super) fn read_retry(frame: &Frame) -> Result<[u8; COOKIE], Error> {
    demand_some(frame.body().try_into().ok(), req::HSK_003, || [0; COOKIE])
}

pub(super) fn write_retry(cookie: &[u8; COOKIE]) -> Vec<u8> {
    let mut out = header(FrameType::Retry, cookie.len());
    out.extend_from_slice(cookie);
    out
}

/// The tag of M3.
pub(super) fn read_m3(frame: &Frame) -> Result<[u8; 32], Error> {
    demand_some(frame.body().try_into().ok(), req::HSK_003, || [0; 32])
}

pub(super) fn write_m3(tag_i: &[u8; 32]) -> Vec<u8> {
    let mut out = header(FrameType::M3, tag_i.len());
    out.extend_from_slice(tag_i);
    out
}
