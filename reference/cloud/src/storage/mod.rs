//! The storage service (`spec/storage.md`).

pub(crate) mod blobs;
pub(crate) mod media;
mod ranges;
mod receive;
pub(crate) mod sweep;
pub(crate) mod uploads;
pub(crate) mod wanted;
