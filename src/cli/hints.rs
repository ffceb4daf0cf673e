//! Advice for options and commands that other tools have and prestop does not. clap reports the unknown
//! word; the hint adds what to use instead.

mod words;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error, builder::StyledStr};

use self::words::{COMMANDS, HINTS, Hint};
use super::Cli;

/// Adds a hint to the error if there is one. `arguments` are those of the process, without the
/// program's name.
pub(super) fn with_hint(mut error: Error, arguments: &[String]) -> Error {
    let program = Cli::command();
    let command = command(&program, arguments);
    let hint = match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(&mut error, &program, command),
        ErrorKind::InvalidSubcommand => {
            let word = text(&error, ContextKind::InvalidSubcommand);
            let above = if command == word { "" } else { command };
            find(COMMANDS, above, &word).map(str::to_owned)
        }
        ErrorKind::MissingRequiredArgument => missing_argument(command).map(str::to_owned),
        _ => None,
    };
    if let Some(hint) = hint {
        for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(kind);
        }
        let hint = ContextValue::StyledStrs(vec![StyledStr::from(hint)]);
        error.insert(ContextKind::Suggested, hint);
    }
    error
}

fn missing_argument(command: &str) -> Option<&'static str> {
    match command {
        "rehearse" => {
            Some("put the server's command last, after --: prestop rehearse -f FILE -- COMMAND")
        }
        "completions" => Some("name your shell, such as prestop completions bash"),
        "inject" | "uninject" => Some("name files or folders, or - for standard input"),
        "audit" => Some("name files or folders, - for standard input, or use --cluster"),
        _ => None,
    }
}

fn unknown_argument(error: &mut Error, program: &Command, command: &str) -> Option<String> {
    let said = text(error, ContextKind::InvalidArg);
    let word = said.split('=').next().unwrap_or_default();
    if let Some(hint) = find(HINTS, command, word) {
        return Some(hint.to_owned());
    }
    // clap's tip would be to pass it after `--`, but a file of that name is unlikely.
    if word.starts_with('-') {
        error.remove(ContextKind::Suggested);
        return other_commands(program, word);
    }
    match command {
        "function" => Some(format!(
            "function reads a ResourceList from standard input; for manifests: prestop inject {said}"
        )),
        "check" => Some(format!(
            "check examines a cluster and takes no files; for manifests: prestop inject --check {said}"
        )),
        "watch" if said.contains('.') => Some(format!(
            "watch follows the pods of a cluster and takes no files; for manifests: prestop audit {said}"
        )),
        "watch" => Some(format!(
            "to watch one workload: prestop watch --until-rolled {}{said}",
            if said.contains('/') { "" } else { "deployment/" }
        )),
        "policy" => {
            Some("policy takes no files; the configuration file is --config FILE".to_owned())
        }
        "rehearse" => Some(format!(
            "the manifest is -f FILE, and the server's command comes after --: prestop rehearse -f \
             {} -- COMMAND",
            if said.contains('.') { said.as_str() } else { "FILE" }
        )),
        _ => None,
    }
}

/// Returns the commands that have this long option, as a sentence.
fn other_commands(program: &Command, word: &str) -> Option<String> {
    let name = word.strip_prefix("--")?;
    let has_it = |command: &&Command| {
        command.get_arguments().any(|argument| argument.get_long() == Some(name))
    };
    let visible = program.get_subcommands().filter(|command| !command.is_hide_set());
    let commands = visible.filter(has_it).map(|command| format!("prestop {}", command.get_name()));
    let commands: Vec<_> = commands.collect();
    (!commands.is_empty()).then(|| format!("{word} is an option of {}", commands.join(", ")))
}

fn find(hints: &[Hint], command: &str, word: &str) -> Option<&'static str> {
    let hint = hints.iter().find(|(of, words, _)| of.contains(&command) && words.contains(&word));
    hint.map(|(_, _, hint)| *hint)
}

/// Returns the name of the given command, also if an alias was used; empty if the first argument is
/// an option.
fn command<'a>(program: &'a Command, arguments: &'a [String]) -> &'a str {
    let first = arguments.first().filter(|first| !first.starts_with('-'));
    let Some(first) = first else { return "" };
    program.find_subcommand(first).map_or(first, Command::get_name)
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A hint for an option or command that prestop has would never be printed.
    #[test]
    fn hints_are_for_unknown_words_only() {
        let cli = Cli::command();
        let of = |name: &str| cli.find_subcommand(name).unwrap_or(&cli);
        for (names, words, _) in HINTS {
            for command in names.iter().map(|name| of(name)) {
                for argument in command.get_arguments() {
                    let long = argument.get_long().map(|long| format!("--{long}"));
                    let short = argument.get_short().map(|short| format!("-{short}"));
                    for own in long.into_iter().chain(short) {
                        assert!(!words.contains(&own.as_str()), "{} {own}", command.get_name());
                    }
                }
            }
        }
        for (names, words, _) in COMMANDS {
            let unknown =
                |word: &&str| names.iter().all(|name| of(name).find_subcommand(word).is_none());
            assert!(words.iter().all(unknown), "{words:?}");
        }
    }

    #[test]
    fn hints_are_for_known_commands() {
        let cli = Cli::command();
        let optional = ["", "rehearse", "watch", "serve", "completions"];
        for (names, ..) in HINTS.iter().chain(COMMANDS) {
            for name in *names {
                assert!(optional.contains(name) || cli.find_subcommand(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn a_word_has_one_hint() {
        for table in [HINTS, COMMANDS] {
            let mut seen = HashSet::new();
            for (names, words, _) in table {
                for name in *names {
                    assert!(words.iter().all(|word| seen.insert((name, word))), "{name} {words:?}");
                }
            }
        }
    }
}
