//! `just fuzz manifests`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::manifests::target(bytes));
