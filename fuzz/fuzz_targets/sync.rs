#![no_main]
//! Bytes into [`meshproof_fuzz::sync`].

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshproof_fuzz::sync(data));
