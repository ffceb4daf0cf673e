//! Section 5 of the rules: the three forms of hook, written and read again.

use prestop::catalogue::Signal;
use prestop::policy::Policy;
use serde_json::{Value, json};

use super::{Plan, SCRIPT};

impl Plan<'_> {
    /// What is injected.
    pub(super) fn hook(&self, policy: &Policy) -> Value {
        let delay = self.delay.to_string();
        let Some(quit) = &self.quit else {
            return if policy.has_sleep_action() {
                json!({"sleep": {"seconds": self.delay}})
            } else {
                json!({"exec": {"command": ["sleep", delay]}})
            };
        };
        let wait = self.wait.map_or("none".to_owned(), |wait| wait.to_string());
        let signal = quit.signal.map_or("", Signal::name).to_owned();
        let names = quit.process_names.join(",");
        let fixed = ["/bin/sh", "-c", SCRIPT, "prestop"].map(str::to_owned);
        let mut command = fixed.to_vec();
        command.extend([delay, wait, signal, names]);
        command.extend(quit.command.iter().cloned());
        json!({"exec": {"command": command}})
    }
}

/// How long a hook that is there holds the stop back, where that can be read.
pub(super) fn hook_seconds(hook: &Value, believed: bool) -> Option<i64> {
    let is_set = |handler: &&str| hook.get(handler).is_some_and(|value| !value.is_null());
    if ["sleep", "exec"].iter().filter(|handler| is_set(handler)).count() > 1 {
        return None;
    }
    let ours = hook_of_ours(hook).filter(|_| believed);
    ours.or_else(|| {
        let slept = hook.pointer("/sleep/seconds").and_then(Value::as_i64);
        slept.filter(|seconds| *seconds >= 0)
    })
    .or_else(|| exec_sleep(hook))
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
        [shell, flag, _, zero, delay, ..]
            if shell == "/bin/sh" && flag == "-c" && zero == "prestop" =>
        {
            digits(delay)
        }
        _ => exec_sleep(hook),
    }
}
