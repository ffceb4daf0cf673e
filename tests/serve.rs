//! `prestop serve` as its clients see it: the running program, over real sockets.
//!
//! The code that runs the program and its clients is in `crates/test-support`.

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
