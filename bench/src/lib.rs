//! What the contestants written in Rust share.
//!
//! - [`stack`]: the product's own server around another answer
//! - [`naive`]: the answer of the example of kube-rs
//! - [`reviews`]: the requests that everything is measured with

pub mod naive;
pub mod reviews;
pub mod stack;
