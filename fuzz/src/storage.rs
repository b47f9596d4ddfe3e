//! Stored bytes: manifests, and requests that send bytes in pieces and read them in ranges, against the plainest model of both.

use meshproof_kit::fuzz::Draw;
use meshproof_proto::sync::{Decoder, Message};
use serde_json::json;

use crate::cloud::{Answer, Ask, Cloud, authorization};

/// The first byte chooses: a manifest, or the life of an upload. Whether it was accepted.
pub fn storage(data: &[u8]) -> bool {
    match data.split_first() {
        Some((first, rest)) if first % 2 == 0 => manifest(&mut Draw(rest)),
        Some((_, rest)) => upload(&mut Draw(rest)),
        None => false,
    }
}

/// SYN-070: all chunks but the last are of 16,384 to 4,194,304 bytes, the last has at least one.
fn manifest(draw: &mut Draw<'_>) -> bool {
    const LENGTHS: [u32; 9] = [16_384, 16_383, 1, 0, 4_194_304, 4_194_305, 65_536, u32::MAX, 20_000];
    let gone = draw.one_in(8);
    let lengths: Vec<u32> = (0..draw.below(6)).map(|_| *draw.pick(&LENGTHS)).collect();
    let mut body = [&[0, 0, 0, 9][..], &[u8::from(gone)]].concat();
    for length in &lengths {
        body.extend([&[0xC4; 32][..], &length.to_be_bytes()].concat());
    }
    let whole = body.len();
    if draw.one_in(4) {
        draw.edit(&mut body);
    }
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let mut decoder = Decoder::default();
    decoder.push(&[&[8], &length[..], &body].concat());
    let read = decoder.next();
    if body.len() != whole && !(body.len() + 36 - 5).is_multiple_of(36) {
        assert!(read.is_err(), "SYN-003: a manifest of {} bytes was taken", body.len());
    }
    let Ok(Some(Message::Manifest { chunks, .. })) = read else {
        let last = |length: &u32| (1..=4_194_304).contains(length);
        let inner = |length: &u32| (16_384..=4_194_304).contains(length);
        let good = lengths.split_last().is_some_and(|(end, before)| last(end) && before.iter().all(inner));
        let untouched =
            body.len() == whole && body.get(5..) == Some(&*bytes_of(&lengths)) && body[4] == u8::from(gone);
        assert!(!untouched || !good || gone, "a good manifest of {lengths:?} was refused: {read:?}");
        return false;
    };
    let Some(chunks) = chunks else { return true };
    let (end, before) =
        chunks.split_last().expect("SYN-003: a manifest of no chunks, of a content that is here");
    assert!((1..=4_194_304).contains(&end.length), "SYN-070: {end:?}");
    assert!(before.iter().all(|chunk| (16_384..=4_194_304).contains(&chunk.length)), "SYN-070: {before:?}");
    true
}

fn bytes_of(lengths: &[u32]) -> Vec<u8> {
    lengths.iter().flat_map(|length| [&[0xC4; 32][..], &length.to_be_bytes()].concat()).collect()
}

fn upload(draw: &mut Draw<'_>) -> bool {
    let mut cloud = Cloud::get();
    let folder = cloud.folder();
    let content: Vec<u8> = (0..draw.below(600)).map(|n| n.to_le_bytes()[0] ^ 0x5A).collect();
    let run = Run { cloud: &cloud, folder: &folder.0, tickets: authorization(&folder.1), content };
    let kept = run.send(draw);
    if kept {
        for _ in 0..=draw.below(4) {
            run.read(draw);
        }
    }
    cloud.remove(&folder);
    kept
}

struct Run<'a> {
    cloud: &'a Cloud,
    folder: &'a str,
    tickets: Vec<u8>,
    content: Vec<u8>,
}

impl Run<'_> {
    fn ask(&self, method: &str, path: &str, mut headers: Vec<(&str, Vec<u8>)>, body: Vec<u8>) -> Answer {
        headers.push(("authorization", self.tickets.clone()));
        let answer = self.cloud.ask(Ask { method, path, headers, body });
        answer.check();
        answer
    }

    fn media(&self) -> String {
        format!("{}/media/{}", self.folder, blake3::hash(&self.content).to_hex())
    }

    /// Sends the content, in order or not. Whether it is there in the end.
    fn send(&self, draw: &mut Draw<'_>) -> bool {
        let length = self.content.len();
        let hash = blake3::hash(&self.content).to_hex().to_string();
        let body = json!({"hash": hash, "length": length}).to_string().into_bytes();
        let json = vec![("content-type", b"application/json".to_vec())];
        let begun = self.ask("POST", &format!("{}/uploads", self.folder), json, body);
        assert_eq!(begun.status, 201, "{}", String::from_utf8_lossy(&begun.body));
        let path = begun.header("location").expect("STO-014").to_owned();
        let mut sent = Vec::new();
        for _ in 0..=draw.below(6) {
            let told = match draw.below(6) {
                0 => (*draw.pick(&["", "-1", "+0", "0x0", " 0", "00", "99999999999999999999999", "1e1"]))
                    .to_owned(),
                1 => (sent.len() + 1).to_string(),
                2 => draw.below(length + 1).to_string(),
                _ => sent.len().to_string(),
            };
            let right = told.bytes().all(|b| b.is_ascii_digit()) && told.parse() == Ok(sent.len());
            let most = length - sent.len();
            let mut bytes = self.content[sent.len()..sent.len() + draw.below(most + 1)].to_vec();
            if draw.one_in(3) {
                bytes = self.content[sent.len()..].to_vec();
            }
            if draw.one_in(10) {
                bytes.extend([0; 3]);
            }
            if draw.one_in(10) {
                draw.edit(&mut bytes);
            }
            let headers = vec![
                ("content-type", b"application/partial-upload".to_vec()),
                ("upload-offset", told.clone().into_bytes()),
            ];
            let answer = self.ask("PATCH", &path, headers, bytes.clone());
            let after = [&sent[..], &bytes].concat();
            assert!(right || !answer.is_success(), "STO-015: {told:?} where {} come next", sent.len());
            assert!(
                after.len() <= length || !answer.is_success(),
                "STO-017: {} of {length} bytes",
                after.len()
            );
            if after.len() == length && right {
                assert_eq!(answer.is_success(), after == self.content, "STO-018, STO-019: {answer:?}");
                return answer.is_success();
            }
            if right && after.len() < length {
                assert!(answer.is_success(), "bytes that come next are refused: {answer:?}");
                sent = after;
            }
            let asked = self.ask("HEAD", &path, Vec::new(), Vec::new());
            let offset = asked.header("upload-offset").and_then(|text| text.parse().ok());
            assert_eq!(offset, Some(sent.len()), "STO-016: after {told:?} and {} bytes", bytes.len());
        }
        let stored = self.ask("GET", &self.media(), Vec::new(), Vec::new());
        assert!(!stored.is_success(), "STO-019: {} of {length} bytes are a media", sent.len());
        self.ask("DELETE", &path, Vec::new(), Vec::new());
        false
    }

    /// Reads a part of it.
    fn read(&self, draw: &mut Draw<'_>) {
        let size = self.content.len();
        let number = |draw: &mut Draw<'_>| match draw.below(5) {
            0 => String::new(),
            1 => "18446744073709551616".to_owned(),
            2 => size.to_string(),
            _ => draw.below(size + 2).to_string(),
        };
        let mut range = format!("bytes={}-{}", number(draw), number(draw));
        if draw.one_in(6) {
            let mut bytes = range.into_bytes();
            draw.edit(&mut bytes);
            range = String::from_utf8_lossy(&bytes).into_owned();
        }
        let answer = self.ask("GET", &self.media(), vec![("range", range.clone().into_bytes())], Vec::new());
        match (answer.status, meant(&range, size)) {
            (200, Meant::All) => assert!(answer.body == self.content, "{range}: these are not the bytes"),
            (206, Meant::Part(from, to)) => {
                assert!(answer.body == self.content[from..to], "{range}: these are not the bytes");
                let told = format!("bytes {from}-{}/{size}", to - 1);
                assert_eq!(answer.header("content-range"), Some(&*told), "{range}");
            }
            (416, Meant::Behind) => {}
            (status, meant) => {
                panic!("STO-008, STO-009: {range:?} of {size} bytes: {status}, but it is {meant:?}")
            }
        }
    }
}

#[derive(Debug)]
enum Meant {
    All,
    Part(usize, usize),
    Behind,
}

/// A single range of bytes as RFC 9110, 14.1.2, has it; what is something else means all.
fn meant(range: &str, size: usize) -> Meant {
    let read = || {
        let (first, last) = range.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
        };
        match (first, last) {
            ("", last) => {
                let length = number(last)?;
                Some(if size == 0 { Meant::All } else { part(size - length.min(size), size, size) })
            }
            (first, "") => Some(part(number(first)?, size, size)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then(|| part(first, last.saturating_add(1).min(size), size))
            }
        }
    };
    read().unwrap_or(Meant::All)
}

fn part(from: usize, to: usize, size: usize) -> Meant {
    if from < to && from < size { Meant::Part(from, to) } else { Meant::Behind }
}
