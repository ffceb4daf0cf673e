//! prestop in a real cluster: installing, injecting, rolling under load, breaking it, renewing its
//! certificates, upgrading, uninstalling. Each test proves one property and records a figure.
//!
//! Only with `PRESTOP_E2E=1`, against the cluster of the current kubeconfig, which should be
//! disposable: prestop is installed, killed and removed there. `tests/e2e/run` starts such a
//! cluster; `docs/real-cluster.md` explains how to use kind. The tests are ignored unless they are
//! requested.

// Helper functions of tests also assert by panicking; clippy's own exception covers only `#[test]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    // A `Cluster` value proves that there is one.
    clippy::unused_self,
    // Values and figures are written where they are passed.
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
