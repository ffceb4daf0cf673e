//! Section 5 of the rules: the three forms of hook, written and read again.

use prestop_core::catalogue::Signal;
use prestop_core::engine::hook::drain_script;
use prestop_core::policy::Policy;
use serde_json::{Value, json};

use super::{DRAIN, Plan, SCRIPT};

impl Plan<'_> {
    /// What is injected.
    pub(super) fn hook(&self, policy: &Policy) -> Value {
        let delay = self.delay.to_string();
        let Some(quit) = &self.quit else {
            return if self.uses_action(policy) {
                json!({"sleep": {"seconds": self.delay}})
            } else {
                json!({"exec": {"command": ["sleep", delay]}})
            };
        };
        let wait = self.wait.map_or("none".to_owned(), |wait| wait.to_string());
        let signal = quit.signal.map_or("", Signal::name).to_owned();
        let names = quit.process_names.join(",");
        let is_own = self.own.as_ref().is_some_and(|own| own.command.is_some());
        let is_long = is_own && self.wait.is_some();
        let script = if is_long { DRAIN } else { SCRIPT };
        let mut command = ["/bin/sh", "-c", script, "prestop"].map(str::to_owned).to_vec();
        if is_long {
            let zero = || "0".to_owned();
            command.extend([delay.clone(), delay, zero(), zero(), zero(), wait]);
            command.extend(["", "", "own"].map(str::to_owned));
        } else {
            command.extend([delay, wait]);
        }
        command.extend([signal, names]);
        command.extend(quit.command.iter().cloned());
        json!({"exec": {"command": command}})
    }
}

fn is_drain(script: &Value) -> bool {
    script == DRAIN || script == drain_script()
}

/// What a hook of the author does, as far as it is certain.
#[derive(Default)]
pub(super) struct Steps<'a> {
    /// The commands beside `sleep`, each with the seconds slept before it.
    pub(super) commands: Vec<(Vec<&'a str>, i64)>,
    pub(super) seconds: i64,
    /// There is more that is not known.
    pub(super) goes_on: bool,
}

/// How long a hook of the author certainly sleeps, and whether it does nothing else.
pub(super) fn own_sleep(hook: &Value) -> Option<(i64, bool)> {
    let steps = steps(hook)?;
    Some((steps.seconds, steps.commands.is_empty() && !steps.goes_on))
}

/// `None` for a hook that is no sleep and no program.
pub(super) fn steps(hook: &Value) -> Option<Steps<'_>> {
    let is_set = |handler: &&str| hook.get(handler).is_some_and(|value| !value.is_null());
    if ["sleep", "exec"].iter().filter(|handler| is_set(handler)).count() > 1 {
        return None;
    }
    if is_set(&"sleep") {
        let seconds = hook.pointer("/sleep/seconds").and_then(Value::as_i64);
        let seconds = seconds.filter(|seconds| *seconds >= 0)?;
        return Some(Steps { seconds, ..Steps::default() });
    }
    let command = hook.pointer("/exec/command")?.as_array()?;
    let words: Vec<&str> = command.iter().map(Value::as_str).collect::<Option<_>>()?;
    let mut steps = Steps::default();
    match words.as_slice() {
        [] => return None,
        [shell, "-c", script, ..] if ["/bin/sh", "sh", "bash"].contains(shell) => {
            steps.run_script(script);
        }
        words => steps.run(words.to_vec()),
    }
    Some(steps)
}

impl<'a> Steps<'a> {
    fn run_script(&mut self, script: &'a str) {
        for line in script.split([';', '\n']) {
            let run = line.split("||").next().unwrap_or_default();
            for command in run.split("&&") {
                let words: Vec<&str> = command.split_whitespace().collect();
                if words.first().is_some_and(|word| ["while", "do", "if"].contains(word)) {
                    self.goes_on = true;
                    return;
                }
                self.run(words);
            }
        }
    }

    fn run(&mut self, words: Vec<&'a str>) {
        match slept(&words) {
            Some(seconds) => self.seconds += seconds,
            None if words.is_empty() => {}
            None => self.commands.push((words, self.seconds)),
        }
    }
}

pub(super) fn slept(words: &[&str]) -> Option<i64> {
    let ["sleep" | "/bin/sleep", length] = words else { return None };
    let units = [("m", 60.0), ("s", 1.0), ("", 1.0)];
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((length.strip_suffix(unit)?, factor)))?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = number.parse().ok().filter(|_| is_number && number.len() < 15)?;
    #[allow(clippy::cast_possible_truncation)]
    Some((seconds * factor).ceil() as i64)
}

fn exec_sleep(hook: &Value) -> Option<i64> {
    let command = hook.pointer("/exec/command")?.as_array()?;
    match command.as_slice() {
        [program, seconds] if program == "sleep" => digits(seconds),
        _ => None,
    }
}

fn digits(value: &Value) -> Option<i64> {
    let text = value.as_str()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// The delay of a hook in one of our three forms.
pub(super) fn hook_of_ours(hook: &Value) -> Option<i64> {
    if let Some(seconds) = hook.pointer("/sleep/seconds") {
        return seconds.as_i64();
    }
    let command = hook.pointer("/exec/command")?.as_array()?;
    match command.as_slice() {
        [shell, flag, script, zero, delay, most, _, _, extra, ..]
            if shell == "/bin/sh" && flag == "-c" && zero == "prestop" && is_drain(script) =>
        {
            digits(delay).and(digits(most)?.checked_add(digits(extra)?))
        }
        [shell, flag, _, zero, delay, ..]
            if shell == "/bin/sh" && flag == "-c" && zero == "prestop" =>
        {
            digits(delay)
        }
        _ => exec_sleep(hook),
    }
}
