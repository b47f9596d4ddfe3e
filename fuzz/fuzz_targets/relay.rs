#![no_main]
//! Bytes into [`meshproof_fuzz::relay`].

libfuzzer_sys::fuzz_target!(|data: &[u8]| meshproof_fuzz::relay(data));
