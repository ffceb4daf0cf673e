//! The Helm chart without a cluster: its output, the values that it refuses, and that its documents
//! are current. `installing.rs` uses a real API server.

mod merged;
mod nulls;
mod placed;
mod plugin;
mod refused;
mod rendered;
mod values;
