//! prestop behind a real API server: etcd and kube-apiserver on this machine, nothing else. No
//! kubelet is needed to create pods and to see what became of them.
//!
//! The binaries are those of `KUBEBUILDER_ASSETS`, or those that `tests/tools/install` built; without
//! them these tests are skipped, which is an error where `PRESTOP_REQUIRE_CONTROL_PLANE` is set.

mod admission;
mod api;
mod authority;
mod chaos;
mod chart;
mod check;
mod cluster;
mod failures;
mod others;
mod proxy;
mod rotation;
