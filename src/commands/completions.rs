//! `prestop completions` and `prestop man`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

use super::Exit;

/// Prints the completion script for a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "prestop", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}

/// Prints the manual page, subcommands included.
pub(super) fn man() -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut out)?;
    for subcommand in command.get_subcommands() {
        clap_mangen::Man::new(subcommand.clone()).render_description_section(&mut out)?;
        clap_mangen::Man::new(subcommand.clone()).render_options_section(&mut out)?;
    }
    Ok(Exit::Done)
}
