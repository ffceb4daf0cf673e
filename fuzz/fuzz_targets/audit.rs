//! `just fuzz audit`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::audit::target(bytes));
