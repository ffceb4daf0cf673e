//! prestop in a real cluster: installing, injecting, rolling under load, breaking it, renewing its
//! certificates, upgrading, uninstalling. Each test says what it shows and leaves a figure.
//!
//! Only with `PRESTOP_E2E=1`, against the cluster of the current kubeconfig, which should be one to throw
//! away: prestop is installed, killed and removed there. `tests/e2e/run` brings up such a cluster;
//! `docs/real-cluster.md` says how to take kind. The tests are ignored unless they are asked for.

// Helper functions of tests assert by panicking too; clippy's own exception is for `#[test]` only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    // Whoever has a `Cluster` knows that there is one.
    clippy::unused_self,
    // Values and figures are written where they are handed over.
    clippy::needless_pass_by_value
)]

mod audit;
mod certificates;
mod chaos;
mod cluster;
mod creation;
mod documents;
mod figures;
mod fronts;
mod hook_report;
mod inject;
mod install;
mod installation;
mod jobs;
mod kubelet;
mod late;
mod lifecycle;
mod outage;
mod own_hook;
mod restarts;
mod traffic;
mod watch;
mod workloads;
