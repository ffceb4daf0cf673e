//! `just fuzz json_reader`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::json_reader::target(bytes));
