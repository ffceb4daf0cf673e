//! **prestop** injects `preStop` hooks into pods, so that rolling updates, drains and scale-downs
//! drop no request. One pure engine; thin callers around it.
//!
//! The map, from the inside out (who may import whom is in `ARCHITECTURE.md`, and tested):
//!
//! - [`view`]: lenient, borrowed views of JSON objects
//! - [`duration`]: durations as people write them
//! - [`catalogue`]: what is known about applications and their images
//! - [`policy`]: validated rules, what the engine believes
//! - [`engine`]: a pod, its namespace and a policy in; a decision and a JSON patch out
//! - [`admission`]: reviews of the API server: bytes in, bytes out
//! - [`serving`]: how the server runs: validated settings
//! - [`config`]: the configuration file, to a policy
//! - [`manifest`]: manifests as text: documents, values, edits that keep comments
//! - [`report`]: decisions for readers
//! - [`server`]: the servers; [`metrics`], [`telemetry`]: what they count and tell
//! - [`api`]: the API server, as far as prestop asks it
//! - [`cluster`]: namespaces by watch, the API server's version
//! - [`checks`]: whether an installation works, from what was read of it
//! - `rehearsal`: rollouts of a real server under load (feature `rehearse`)
//! - [`certificates`], [`reload`], [`shutdown`]: what changes while they run; [`memory`]
//! - [`cli`], [`commands`]: the shell: arguments, files, standard streams, exit codes

pub mod admission;
pub mod api;
pub mod catalogue;
pub mod certificates;
pub mod checks;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod duration;
pub mod engine;
pub mod manifest;
pub mod memory;
pub mod metrics;
pub mod policy;
#[cfg(feature = "rehearse")]
pub mod rehearsal;
pub mod reload;
pub mod report;
pub mod server;
pub mod serving;
pub mod shutdown;
pub mod telemetry;
pub mod view;
