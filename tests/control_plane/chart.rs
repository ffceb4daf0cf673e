//! The Helm chart, without a cluster: what it renders, what it refuses, and that its documents are
//! current. With a real API server: `installing.rs`.

mod merged;
mod nulls;
mod placed;
mod plugin;
mod refused;
mod rendered;
mod values;
