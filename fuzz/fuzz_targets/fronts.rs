//! `just fuzz fronts`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::fronts::target(bytes));
