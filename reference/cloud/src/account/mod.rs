//! The account service: the issuer of tickets (`spec/identity.md`, `spec/ticket.md` section 4.1).

pub(crate) mod challenges;
pub(crate) mod device;
pub(crate) mod issue;
pub(crate) mod keys;
pub(crate) mod tickets;
