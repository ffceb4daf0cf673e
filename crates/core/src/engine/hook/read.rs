//! Hooks of ours, recognised again in a pod.

use super::script::{NAME, drain, quit};
use super::{Delay, Watch};
use crate::engine::pod::PreStop;
use crate::view::{Shape, Text};

/// The recognised parts of a prestop hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// How long the stop is held back before anything else.
    delay: Delay,
    /// How long it is held back after that, at most.
    wait: i64,
}

/// A command that is the long script, and some of its arguments. For programs that run it themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongScript<'a> {
    /// Its delay; one that is not watched has two equal bounds.
    pub watch: Watch,
    /// Whether it waits for connections.
    pub holds: bool,
    /// The file that it reports to; empty for none.
    pub report: &'a str,
}

/// Where the argument REPORT of the long script is in the command.
const REPORT: usize = 11;

impl<'a> LongScript<'a> {
    /// Recognises it; `None` for any other command.
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

    /// The same command with a report to this file.
    #[must_use]
    pub fn reporting(command: &[String], file: &str) -> Vec<String> {
        let mut command = command.to_vec();
        if let Some(report) = command.get_mut(REPORT) {
            file.clone_into(report);
        }
        command
    }
}

/// The delay of a hook of ours, in any of its forms, the upper bound of a range; `None` for hooks of
/// others.
#[must_use]
pub fn recognised_delay(hook: &PreStop<'_>) -> Option<i64> {
    recognise(hook).map(|times| times.delay.most_seconds())
}

/// The watch of a hook of ours, if its delay is watched.
#[must_use]
pub fn recognised_watch(hook: &PreStop<'_>) -> Option<Watch> {
    match recognise(hook)?.delay {
        Delay::Watched(watch) => Some(watch),
        Delay::Fixed { .. } | Delay::Measured { .. } => None,
    }
}

/// How long a hook of ours can take, the quit command's own time not counted; `None` for hooks of
/// others.
#[must_use]
pub fn recognised_length(hook: &PreStop<'_>) -> Option<i64> {
    let Times { delay, wait } = recognise(hook)?;
    delay.most_seconds().checked_add(wait)
}

/// Whether it is one of the scripts.
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

/// The first arguments of the long script.
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

/// What is not a number is no wait: the scripts take it so.
fn wait_of(argument: &Shape<Text<'_>>) -> i64 {
    number(argument).unwrap_or(0)
}

/// The delay of a hook that does nothing else, in one of our forms.
fn plain_delay(hook: &PreStop<'_>) -> Option<i64> {
    let seconds = match (hook.sleep.value(), hook.exec.value()) {
        (Some(sleep), None) => sleep.seconds.value().copied(),
        (None, Some(exec)) => match &exec.command.value()?[..] {
            [Shape::Value(program), Shape::Value(seconds)] if program == "sleep" => whole(seconds),
            _ => None,
        },
        _ => None,
    };
    // Less than nothing is refused by the API server.
    seconds.filter(|seconds| *seconds >= 0)
}

/// Whole seconds, as `sleep` of every image takes them: digits and nothing else.
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
