//! `just fuzz configuration`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::configuration::target(bytes));
