#![no_main]
//! Bytes into [`meshproof_fuzz::storage`].

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshproof_fuzz::storage(data));
