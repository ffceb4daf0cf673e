//! `just fuzz image_reference`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prestop_fuzz::image_reference::target(bytes));
