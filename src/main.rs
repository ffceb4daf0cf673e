//! The program: parse, dispatch, exit code. Everything else is in the library.

use std::process::ExitCode;

use prestop::cli::Cli;
use prestop::commands;

fn main() -> ExitCode {
    match Cli::read(std::env::args_os()) {
        Ok(cli) => commands::run(cli),
        Err(error) => error.exit(),
    }
}
