//! A channel to the device under test: the records after an honest handshake.

use super::peer::{Ending, How, Keys, PeerConn, initiator, m1_fields};
use crate::check::{Context, Stop, Verdict};
use crate::oracle::crypto::from_hex;
use crate::oracle::record::{self, Direction};
use crate::oracle::ticket::{TicketFields, uri};

/// Records both ways.
pub struct Channel {
    /// The connection below, for bytes that are no records.
    pub conn: PeerConn,
    /// What the kit sends.
    pub sending: Direction,
    /// What the device sends.
    receiving: Receiving,
}

/// A record of the device, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Content of a data record.
    Data(Vec<u8>),
    /// `close_notify`.
    CloseNotify,
}

struct Receiving {
    direction: Direction,
}

impl Channel {
    /// Dials the device and runs an honest handshake.
    pub async fn open(context: &Context) -> Result<Self, Stop> {
        Channel::open_with(context, |_| {}).await
    }

    /// The same with a changed ticket.
    pub async fn open_with(context: &Context, ticket: impl FnOnce(&mut TicketFields)) -> Result<Self, Stop> {
        let mut subject = String::new();
        let mut initiator = {
            let fields = m1_fields(context, |fields| {
                ticket(fields);
                subject.clone_from(&fields.subject);
            });
            initiator(&fields.k_r, &fields.build())
        };
        // The device is who the ticket is about; all of them have one key.
        if let Some(device) = subject.strip_prefix(uri::DEVICE).and_then(from_hex) {
            initiator.names.initiator = device;
        }
        let mut conn = PeerConn::dial(context).await?;
        let keys = conn.expect_m2(&initiator).await?;
        conn.send("M3", &keys.m3).await?;
        Ok(Channel::over(conn, &keys))
    }

    /// A channel over a connection whose handshake is done.
    pub fn over(conn: PeerConn, keys: &Keys) -> Self {
        Channel {
            conn,
            sending: Direction::new(&keys.traffic_i),
            receiving: Receiving { direction: Direction::new(&keys.traffic_r) },
        }
    }

    /// Seals content in one data record and sends it.
    pub async fn send_data(&mut self, name: &str, content: &[u8]) -> Verdict {
        // What is changed is the content: a record with a hole would only be one with a wrong tag.
        let Some(content) = self.conn.changed(&format!("content of {name}"), content) else { return Ok(()) };
        self.conn.context().bytes(&format!("content of {name}"), &content);
        let record = self.sending.seal(record::DATA, &content, 0);
        self.conn.write(&record).await
    }

    /// Sends `close_notify`.
    pub async fn send_close(&mut self) -> Verdict {
        let record = self.sending.seal(record::CLOSE_NOTIFY, &[], 0);
        self.conn.send("close_notify", &record).await
    }

    /// The next record of the device, key updates apart, which are obeyed.
    pub async fn read(&mut self) -> Result<Record, Broken> {
        loop {
            let mut bytes = self.conn.read_exact(3).await.map_err(Broken::Ended)?;
            let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
            if length == 0 || length > record::LARGEST {
                return Err(Broken::Wrong(format!("the device sent a record of length {length}")));
            }
            bytes.extend(self.conn.read_exact(length + 32).await.map_err(Broken::Ended)?);
            if let Some(record) = self.receiving.open(&bytes)? {
                if let Record::Data(content) = &record {
                    self.conn.context().bytes("received content", content);
                }
                return Ok(record);
            }
        }
    }
}

/// Why there is no next record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection ended, or nothing came.
    Ended(Ending),
    /// The device sent what is no record.
    Wrong(String),
}

impl Broken {
    /// The failure of a check that expected something else.
    pub fn instead_of(self, expected: &str) -> Stop {
        match self {
            Broken::Ended(ending) => ending.instead_of(expected),
            Broken::Wrong(text) => Stop::Fail(format!("expected {expected}, but {text}")),
        }
    }

    /// Whether the connection is over.
    pub fn is_end(&self) -> bool {
        matches!(self, Broken::Ended(Ending { how: How::Closed | How::Reset, .. }))
    }
}

impl Receiving {
    /// Opens one whole record. Nothing comes back for a key update.
    fn open(&mut self, bytes: &[u8]) -> Result<Option<Record>, Broken> {
        let (enc, mac, salt) = self.direction.keys();
        let (length, rest) = bytes.split_at(3);
        let (c, tag) = rest.split_at(rest.len() - 32);
        let seq = self.direction.seq.to_be_bytes();
        if crate::oracle::crypto::hmac(&mac, &[&seq, length, c]) != tag {
            return Err(Broken::Wrong("the device sent a record with a wrong tag".to_owned()));
        }
        let mut block = [0; 16];
        block[..4].copy_from_slice(&salt);
        block[4..12].copy_from_slice(&seq);
        let plaintext = crate::oracle::crypto::aes_ctr(&enc, &block, c);
        self.direction.seq += 1;
        let end = plaintext.iter().rposition(|byte| *byte != 0);
        match end.map(|end| (plaintext[end], &plaintext[..end])) {
            Some((record::DATA, content)) => Ok(Some(Record::Data(content.to_vec()))),
            Some((record::CLOSE_NOTIFY, [])) => Ok(Some(Record::CloseNotify)),
            Some((record::KEY_UPDATE, [])) => {
                self.direction.update();
                Ok(None)
            }
            _ => Err(Broken::Wrong("the device sent a record without a valid type".to_owned())),
        }
    }
}
