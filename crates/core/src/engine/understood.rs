//! What prestop takes the command of a hook for, as plain data, for whoever runs the same command.

use super::own_hook::{OwnHook, Rest};
use super::own_hook_form::{Form, Program};

/// A command of a hook, as prestop understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// How it would be completed.
    pub form: CommandForm,
    /// Seconds that it certainly sleeps, all together.
    pub seconds: i64,
    /// The commands beside `sleep` that are certainly run, in order; those that take no time are left out.
    pub commands: Vec<RunCommand>,
    /// There is nothing else in it.
    pub is_whole: bool,
}

/// A command as one that is completed (`docs/rules.md`, section 13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandForm {
    /// It sleeps and does nothing else.
    Delay {
        /// How long.
        seconds: i64,
    },
    /// It runs a program.
    Program {
        /// The sleep that was taken off.
        after_seconds: i64,
        /// What is left to run.
        command: Vec<String>,
    },
}

/// A command that a hook runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCommand {
    /// How long the hook has slept by then.
    pub after_seconds: i64,
    /// Program and arguments; `None` for a word that is not certain.
    pub words: Vec<Option<String>>,
}

/// Reads a command; `None` for an empty one.
#[must_use]
pub fn understood(command: &[&str]) -> Option<Understood> {
    let OwnHook { seconds, commands, rest, .. } = OwnHook::of_arguments(command.iter().copied())?;
    let form = match Form::of_command(command.to_vec()) {
        Form::Delay { seconds } => CommandForm::Delay { seconds },
        Form::Program(Program { after_seconds, command, .. }) => {
            let command = command.into_iter().map(str::to_owned).collect();
            CommandForm::Program { after_seconds, command }
        }
        Form::HttpGet | Form::Unusable => return None,
    };
    let commands = commands.iter().map(|run| RunCommand {
        after_seconds: run.after_seconds,
        words: run.command.words.iter().map(|word| word.certain().map(str::to_owned)).collect(),
    });
    let commands = commands.collect();
    Some(Understood { form, seconds, commands, is_whole: rest == Rest::Nothing })
}
