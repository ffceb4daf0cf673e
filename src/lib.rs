//! The `prestop` program as a library, so that its tests and benchmarks can reach it. Internal: there is no
//! stable API. Only items that they use are `pub`, so that the compiler finds unused code.
//!
//! **prestop** injects `preStop` hooks into pods, so that rolling updates, drains and scale-downs
//! drop no request. The pure engine is `prestop_core`; manifests as text are `prestop_manifest`;
//! `prestop rehearse` plays rollouts with `prestop_rehearsal`. This package is the program around
//! them:
//!
//! - `cli`, `commands`: arguments, files, standard streams, exit codes
//! - [`config`]: the configuration file, converted to a policy and the server's settings
//! - [`version`]: version, revision and date of this build
//! - [`webhook`]: the server, its metrics and its log
//! - [`cluster`]: the objects that prestop reads from the API server and writes to it

// Without a server, its parts are not used.
#![cfg_attr(not(unix), allow(dead_code))]

mod cli;
pub mod cluster;
mod commands;
pub mod config;
pub mod version;
pub mod webhook;

pub use self::commands::inject::Mode;
pub use self::commands::inject::rewrite::{Rewritten, rewrite};
pub use self::commands::main;
