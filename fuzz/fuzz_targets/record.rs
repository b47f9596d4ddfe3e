#![no_main]
//! Bytes into [`meshproof_fuzz::record`].

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshproof_fuzz::record(data));
