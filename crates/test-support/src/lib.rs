//! Helpers shared by the tests of prestop.
//!
//! - `command`: commands that end, with their input and output
//! - `process`: `prestop serve` as a process of the test, waiting, signals
//! - `wire`: a client for it, with access to every byte
//! - `control_plane`: etcd and kube-apiserver as processes, and a client for the API
//! - `fake_api`: a fake API server, for lists and watches that break
//! - `helm`: helm and kubectl; `renderings`: the output of the chart for each value
//! - `schemas`: published schemas of other projects
//! - `documents`: the pages of the repository
//! - `screen`: the contents of a terminal
//! - `cases`: the golden cases of `tests/cases`
//! - `full_size`: tests that are larger if a recipe requests it, and the table of their figures
//!
//! All helpers panic if the test has to fail.

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

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Returns the program, which cargo builds next to the tests that use it; `PRESTOP_TEST_PROGRAM`
/// names another build.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("PRESTOP_TEST_PROGRAM") {
        Some(program) => PathBuf::from(program),
        None => built_program(),
    })
}

fn built_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // The test is target/debug/deps/TEST.
    let program = test.ancestors().nth(2).unwrap().join("prestop");
    assert!(program.exists(), "{} is missing: cargo build", program.display());
    program
}

/// Returns the folder in which `tests/tools/install` puts the tools that it builds.
pub fn built_tools() -> PathBuf {
    built_program().ancestors().nth(2).unwrap().join("tools/control-plane-1.37")
}
