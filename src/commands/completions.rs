//! `prestop completions` and `prestop man`; and the answers to shells and kubectl, which run
//! prestop for completions while the user types. clap determines which words can follow; the values
//! of some arguments are found here.

mod values;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use anyhow::anyhow;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate, complete};
use clap_complete::env::{CompleteEnv, Shells};

use crate::cli::Cli;

use super::Exit;

/// Environment variable that is set by the completion scripts of shells.
const VARIABLE: &str = "PRESTOP_COMPLETE";
/// The program that kubectl runs to find what can follow `kubectl prestop`:
/// <https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>.
const KUBECTLS_COMPLETER: &str = "kubectl_complete-prestop";
/// Directives for the shell integration of kubectl: no file names, and no space after a folder.
/// <https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective>
const NO_FILES: u8 = 4;
const NO_SPACE: u8 = 2;

/// Prints the completion script for a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let completer = shells.completer(&name).ok_or_else(|| anyhow!("no completion for {name}"))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "prestop", "prestop", "prestop", &mut script)?;
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

/// Answers a completion request of a shell or of kubectl. Returns whether there was one.
pub(super) fn answered(arguments: &[OsString]) -> bool {
    let program = arguments.first().map(Path::new).and_then(Path::file_stem);
    if program.is_some_and(|name| name == KUBECTLS_COMPLETER) {
        // If the reader is gone, there is nothing else to do.
        let _ = answer_kubectl(arguments);
        return true;
    }
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let here = std::env::current_dir().ok();
    let environment = CompleteEnv::with_factory(command).var(VARIABLE);
    environment.try_complete(arguments.iter().cloned(), here.as_deref()).unwrap_or(true)
}

/// Prints a line for each word that can follow, with a tab and its help, and then the directive.
fn answer_kubectl(arguments: &[OsString]) -> io::Result<()> {
    let here = std::env::current_dir().ok();
    let last = arguments.len().saturating_sub(1);
    let found = complete(&mut command(), arguments.to_vec(), last, here.as_deref());
    let found: Vec<_> =
        found.unwrap_or_default().into_iter().filter(|it| !it.is_hide_set()).collect();
    let mut out = io::stdout().lock();
    let mut directive = if found.is_empty() { 0 } else { NO_FILES };
    for candidate in &found {
        let value = candidate.get_value().to_string_lossy();
        if value.ends_with(['/', '=']) {
            directive |= NO_SPACE;
        }
        match candidate.get_help().map(ToString::to_string) {
            Some(help) => writeln!(out, "{value}\t{}", help.lines().next().unwrap_or_default())?,
            None => writeln!(out, "{value}")?,
        }
    }
    writeln!(out, ":{directive}")
}

/// Returns prestop's arguments, with candidates for known values.
fn command() -> Command {
    with_values(Cli::command())
}

fn with_values(command: Command) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let command =
        names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_values));
    let asks_cluster = command.get_arguments().any(|argument| argument.get_id() == "context");
    command.mut_args(|argument| {
        let candidates: fn() -> Vec<CompletionCandidate> = match argument.get_id().as_str() {
            "context" => values::contexts,
            "namespace" if asks_cluster => values::namespaces,
            "codes" => values::codes,
            "explain" => values::rules,
            "images" => values::images,
            _ => return argument,
        };
        argument.add(ArgValueCandidates::new(candidates))
    })
}
