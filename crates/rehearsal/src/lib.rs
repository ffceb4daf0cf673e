//! `prestop rehearse`: runs a real server through a rollout as in Kubernetes, under load, first with
//! its manifest as written and then as prestop injects it, and counts dropped requests.
//!
//! Two processes. The outer one reads manifests, decides, prints. The inner one is PID 1 of a sandbox
//! of namespaces ([`sandbox`]), where it plays kubelet, Service and clients; it gets a [`plan`] and
//! returns [`recording`]s. When the outer process ends, the sandbox ends with everything in it.
//!
//! Pure: [`subject`], [`plan`], `endpoints`, `tally`, [`report`], [`picture`], and `kubelet` but for
//! tokio's clock. In the sandbox: [`play`], `rollout`, `replica`, [`load`], whose clients `prestop
//! watch --url` uses too.

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
