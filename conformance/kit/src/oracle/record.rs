//! Records, spec/record.md: one direction, all at once.

use super::crypto::{aes_ctr, expand, hmac};
use super::{Rejection, reject, require};

/// The content type `data`.
pub const DATA: u8 = 1;
/// The content type `close_notify`.
pub const CLOSE_NOTIFY: u8 = 2;
/// The content type `key_update`.
pub const KEY_UPDATE: u8 = 3;
/// The type of a ticket record, which nobody sends to an initiator.
pub const TICKET: u8 = 4;
/// The largest `len`.
pub const LARGEST: usize = 65_536;

/// One direction of a channel, at a place in its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direction {
    /// The traffic secret of the epoch.
    pub traffic: Vec<u8>,
    /// The number of the next record in the epoch.
    pub seq: u64,
}

/// What a stream of records said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The contents of the data records.
    pub contents: Vec<Vec<u8>>,
    /// Tickets, which only an initiator sends: another reader refuses them (REC-013).
    pub tickets: Vec<Vec<u8>>,
    /// Whether `close_notify` was received.
    pub closed: bool,
}

impl Direction {
    /// A direction at its begin: `traffic_I` or `traffic_R`, record 0.
    pub fn new(traffic: &[u8]) -> Self {
        Self { traffic: traffic.to_vec(), seq: 0 }
    }

    /// `enc[16] || mac[32] || salt[4] = Expand(traffic, "rec", 52)`.
    pub fn keys(&self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let keys = expand(&self.traffic, &[b"rec"], 52);
        (keys[..16].to_vec(), keys[16..48].to_vec(), keys[48..].to_vec())
    }

    /// Seals a content of a type with so many zeros of padding.
    pub fn seal(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let mut plaintext = content.to_vec();
        plaintext.push(kind);
        plaintext.resize(plaintext.len() + padding, 0);
        self.seal_plaintext(&plaintext)
    }

    /// Seals any plaintext, well formed or not, and goes on to the next number.
    pub fn seal_plaintext(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let len = u32::try_from(plaintext.len()).expect("a record of the kit is small").to_be_bytes();
        let c = self.crypt(plaintext);
        let tag = self.tag(&len[1..], &c);
        self.seq += 1;
        [&len[1..], &c, &tag].concat()
    }

    /// What follows a `key_update`: the next traffic secret and number 0 (REC-015).
    pub fn update(&mut self) {
        self.traffic = expand(&self.traffic, &[b"upd"], 32);
        self.seq = 0;
    }

    /// `AES-128-CTR(enc, salt || seq || 0, text)`.
    fn crypt(&self, text: &[u8]) -> Vec<u8> {
        let (enc, _, salt) = self.keys();
        let mut block = [0; 16];
        block[..4].copy_from_slice(&salt);
        block[4..12].copy_from_slice(&self.seq.to_be_bytes());
        aes_ctr(&enc, &block, text)
    }

    /// `HMAC(mac, seq || len || c)`.
    fn tag(&self, len: &[u8], c: &[u8]) -> [u8; 32] {
        hmac(&self.keys().1, &[&self.seq.to_be_bytes(), len, c])
    }
}

/// Section 4.2 on the bytes of a stream so far; `fin` says that the TCP stream ended after them.
pub fn open(traffic: &[u8], stream: &[u8], fin: bool) -> Result<Opened, Rejection> {
    let mut direction = Direction::new(traffic);
    let mut opened = Opened::default();
    let mut rest = stream;
    loop {
        require(!opened.closed || rest.is_empty(), "REC-017", "after-close")?;
        let Some((len_bytes, after)) = rest.split_at_checked(3) else { break };
        let len =
            usize::from(len_bytes[0]) << 16 | usize::from(len_bytes[1]) << 8 | usize::from(len_bytes[2]);
        require((1..=LARGEST).contains(&len), "REC-010", "record-length")?;
        let Some((body, after)) = after.split_at_checked(len + 32) else { break };
        let (c, tag) = body.split_at(len);
        require(direction.tag(len_bytes, c) == tag, "REC-011", "record-mac")?;
        let plaintext = direction.crypt(c);
        direction.seq += 1;
        let Some(end) = plaintext.iter().rposition(|byte| *byte != 0) else {
            return reject("REC-012", "record-padding");
        };
        let content = &plaintext[..end];
        match plaintext[end] {
            DATA => opened.contents.push(content.to_vec()),
            CLOSE_NOTIFY | KEY_UPDATE if !content.is_empty() => return reject("REC-014", "record-content"),
            CLOSE_NOTIFY => opened.closed = true,
            KEY_UPDATE => direction.update(),
            TICKET => opened.tickets.push(content.to_vec()),
            _ => return reject("REC-013", "record-type"),
        }
        rest = after;
    }
    require(!fin || opened.closed, "REC-016", "truncated")?;
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::{DATA, Direction, open};

    #[test]
    fn what_is_sealed_opens() {
        let mut sender = Direction::new(&[7; 32]);
        let stream = [sender.seal(DATA, b"one\0", 5), sender.seal(DATA, b"", 0)].concat();
        let opened = open(&[7; 32], &stream, false).expect("a good stream");
        assert_eq!(opened.contents, [b"one\0".to_vec(), Vec::new()]);
        assert_eq!(open(&[7; 32], &stream, true).expect_err("no close").requirement, "REC-016");
    }
}
