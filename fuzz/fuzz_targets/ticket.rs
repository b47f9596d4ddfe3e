#![no_main]
//! Bytes into [`meshproof_fuzz::ticket`].

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshproof_fuzz::ticket(data));
