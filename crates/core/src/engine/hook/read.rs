//! Recognition of prestop's hooks in a pod.

use super::script::{NAME, drain, quit};
use super::{Delay, Watch};
use crate::engine::pod::PreStop;
use crate::view::{Shape, Text};

/// The recognised parts of a prestop hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// The delay before the task.
    delay: Delay,
    /// Upper bound of the wait after the task, in seconds.
    wait: i64,
}

/// A command that runs the long script, with some of its arguments. For programs that run it
/// themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongScript<'a> {
    /// The delay; both bounds are equal if it is not watched.
    pub watch: Watch,
    /// Whether the hook waits for connections.
    pub holds: bool,
    /// The file for the report; empty for none.
    pub report: &'a str,
}

/// Index of the argument REPORT of the long script in the command.
const REPORT: usize = 11;

impl<'a> LongScript<'a> {
    /// Recognises a command; `None` if it does not run the long script.
    #[must_use]
    pub fn of(command: &'a [String]) -> Option<Self> {
        let [shell, option, code, name, arguments @ ..] = command else { return None };
        let is_ours = shell == "/bin/sh" && option == "-c" && name == NAME;
        if !is_ours || code != drain().text() {
            return None;
        }
        let [least, most, quiet, allowed, extra, _wait, hold, report, ..] = arguments else {
            return None;
        };
        let watch = watch([least, most, quiet, allowed, extra].map(|text| whole(text)))?;
        Some(Self { watch, holds: !hold.is_empty(), report })
    }

    /// Returns the same command with a report to `file`.
    #[must_use]
    pub fn reporting(command: &[String], file: &str) -> Vec<String> {
        let mut command = command.to_vec();
        if let Some(report) = command.get_mut(REPORT) {
            file.clone_into(report);
        }
        command
    }
}

/// Returns the delay of a prestop hook of any form, in seconds, and for a range its upper bound;
/// `None` for other hooks.
#[must_use]
pub fn recognised_delay(hook: &PreStop<'_>) -> Option<i64> {
    recognise(hook).map(|times| times.delay.most_seconds())
}

/// Returns the watch of a prestop hook, if its delay is watched.
#[must_use]
pub fn recognised_watch(hook: &PreStop<'_>) -> Option<Watch> {
    match recognise(hook)?.delay {
        Delay::Watched(watch) => Some(watch),
        Delay::Fixed { .. } | Delay::Measured { .. } => None,
    }
}

/// Returns how many seconds a prestop hook can take, without the time of its quit command; `None`
/// for other hooks.
#[must_use]
pub fn recognised_length(hook: &PreStop<'_>) -> Option<i64> {
    let Times { delay, wait } = recognise(hook)?;
    delay.most_seconds().checked_add(wait)
}

/// Returns whether the hook runs one of the scripts.
#[must_use]
pub fn is_script(hook: &PreStop<'_>) -> bool {
    script(hook).is_some()
}

fn recognise(hook: &PreStop<'_>) -> Option<Times> {
    let plain = plain_delay(hook);
    plain.map(|seconds| Times { delay: Delay::Fixed { seconds }, wait: 0 }).or_else(|| script(hook))
}

fn script(hook: &PreStop<'_>) -> Option<Times> {
    let command = hook.exec.value()?.command.value()?;
    let [shell, option, code, name, arguments @ ..] = &command[..] else {
        return None;
    };
    let is = |argument: &Shape<Text<'_>>, text: &str| {
        argument.value().is_some_and(|argument| argument == text)
    };
    let is_ours = is(shell, "/bin/sh") && is(option, "-c") && is(name, NAME);
    if !is_ours || !are_texts(command) {
        return None;
    }
    if is(code, quit().text()) {
        let [seconds, wait, _signal, _names, ..] = arguments else { return None };
        let delay = Delay::Fixed { seconds: number(seconds)? };
        return Some(Times { delay, wait: wait_of(wait) });
    }
    if !is(code, drain().text()) {
        return None;
    }
    let [least, most, quiet, allowed, extra, wait, _hold, _report, _task, _signal, _names, ..] =
        arguments
    else {
        return None;
    };
    let watch = watch([least, most, quiet, allowed, extra].map(number))?;
    let all = watch.most_seconds.checked_add(watch.extra_seconds)?;
    let delay = if watch.least_seconds < watch.most_seconds {
        Delay::Watched(watch)
    } else {
        Delay::Fixed { seconds: all }
    };
    Some(Times { delay, wait: wait_of(wait) })
}

/// Creates the watch from the first arguments of the long script.
fn watch([least, most, quiet, allowed, extra]: [Option<i64>; 5]) -> Option<Watch> {
    Some(Watch {
        least_seconds: least?,
        most_seconds: most?,
        quiet_seconds: quiet?,
        allowed_connections: allowed?,
        extra_seconds: extra?,
    })
}

fn number(argument: &Shape<Text<'_>>) -> Option<i64> {
    whole(argument.value()?)
}

/// Reads a wait. Anything but a number means no wait, as in the scripts.
fn wait_of(argument: &Shape<Text<'_>>) -> i64 {
    number(argument).unwrap_or(0)
}

/// Returns the delay of a hook that does nothing else, in a form that prestop writes.
fn plain_delay(hook: &PreStop<'_>) -> Option<i64> {
    let seconds = match (hook.sleep.value(), hook.exec.value()) {
        (Some(sleep), None) => sleep.seconds.value().copied(),
        (None, Some(exec)) => match &exec.command.value()?[..] {
            [Shape::Value(program), Shape::Value(seconds)] if program == "sleep" => whole(seconds),
            _ => None,
        },
        _ => None,
    };
    // The API server refuses negative values.
    seconds.filter(|seconds| *seconds >= 0)
}

/// Parses whole seconds as every image's `sleep` accepts them: digits only.
fn whole(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn are_texts(command: &[Shape<Text<'_>>]) -> bool {
    command.iter().all(|argument| argument.value().is_some())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::{Hook, ScriptHook, Task, Wait};
    use super::*;
    use serde_json::json;

    fn command(hook: &ScriptHook<'_>) -> Vec<String> {
        let hook = json!(Hook::Script(hook.clone()));
        serde_json::from_value(hook["exec"]["command"].clone()).unwrap()
    }

    #[test]
    fn the_long_script_is_read_and_given_a_report() {
        let watch = Watch {
            least_seconds: 1,
            most_seconds: 8,
            quiet_seconds: 2,
            allowed_connections: 4,
            extra_seconds: 0,
        };
        let hook = ScriptHook {
            delay: Delay::Watched(watch),
            task: Task::None,
            wait: Wait::ForConnections { seconds: 9 },
            report: None,
        };
        let plain = command(&hook);
        assert_eq!(LongScript::of(&plain), Some(LongScript { watch, holds: true, report: "" }));
        let reporting = ScriptHook { report: Some(Cow::Borrowed("/dev/log")), ..hook.clone() };
        assert_eq!(LongScript::reporting(&plain, "/dev/log"), command(&reporting));
        assert_eq!(LongScript::of(&command(&reporting)).unwrap().report, "/dev/log");
        let quit = ScriptHook {
            delay: Delay::Fixed { seconds: 1 },
            task: Task::Own { command: Cow::Owned(vec!["true".to_owned()]) },
            wait: Wait::No,
            report: None,
        };
        assert_eq!(LongScript::of(&command(&quit)), None);
        assert_eq!(LongScript::of(&["sleep".to_owned(), "5".to_owned()]), None);
    }
}
