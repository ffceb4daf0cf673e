//! prestop behind a real API server, and its Helm chart: etcd, kube-apiserver, helm and kubectl on
//! this machine, nothing else. No kubelet is needed to create pods and to read them back.
//!
//! `tests/tools/install` builds these programs; `KUBEBUILDER_ASSETS` names the folder of another
//! etcd and kube-apiserver. `just control-plane` does both and runs the tests, which are ignored
//! otherwise.

// Helper functions of tests also assert by panicking; clippy's own exception covers only `#[test]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    // Texts are assembled where it is most readable.
    clippy::format_push_string,
    clippy::format_collect,
    clippy::type_complexity,
    clippy::single_char_pattern
)]

mod admission;
mod audit;
mod audit_forms;
mod authority;
mod chaos;
mod chart;
mod check;
mod cluster;
mod failures;
mod fronts;
mod installing;
mod others;
mod policy;
mod proxy;
mod rotation;
mod upgrade;
#[cfg(all(feature = "kubeconfig", feature = "watch", unix))]
mod watch;
