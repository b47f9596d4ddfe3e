//! Where the parsers end: of each bounded thing the largest that is allowed, and one more (`reference/HARDENING.md`).
//! Lengths that are announced are refused before what they announce has come.

use std::collections::BTreeMap;

use meshproof_proto::codec::Id;
use meshproof_proto::error::Error;
use meshproof_proto::handshake::frame::{Frame, FrameType, HEADER};
use meshproof_proto::relay::{PASS, REQUEST_MAX, Request as RelayRequest};
use meshproof_proto::requirement::{self as req, Requirement};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::storage::keys::{KeyRecord, MOST_GENERATIONS, MOST_RECOVERIES, MOST_WRAPS};
use meshproof_proto::sync::manifest::{MAX_CHUNK, MAX_CHUNKS, MIN_CHUNK};
use meshproof_proto::sync::message::{MAX_BODY, MAX_REQUEST, Request};
use meshproof_proto::sync::wire::MAX_CONTEXT;
use meshproof_proto::sync::{Chunk, Context, Decoder, Message, Name, Version};

fn refused<T>(result: Result<T, Error>, by: Requirement) {
    assert_eq!(result.err().and_then(|error| error.requirement()), Some(by));
}

fn read(message: &Message) -> Result<Option<Message>, Error> {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    decoder.next()
}

/// The header of a message.
fn header(number: u8, length: usize) -> Vec<u8> {
    [&[number][..], &u32::try_from(length).unwrap().to_be_bytes()].concat()
}

fn device(number: usize) -> Id {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&u64::try_from(number + 1).unwrap().to_be_bytes());
    Id(id)
}

#[test]
fn handshake_frames() {
    // HSK-002
    for (kind, largest) in
        [(FrameType::M1, 24_576_u32), (FrameType::M2, 24_576), (FrameType::M3, 32), (FrameType::Retry, 40)]
    {
        assert_eq!(kind.largest_body(), usize::try_from(largest).unwrap());
        let header = |length: u32| {
            let mut bytes = vec![kind as u8];
            bytes.extend_from_slice(&length.to_be_bytes()[1..]);
            bytes
        };
        assert!(matches!(Frame::take(&mut header(largest), &[kind]), Ok(None)), "the body may still come");
        let mut whole = header(largest);
        whole.resize(HEADER + usize::try_from(largest).unwrap(), 0);
        assert!(matches!(Frame::take(&mut whole, &[kind]), Ok(Some(_))));
        refused(Frame::take(&mut header(largest + 1), &[kind]), req::HSK_002);
    }
}

#[test]
fn relay_requests() {
    // RLY-001: nothing has a length of its own, so what is one byte longer is the device's next bytes.
    let join = RelayRequest::Join([7; PASS]).encode();
    assert_eq!(join.len(), REQUEST_MAX);
    assert!(matches!(RelayRequest::read(&join), Ok(Ok(RelayRequest::Join(_)))));
    assert_eq!(RelayRequest::read(&join[..join.len() - 1]), Ok(Err(1)));
}

#[test]
fn sync_messages() {
    // SYN-002
    let body = MAX_BODY - 5;
    let largest = Message::Block { request: 1, content: Some(vec![7; body]) };
    assert_eq!(read(&largest), Ok(Some(largest)));
    let mut decoder = Decoder::default();
    decoder.push(&header(4, MAX_BODY + 1));
    refused(decoder.next(), req::SYN_002);
}

#[test]
fn requests_for_content() {
    // SYN-009
    let request = |length| {
        Message::Request(Request {
            request: 1,
            folder: Id([1; 16]),
            hash: MediaHash([2; 32]),
            offset: 0,
            length,
        })
    };
    assert_eq!(read(&request(MAX_REQUEST)), Ok(Some(request(MAX_REQUEST))));
    refused(read(&request(MAX_REQUEST + 1)), req::SYN_009);
}

#[test]
fn manifests() {
    // SYN-070
    let chunk = |length| Chunk { hash: MediaHash([3; 32]), length };
    let manifest = |chunks| Message::Manifest { request: 1, chunks: Some(chunks) };
    let good = manifest(vec![chunk(MAX_CHUNK), chunk(MIN_CHUNK), chunk(1)]);
    assert_eq!(read(&good), Ok(Some(good)));
    refused(read(&manifest(vec![chunk(MAX_CHUNK + 1)])), req::SYN_070);
    refused(read(&manifest(vec![chunk(MIN_CHUNK - 1), chunk(1)])), req::SYN_070);
    refused(read(&manifest(vec![chunk(0)])), req::SYN_070);
    // As many as a message has room for (SYN-002).
    let most = manifest(vec![chunk(MIN_CHUNK); MAX_CHUNKS]);
    assert_eq!(read(&most), Ok(Some(most)));
    refused(read(&manifest(vec![chunk(MIN_CHUNK); MAX_CHUNKS + 1])), req::SYN_002);
}

#[test]
fn version_vectors_and_contexts() {
    // SYN-008
    let counters = |count: usize| (0..count).map(|number| (device(number), 1)).collect::<Vec<_>>();
    assert!(Version::new(counters(64)).is_ok());
    refused(Version::new(counters(65)), req::SYN_008);
    assert!(Version::new(vec![(device(0), (1 << 48) - 1)]).is_ok());
    refused(Version::new(vec![(device(0), 1 << 48)]), req::SYN_008);
    // SYN-028
    let context = |count| Context(counters(count).into_iter().collect::<BTreeMap<_, _>>());
    let largest = context(MAX_CONTEXT);
    assert_eq!(Context::from_bytes(&largest.to_bytes()), Ok(largest));
    refused(Context::from_bytes(&context(MAX_CONTEXT + 1).to_bytes()), req::SYN_028);
}

#[test]
fn key_records() {
    // STO-070
    let count = |count: usize| u16::try_from(count).unwrap().to_be_bytes();
    let record = |generation: u32, wraps: usize, recoveries: usize| {
        let mut bytes = [&generation.to_be_bytes()[..], &[7; 16 + 32], &count(wraps)].concat();
        for number in 0..wraps {
            bytes.extend([&device(number).0[..], &count(384), &[4; 384]].concat());
        }
        bytes.push(u8::try_from(recoveries).unwrap());
        for number in 0..recoveries {
            bytes.extend([[u8::try_from(number).unwrap(); 32], [5; 32], [6; 32], [6; 32]].concat());
        }
        bytes.resize(bytes.len() + 32 * usize::try_from(generation).unwrap() + 64, 3);
        bytes
    };
    let largest = record(MOST_GENERATIONS, MOST_WRAPS, MOST_RECOVERIES);
    assert_eq!(KeyRecord::from_bytes(&largest).unwrap().to_bytes(), largest);
    for larger in [
        record(MOST_GENERATIONS + 1, MOST_WRAPS, MOST_RECOVERIES),
        record(MOST_GENERATIONS, MOST_WRAPS + 1, MOST_RECOVERIES),
        record(MOST_GENERATIONS, MOST_WRAPS, MOST_RECOVERIES + 1),
    ] {
        refused(KeyRecord::from_bytes(&larger).map(drop), req::STO_070);
    }
}

#[test]
fn names() {
    // SYN-011, in bytes and not in characters
    assert!(Name::parse(&"x".repeat(255)).is_ok());
    refused(Name::parse(&"x".repeat(256)), req::SYN_011);
    assert!(Name::parse(&"ä".repeat(127)).is_ok());
    refused(Name::parse(&"ä".repeat(128)), req::SYN_011);
}
