//! `just fuzz admission`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::admission::target(bytes));
