#![no_main]
//! Bytes into [`meshproof_fuzz::sync`].

libfuzzer_sys::fuzz_target!(init: meshproof_fuzz::plant_from_environment(), |data: &[u8]| {
    meshproof_fuzz::sync(data);
});
