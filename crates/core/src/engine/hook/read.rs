//! Hooks of ours, recognised again in a pod.

use super::script::{NAME, drain, quit};
use super::{Delay, Watch};
use crate::engine::pod::PreStop;
use crate::view::{Shape, Text};

/// What is recognised of a hook of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// How long the stop is held back before anything else.
    delay: Delay,
    /// How long it is held back after that, at most.
    wait: i64,
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
        Delay::Fixed { .. } => None,
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
    let watch = Watch {
        least_seconds: number(least)?,
        most_seconds: number(most)?,
        quiet_seconds: number(quiet)?,
        allowed_connections: number(allowed)?,
        extra_seconds: number(extra)?,
    };
    let all = watch.most_seconds.checked_add(watch.extra_seconds)?;
    let delay = if watch.least_seconds < watch.most_seconds {
        Delay::Watched(watch)
    } else {
        Delay::Fixed { seconds: all }
    };
    Some(Times { delay, wait: wait_of(wait) })
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
