//! The handshake, spec/handshake.md: keys in [`schedule`], ephemeral keys in [`share`], messages written in [`write`](mod@write)
//! and read in [`read`].

pub mod read;
pub mod schedule;
pub mod share;
pub mod write;

pub use read::{Answer, Failure, Initiator, Reply, Responder};
pub use schedule::{M1Keys, M2Keys, Names};
pub use share::{Ephemeral, HYBRID, SUITE, X25519};
pub use write::{M1, M1Fields, M2, M2Fields};

/// The label of `ct_R`.
pub const LABEL_R: &str = "meshp2p/1 kR";
/// The label of `ct_I`.
pub const LABEL_I: &str = "meshp2p/1 kI";
/// What a box plaintext is padded to a multiple of.
pub const BLOCK: usize = 1024;
/// The largest body of M1 and M2.
pub const LARGEST: usize = 24_576;

/// The frame types of section 3.
pub mod kind {
    /// M1, X to Y.
    pub const M1: u8 = 1;
    /// M2, Y to X.
    pub const M2: u8 = 2;
    /// M3, X to Y.
    pub const M3: u8 = 3;
    /// RETRY, Y to X.
    pub const RETRY: u8 = 4;
    /// REFUSE, Y to X.
    pub const REFUSE: u8 = 5;
    /// `NO_COMMON_SUITE`, Y to X.
    pub const NO_COMMON_SUITE: u8 = 6;
}

/// `type u8 | len u24 | body[len]`.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &u24(body.len())[..], body].concat()
}

/// A length of three bytes.
pub fn u24(length: usize) -> [u8; 3] {
    let bytes = u32::try_from(length).expect("the kit writes small messages").to_be_bytes();
    [bytes[1], bytes[2], bytes[3]]
}

/// A length of two bytes.
pub fn u16(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("the kit writes small fields").to_be_bytes()
}
