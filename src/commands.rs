//! The subcommands, one file each. All input and output happens here: files, standard streams, the
//! environment. Decisions are made in the pure modules.

mod audit;
mod catalogue;
mod certificates;
mod check;
#[cfg(feature = "manual")]
mod completions;
mod config;
mod explain;
mod from_cluster;
mod fronts;
pub(crate) mod inject;
mod input;
mod objects;
#[cfg(unix)]
mod open_files;
mod policy;
#[cfg(all(feature = "rehearse", target_os = "linux"))]
mod rehearse;
#[cfg(unix)]
mod serve;
mod version;
#[cfg(all(feature = "watch", unix))]
mod watch;
mod webhook;
mod xml;

use std::fs;
use std::io::{self, Write};
use std::path::{MAIN_SEPARATOR, Path};
use std::process::ExitCode;

use anyhow::Context;
use prestop_core::policy::Policy;

use crate::cli::{CertificatesCommand, Cli, Command, ConfigCommand};
use crate::config::Config;

/// Result of a command; documented in the help texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// The command succeeded.
    Done,
    /// `--check`, `check`, `audit` or `watch` found something; `rehearse` dropped requests as injected.
    Found,
    /// A second signal ended the server.
    #[cfg(unix)]
    AtOnce,
    /// Wrong usage: files that contradict the arguments, an invalid configuration.
    Usage,
    /// Some input is invalid.
    BadInput,
    /// No cluster can be reached, or prestop is not installed in it.
    NoCluster,
    /// Ctrl-C, or a signal with the same meaning.
    #[cfg(all(feature = "rehearse", target_os = "linux"))]
    Interrupted,
}

/// Runs the program: reads its arguments, runs the command and prints its errors on standard error.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(feature = "manual")]
    if completions::answered(&std::env::args_os().collect::<Vec<_>>()) {
        return ExitCode::SUCCESS;
    }
    match Cli::read(std::env::args_os()) {
        Ok(cli) => run(cli),
        Err(error) => error.exit(),
    }
}

fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Inject(arguments) => inject::run(&arguments),
        Command::Uninject(arguments) => inject::uninject(&arguments),
        Command::Function(arguments) => inject::function(&arguments),
        #[cfg(all(feature = "rehearse", target_os = "linux"))]
        Command::Rehearse(arguments) => rehearse::run(&arguments),
        #[cfg(all(feature = "rehearse", target_os = "linux"))]
        Command::RehearseSandbox => rehearse::inner(),
        #[cfg(unix)]
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Certificates(CertificatesCommand::Status(arguments)) => {
            certificates::status(&arguments)
        }
        Command::Catalogue(arguments) => catalogue::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Fronts(arguments) => fronts::run(&arguments),
        Command::Policy(arguments) => policy::run(&arguments),
        #[cfg(all(feature = "watch", unix))]
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Config(ConfigCommand::Check { files }) => config::check(&files),
        Command::Config(ConfigCommand::Schema) => config::schema(),
        #[cfg(feature = "manual")]
        Command::Completions { shell } => completions::completions(shell),
        #[cfg(feature = "manual")]
        Command::Man => completions::man(),
        Command::Version(arguments) => version::run(&arguments),
    };
    let exit = match result {
        Ok(exit) => exit,
        // The reader has closed the pipe: `prestop inject … | head`.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            Exit::Usage
        }
    };
    ExitCode::from(match exit {
        Exit::Done => 0,
        Exit::Found => 1,
        #[cfg(unix)]
        Exit::AtOnce => 1,
        Exit::Usage => 2,
        Exit::BadInput | Exit::NoCluster => 3,
        #[cfg(all(feature = "rehearse", target_os = "linux"))]
        Exit::Interrupted => 130,
    })
}

/// Returns the error for a file that can't be opened, with advice if its name is a URL or a
/// pattern.
fn unopened(path: &Path, error: &io::Error) -> anyhow::Error {
    let name = path.display().to_string();
    let hint = if name.starts_with("http://") || name.starts_with("https://") {
        format!("; URLs are not read; download the file: curl -fsSL {name} | prestop ... -")
    } else if name.contains(['*', '?', '[']) {
        "; patterns are expanded by the shell: remove the quotes, or name the folder".to_owned()
    } else {
        String::new()
    };
    anyhow::anyhow!("{name}: {error}{hint}")
}

/// Returns the name of a file in reports: with `/` on Windows too. So reports are the same on every system, and
/// diffs, SARIF and code quality reports name files as git does.
fn name_of(path: &Path) -> String {
    with_slashes(path.display().to_string(), MAIN_SEPARATOR)
}

/// Replaces the separator of folders.
fn with_slashes(name: String, separator: char) -> String {
    // Elsewhere a backslash is a letter.
    if separator == '/' { name } else { name.replace(separator, "/") }
}

/// Returns the policy of a configuration file, or the built-in one.
fn policy(path: Option<&Path>) -> anyhow::Result<Policy> {
    Ok(config(path)?.map_or_else(Policy::built_in, Config::into_policy))
}

/// Reads a configuration file, if there is one.
fn config(path: Option<&Path>) -> anyhow::Result<Option<Config>> {
    let Some(path) = path else { return Ok(None) };
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| unopened(path, &error));
    let text = text.context("configuration")?;
    let config = Config::parse(&text)
        .map_err(|error| anyhow::anyhow!("invalid configuration\n{}", error.in_file(&name)))?;
    Ok(Some(config))
}

/// Prints a message on standard error; a failure to do so can't be reported.
fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::with_slashes;

    #[test]
    fn names_in_reports_have_slashes() {
        let written = |name: &str, separator| with_slashes(name.to_owned(), separator);
        assert_eq!(written(r"C:\shop/base\web.yaml", '\\'), "C:/shop/base/web.yaml");
        assert_eq!(written(r"shop/web\1.yaml", '/'), r"shop/web\1.yaml");
    }
}
