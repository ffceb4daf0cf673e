//! `just fuzz annotations`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::annotations::target(bytes));
