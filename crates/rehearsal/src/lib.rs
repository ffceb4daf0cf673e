//! `prestop rehearse`: a real server goes through the rollout that Kubernetes would give it, under
//! load, once as its manifest is written and once as prestop injects it, and dropped requests are
//! counted.
//!
//! Two processes. The outer one reads manifests, decides, prints. The inner one is PID 1 of a
//! sandbox of namespaces ([`sandbox`]), where it is kubelet, Service and clients at once; it is
//! handed a [`plan`] and gives back [`recording`]s. When the outer one is gone, so is the sandbox
//! with everything in it.
//!
//! Pure: [`subject`], [`plan`], `endpoints`, `message`, `tally`, [`report`], [`picture`], and `kubelet` but for
//! tokio's clock. In the sandbox: [`play`], `rollout`, `replica`, `load`.

mod endpoints;
mod kubelet;
mod load;
mod message;
pub mod picture;
pub mod plan;
pub mod play;
pub mod recording;
mod replica;
pub mod report;
mod rollout;
pub mod sandbox;
pub mod subject;
mod tally;
