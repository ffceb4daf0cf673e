//! Fuzz targets: each takes any bytes and panics where a promise is broken. `cargo test -p prestop-fuzz` runs
//! them for a bounded number of inputs, `just fuzz TARGET` with libFuzzer for as long as you like.

// A target reports a fault by a panic.
#![allow(clippy::panic)]

pub mod json_reader;
