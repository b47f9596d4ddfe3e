#![no_main]
//! A trace of tampering into [`meshproof_fuzz::handshake_puppet`].

libfuzzer_sys::fuzz_target!(|trace: meshproof_fuzz::Trace| meshproof_fuzz::handshake_puppet(&trace));
