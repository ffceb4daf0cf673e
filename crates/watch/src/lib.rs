//! `prestop watch`: observes the terminations of pods. Pure: objects of the API server and the time
//! go in, [terminations](termination::Termination) with [verdicts](verdict::Verdict) come out. No
//! clock, no network.
//!
//! - [`objects`]: pods, events and endpoint slices, with the fields that are read
//! - [`facts`]: facts that are kept about a pod while it runs
//! - `endpoints`: pods that are ready endpoints of Services
//! - [`cause`]: the cause of a termination
//! - [`pending`]: a pod that is terminating
//! - [`judge`]: from observations to [`verdict`]s, one table
//! - [`gaps`]: times without a connection to the API server
//! - [`state`]: the state machine that combines all of these
//! - [`termination`], [`words`], [`summary`], [`advice`]: the reports
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

/// Returns the time from one moment to another, in seconds; negative if the second moment is
/// earlier.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
