//! `prestop rehearse`: a real server goes through the rollout that Kubernetes would give it, under
//! load, once as its manifest is written and once as prestop injects it, and dropped requests are
//! counted.
//!
//! Two processes. The outer one reads manifests, decides, prints. The inner one is PID 1 of a
//! sandbox of namespaces ([`sandbox`]), where it is kubelet, Service and clients at once; it is
//! handed a [`plan`] and gives back [`recording`]s. When the outer one is gone, so is the sandbox
//! with everything in it.
//!
//! Pure: [`subject`], [`plan`], `endpoints`, `tally`, [`report`], [`picture`], and `kubelet` but for
//! tokio's clock. In the sandbox: [`play`], `rollout`, `replica`, [`load`], whose clients `prestop watch --url` uses too.

// Elsewhere only the clients and pictures are used, by `prestop watch`.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

mod endpoints;
#[cfg(target_os = "linux")]
mod kubelet;
pub mod load;
pub mod picture;
pub mod plan;
#[cfg(target_os = "linux")]
pub mod play;
pub mod recording;
#[cfg(target_os = "linux")]
mod replica;
pub mod report;
#[cfg(target_os = "linux")]
mod rollout;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod subject;
mod tally;
