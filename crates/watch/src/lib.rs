//! `prestop watch`: what happened when pods ended. Pure: objects of the API server and the time go in,
//! [terminations](termination::Termination) with [verdicts](verdict::Verdict) come out. No clock, no network.
//!
//! - [`objects`]: pods, events and endpoint slices, with the fields that are read
//! - [`facts`]: what is kept of a pod while it runs
//! - `endpoints`: which pods are ready endpoints of Services
//! - [`cause`]: who ended a pod
//! - [`pending`]: one pod that is ending
//! - [`judge`]: from what was seen to [`verdict`]s, one table
//! - [`gaps`]: times without a connection to the API server
//! - [`state`]: the state machine that joins all of this
//! - [`termination`], [`words`], [`summary`], [`advice`]: what is reported
//! - [`rollout`]: whether a workload has been rolled out

pub mod advice;
pub mod cause;
mod endpoints;
pub mod facts;
pub mod gaps;
pub mod judge;
pub mod objects;
pub mod pending;
pub mod rollout;
pub mod state;
pub mod summary;
pub mod termination;
pub mod verdict;
pub mod words;

use jiff::Timestamp;

/// From one moment to another, in seconds; negative if the second was earlier.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
