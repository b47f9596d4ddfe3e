//! Tickets, spec/ticket.md: written in [`write`](mod@write), read and verified in [`read`], weighed in [`decide`].

pub mod decide;
pub mod read;
#[cfg(test)]
mod tests;
pub mod time;
pub mod write;

pub use decide::{Pair, decide_by_set, pair};
pub use read::{Issuer, Ticket, Verification, from_header, parse, verify};
pub use write::{ConfirmationKey, Decision, Forge, Signing, TicketFields};

/// The largest ticket in bytes (TKT-004).
pub const LARGEST: usize = 8192;

/// The literal texts of the grammar of section 3 that have a name there.
pub mod uri {
    /// `uri-c14n`.
    pub const C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
    /// `uri-rsa-sha256`.
    pub const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
    /// `uri-enveloped`.
    pub const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
    /// `uri-sha256`.
    pub const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
    /// `key-name`.
    pub const KEY: &str = "urn:meshproof:attribute:key";
    /// `claim-name`.
    pub const CLAIM: &str = "urn:meshproof:attribute:claim";
    /// `mapping-name`.
    pub const MAPPING: &str = "urn:meshproof:attribute:mapping";
    /// What stands before the digits of a user's name.
    pub const USER: &str = "urn:meshproof:user:";
    /// What stands before the digits of a device's name.
    pub const DEVICE: &str = "urn:meshproof:device:";
}
