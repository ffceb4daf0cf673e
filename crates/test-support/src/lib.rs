//! Helpers shared by the tests of prestop.
//!
//! - `command`: runs that end, with their input and output
//! - `process`: `prestop serve` as a process of the test, waiting, signals
//! - `wire`: a client for it that sees every byte
//! - `control_plane`: etcd and kube-apiserver as processes, and a client for the API
//! - `fake_api`: an API server that is none, for lists and watches that break
//! - `helm`: helm and kubectl; `renderings`: what the chart makes of each value
//! - `schemas`: those of forms that others made
//! - `documents`: the pages of the repository
//! - `screen`: what a terminal shows
//! - `cases`: the golden cases of `tests/cases`
//! - `full_size`: tests that are larger where a recipe asks for it, and the table of their figures
//!
//! Everything here panics where a test has to fail.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

pub mod cases;
pub mod command;
pub mod control_plane;
pub mod documents;
pub mod fake_api;
pub mod full_size;
pub mod helm;
pub mod process;
pub mod renderings;
pub mod schemas;
pub mod screen;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The program, which cargo builds beside the tests that use it; `PRESTOP_TEST_PROGRAM` names another build.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("PRESTOP_TEST_PROGRAM") {
        Some(program) => PathBuf::from(program),
        None => built_program(),
    })
}

fn built_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/TEST
    let program = test.ancestors().nth(2).unwrap().join("prestop");
    assert!(program.exists(), "{} is missing: cargo build", program.display());
    program
}

/// Where `tests/tools/install` puts what it builds.
pub fn built_tools() -> PathBuf {
    built_program().ancestors().nth(2).unwrap().join("tools/control-plane-1.37")
}
