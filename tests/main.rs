//! Tests of prestop as a whole, in one binary, so that only one is linked. The comment of each
//! module describes its tests.

// Helper functions of tests assert by panicking too; clippy's own exception covers `#[test]`
// functions only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    // Texts are built in the most readable way.
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
