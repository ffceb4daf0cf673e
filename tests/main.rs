//! Tests of prestop as a whole; one binary, to link once. Each module says what it proves.

// Helper functions of tests assert by panicking too; clippy's own exception is for `#[test]` only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    // Texts are put together where it reads best.
    clippy::format_push_string,
    clippy::format_collect,
    clippy::type_complexity,
    clippy::single_char_pattern
)]

mod api_rules;
mod audit;
mod authority;
mod bounds;
mod catalogue;
mod cli;
mod clients;
mod config;
mod development_certificates;
mod documents;
mod engine;
mod fronts;
mod generators;
mod golden;
mod hooks;
mod image;
mod inject;
mod layers;
mod manifest;
mod metrics;
mod model;
mod monitoring;
mod policy;
mod properties;
mod reading;
#[cfg(all(feature = "rehearse", target_os = "linux"))]
mod rehearse;
mod release;
mod reviews;
mod rotation;
mod serve;
#[cfg(all(feature = "kubeconfig", feature = "watch"))]
mod watch;
