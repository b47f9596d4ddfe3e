//! Passes and the first bytes at a relay, spec/relay.md.

use super::crypto::{etm_open, etm_seal, expand, hmac};
use super::{Rejection, reject, require};

/// JOINED
pub const JOINED: [u8; 1] = [1];
/// WAITING
pub const WAITING: [u8; 1] = [2];
/// The length of a pass.
pub const PASS: usize = 73;

/// What a pass is made of. Every field can be changed before it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassFields {
    /// The relay key.
    pub key: Vec<u8>,
    /// The address of the relay.
    pub address: String,
    /// The circuit.
    pub circuit: [u8; 16],
    /// 0 or 1.
    pub side: u8,
    /// Seconds since 1970.
    pub expires: u64,
    /// Who is charged.
    pub account: [u8; 16],
}

impl PassFields {
    /// `K48`.
    pub fn k48(&self) -> Vec<u8> {
        let info: [&[u8]; 4] = [b"meshrelay/1 pass", &self.circuit, &[self.side], self.address.as_bytes()];
        expand(&self.key, &info, 48)
    }

    /// The pass.
    pub fn seal(&self) -> Vec<u8> {
        let plaintext = [&self.expires.to_be_bytes()[..], &self.account].concat();
        [&self.circuit[..], &[self.side], &etm_seal(&self.k48(), &[], &plaintext)].concat()
    }

    /// JOIN with the pass.
    pub fn join(&self) -> Vec<u8> {
        join(&self.seal())
    }
}

/// JOIN with any pass.
pub fn join(pass: &[u8]) -> Vec<u8> {
    [&[0, 1, 1], pass].concat()
}

/// PING.
pub fn ping(nonce: [u8; 8]) -> Vec<u8> {
    [&[0, 1, 2], &nonce[..]].concat()
}

/// PONG.
pub fn pong(nonce: [u8; 8]) -> Vec<u8> {
    [&[3], &nonce[..]].concat()
}

/// REFUSED.
pub fn refused(code: u8) -> Vec<u8> {
    vec![4, code]
}

/// The account of a user.
pub fn account(key: &[u8], user: &[u8]) -> [u8; 16] {
    let mac = hmac(key, &[b"meshrelay/1 account", user]);
    mac[..16].try_into().expect("half a MAC")
}

/// The code of a refusal by its error name; none for what ends without a word.
pub fn code_of(reason: &str) -> Option<u8> {
    let codes = [("join-unknown", 1), ("join-expired", 2), ("join-taken", 3), ("relay-busy", 4)];
    codes.into_iter().find(|(name, _)| *name == reason).map(|(_, code)| code)
}

/// What a relay answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// More bytes are needed.
    Nothing,
    /// PONG.
    Pong,
    /// WAITING.
    Waiting,
    /// JOINED.
    Joined,
}

/// A relay that never forgets and that nobody leaves.
#[derive(Clone, Debug)]
pub struct Relay {
    /// The relay key.
    pub key: Vec<u8>,
    /// Its address.
    pub address: String,
    /// Its clock.
    pub now: u64,
    /// Circuit and side of the passes that it accepted.
    pub accepted: Vec<([u8; 16], u8)>,
}

impl Relay {
    /// A connection on which these bytes come.
    pub fn connection(&mut self, bytes: &[u8]) -> Result<Answer, Rejection> {
        let version = bytes.iter().zip([0, 1]).all(|(got, want)| *got == want);
        require(version, "RLY-001", "join-malformed")?;
        let Some(kind) = bytes.get(2) else { return Ok(Answer::Nothing) };
        match (kind, &bytes[3..]) {
            (1, rest) if rest.len() >= PASS => self.pass(&rest[..PASS]),
            (2, rest) if rest.len() >= 8 => Ok(Answer::Pong),
            (1 | 2, _) => Ok(Answer::Nothing),
            _ => reject("RLY-001", "join-malformed"),
        }
    }

    fn pass(&mut self, pass: &[u8]) -> Result<Answer, Rejection> {
        let circuit: [u8; 16] = pass[..16].try_into().expect("16 bytes");
        let side = pass[16];
        let (key, address) = (self.key.clone(), self.address.clone());
        let fields = PassFields { key, address, circuit, side, expires: 0, account: [0; 16] };
        let Some(plaintext) = etm_open(&fields.k48(), &[], &pass[17..]) else {
            return reject("RLY-002", "join-unknown");
        };
        require(side <= 1, "RLY-002", "join-unknown")?;
        let expires = u64::from_be_bytes(plaintext[..8].try_into().expect("8 bytes"));
        require(self.now < expires, "RLY-007", "join-expired")?;
        require(!self.accepted.contains(&(circuit, side)), "RLY-004", "join-taken")?;
        self.accepted.push((circuit, side));
        let both = self.accepted.contains(&(circuit, 1 - side));
        Ok(if both { Answer::Joined } else { Answer::Waiting })
    }
}
