//! Code shared by the contestants written in Rust.
//!
//! - [`stack`]: the product's own server with another answer
//! - [`naive`]: the answer of the kube-rs example
//! - [`reviews`]: the requests for all measurements

pub mod naive;
pub mod reviews;
pub mod stack;
