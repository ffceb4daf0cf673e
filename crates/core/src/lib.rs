//! The engine of prestop: a pod, its namespace and a policy in; a decision and a patch out. Pure: no clock, no
//! files, no network, no runtime. Internal to prestop: there is no stable API.
//!
//! From the inside out:
//!
//! - [`view`]: lenient, borrowed views of JSON objects
//! - [`duration`]: durations as people write them
//! - [`nearest`]: the name that a misspelt one was meant for
//! - [`catalogue`]: facts about applications and their images
//! - [`policy`]: validated rules for the engine
//! - [`engine`]: the decision and the patch
//! - [`fronts`]: what is in front of a pod, and how long it keeps sending
//! - [`audit`]: why workloads drop requests when they roll, and what fixes it
//! - [`admission_policy`]: the rules as policies that API servers run themselves, in CEL
//! - [`admission`]: reviews of the API server: bytes in, bytes out

pub mod admission;
pub mod admission_policy;
pub mod audit;
pub mod catalogue;
pub mod duration;
pub mod engine;
pub mod fronts;
pub mod nearest;
pub mod policy;
pub mod view;
