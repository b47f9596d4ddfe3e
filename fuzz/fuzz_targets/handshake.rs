#![no_main]
//! Bytes into [`meshproof_fuzz::handshake`].

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshproof_fuzz::handshake(data));
