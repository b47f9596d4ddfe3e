//! The identity service: a name and a password give a token (`spec/identity.md`).

pub(crate) mod password;
pub(crate) mod tokens;
pub(crate) mod users;
