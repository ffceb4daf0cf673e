//! The engine of prestop: a pod, its namespace and a policy in; a decision and a patch out. Pure: no clock, no
//! files, no network, no runtime. Internal to prestop: there is no stable API.
//!
//! From the inside out:
//!
//! - [`view`]: lenient, borrowed views of JSON objects
//! - [`duration`]: durations in the notation of people
//! - [`nearest`]: the known name that is nearest to a misspelt one
//! - [`catalogue`]: facts about applications and their images
//! - [`policy`]: validated rules for the engine
//! - [`engine`]: the decision and the patch
//! - [`fronts`]: what sends requests to a pod, and for how long
//! - [`audit`]: why workloads drop requests in rollouts, and how to fix it
//! - [`admission_policy`]: the rules as policies that API servers evaluate themselves, in CEL
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
