//! `prestop serve` as others meet it: over real sockets, with the program running.
//!
//! The program and its clients are in `crates/test-support`.

mod agreement;
mod attacks;
mod certificates;
mod control_group;
mod drain;
mod envelope;
mod hostile;
mod in_process;
mod listening;
mod memory;
mod observing;
mod overload;
mod pods;
mod reload;
mod soak;
mod steady;
