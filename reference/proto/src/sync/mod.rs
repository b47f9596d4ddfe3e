//! Synchronising folders over a channel (`spec/sync.md`).
//!
//! [`message`] has the messages, [`wire`] the entries in them, [`manifest`] those about chunks; [`entry`] what a change makes
//! of an entry, [`merge`](mod@merge) what two devices' entries are together, [`tree`] the paths that follow from all of them, [`path`]
//! which names may occur at all, [`digest`] how devices find out that nothing is new; [`proof`] is what a writer signs of a
//! change, [`writer`] who writes and how far each has come, [`fork`] who said two things of one change. Who asks whom for what, and what is on
//! disk, is the client's business.

pub mod digest;
pub mod entry;
pub mod fork;
pub mod manifest;
pub mod merge;
pub mod message;
pub mod path;
pub mod proof;
pub mod tree;
mod unicode;
pub mod wire;
pub mod writer;

pub use digest::Digests;
pub use entry::{Content, Context, Entry, Kind, Place, ROOT, Stamp, Version};
pub use fork::Fork;
pub use manifest::Chunk;
pub use merge::merge;
pub use message::{Decoder, Message, State};
pub use path::{Name, PortablePath};
pub use proof::Proof;
pub use tree::{Item, Tree};
pub use writer::{Card, Head};

#[cfg(test)]
mod tests;
