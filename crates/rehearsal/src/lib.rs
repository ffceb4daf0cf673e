//! `prestop rehearse`: runs a real server through a rollout as in Kubernetes, under load, first with
//! its manifest as written and then as prestop injects it, and counts dropped requests.
//!
//! There are two processes. The outer one reads manifests, decides, and prints. The inner one is
//! PID 1 of a sandbox of namespaces ([`sandbox`]), in which it simulates the kubelet, the Service
//! and the clients; it receives a [`plan`] and returns [`recording`]s. When the outer process ends,
//! the sandbox and everything in it ends.
//!
//! Pure: [`subject`], [`plan`], `endpoints`, `tally`, [`report`], [`picture`], and `kubelet` except
//! for tokio's clock. In the sandbox: [`play`], `rollout`, `replica`, and [`load`], whose clients
//! `prestop watch --url` uses too.

// On other systems only the clients and pictures are used, by `prestop watch`.
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
