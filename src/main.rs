//! The program: parse, dispatch, exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use prestop::cli::Cli;
use prestop::commands;

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
