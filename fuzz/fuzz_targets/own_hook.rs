//! `just fuzz own_hook`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::own_hook::target(bytes));
