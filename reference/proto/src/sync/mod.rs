//! Synchronising folders over a channel (`spec/sync.md`).

pub mod path;

pub use path::PortablePath;
