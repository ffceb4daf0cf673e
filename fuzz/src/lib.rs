//! Fuzz targets: each takes arbitrary bytes and panics if a promise is broken.
//! `cargo test -p prestop-fuzz` runs them for a bounded number of inputs, `just fuzz TARGET` with
//! libFuzzer for as long as you like.
//!
//! [`generators`] contains the inputs that targets and properties share.

// A target reports a fault by panicking.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc
)]

pub mod admission;
pub mod annotations;
pub mod audit;
pub mod configuration;
pub mod fronts;
pub mod generators;
pub mod image_reference;
pub mod json_reader;
pub mod manifests;
pub mod own_hook;
mod structured;

/// Returns whether the containers of a pod have different names. Kubernetes refuses other pods, and
/// a second pass may change them again.
fn has_unique_names(pod: &serde_json::Value) -> bool {
    let containers = pod.pointer("/spec/containers").and_then(serde_json::Value::as_array);
    let names: Vec<&str> =
        containers.into_iter().flatten().filter_map(|it| it["name"].as_str()).collect();
    names.iter().enumerate().all(|(place, name)| !names[..place].contains(name))
}
