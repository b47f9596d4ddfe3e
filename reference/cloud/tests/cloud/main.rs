//! The cloud from outside: over HTTPS, with real keys, against the sentences of `spec/`.

mod common;
mod config;
mod graph;
mod identity;
mod many_folders;
mod meshd;
mod requests;
mod rollover;
mod storage;
mod uploads;
