//! `prestop serve` as others meet it: over real sockets, with the program running.
//!
//! - `process`: the program, started and stopped;
//! - `wire`: requests and answers, byte by byte where it matters;
//! - the rest: what has to hold.

pub(crate) mod agreement;
mod attacks;
mod certificates;
mod drain;
mod envelope;
mod hostile;
mod in_process;
mod listening;
mod memory;
mod observing;
mod pods;
pub(crate) mod process;
mod reload;
pub(crate) mod wire;
