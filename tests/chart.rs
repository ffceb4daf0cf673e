//! The Helm chart, without a cluster: what it renders, what it refuses, and that its documents are
//! current. With a real API server: `control_plane/chart.rs`.
//!
//! helm and kubectl are those that `tests/tools/install` built; without them these tests are skipped,
//! which is an error where `PRESTOP_REQUIRE_CONTROL_PLANE` is set.

pub(crate) mod helm;
mod merged;
pub(crate) mod nulls;
mod plugin;
mod refused;
mod rendered;
mod values;
