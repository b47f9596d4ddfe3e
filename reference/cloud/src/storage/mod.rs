//! The storage service (`spec/storage.md`).

pub(crate) mod blobs;
mod file_body;
pub(crate) mod media;
pub(crate) mod reserved;
