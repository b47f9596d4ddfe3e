#![no_main]
//! Bytes into [`meshproof_fuzz::record`].

libfuzzer_sys::fuzz_target!(init: meshproof_fuzz::plant_from_environment(), |data: &[u8]| {
    meshproof_fuzz::record(data);
});
