//! Synchronising folders over a channel (`spec/sync.md`).
//!
//! [`message`] has the messages, [`manifest`] those about chunks, [`merge`] decides which of two entries for one path wins,
//! [`path`] which names may occur at all. Who asks whom for what, and what is on disk, is the client's business.

pub mod manifest;
pub mod merge;
pub mod message;
pub mod path;

pub use manifest::Chunk;
pub use merge::{Merge, merge};
pub use message::{Decoder, Entry, Kind, Message, Version};
pub use path::PortablePath;

#[cfg(test)]
mod tests;
