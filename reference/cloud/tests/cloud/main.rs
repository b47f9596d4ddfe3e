//! The cloud from outside: over HTTPS, with real keys, against the sentences of `spec/`.

mod app_passwords;
mod authenticator;
mod bounds;
mod changes;
mod common;
mod config;
mod contents;
mod contract;
mod desktop;
mod graph;
mod identity;
mod keys;
mod many_folders;
mod meshd;
mod openapi;
mod operations;
mod passkeys;
mod people;
mod queues;
mod relay;
mod rendezvous;
mod requests;
mod rollover;
mod sign_in;
mod storage;
mod uploads;
