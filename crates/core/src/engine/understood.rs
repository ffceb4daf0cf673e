//! prestop's interpretation of the command of a hook, as plain data, for tools that run the same
//! command.

use super::own_hook::{OwnHook, Rest};
use super::own_hook_form::{Form, Program};

/// prestop's interpretation of the command of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// The form that is used to complete the hook.
    pub form: CommandForm,
    /// Total seconds for which the command certainly sleeps.
    pub seconds: i64,
    /// The commands other than `sleep` that certainly run, in order, without those that take no
    /// time.
    pub commands: Vec<RunCommand>,
    /// Whether the command contains nothing else.
    pub is_whole: bool,
}

/// The form of a command that is completed (`docs/rules.md`, section 13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandForm {
    /// The command only sleeps.
    Delay {
        /// Length of the delay.
        seconds: i64,
    },
    /// The command runs a program.
    Program {
        /// Seconds of the leading sleep that was removed.
        after_seconds: i64,
        /// The remaining command.
        command: Vec<String>,
    },
}

/// A command that a hook runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCommand {
    /// Seconds for which the hook has slept before this command.
    pub after_seconds: i64,
    /// Program and arguments; `None` for an uncertain word.
    pub words: Vec<Option<String>>,
}

/// Interprets a command; `None` if it is empty.
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
