//! Section 5 of the rules: the four forms of hook, written and read back.

use prestop_core::catalogue::Signal;
use prestop_core::engine::hook::drain_script;
use prestop_core::policy::Policy;
use serde_json::{Value, json};

use super::{DRAIN, Plan, SCRIPT};

impl Plan<'_> {
    /// Returns the injected hook.
    pub(super) fn hook(&self, pod: &Value, container: &Value, policy: &Policy) -> Value {
        let (least, most, extra) = self.watch();
        let is_watched = least < most;
        if self.quit.is_none() && !is_watched && !self.holds() && !self.reports() {
            return if self.uses_action(policy) {
                json!({"sleep": {"seconds": self.delay}})
            } else {
                json!({"exec": {"command": ["sleep", self.delay.to_string()]}})
            };
        }
        let is_own = self.own.as_ref().is_some_and(|own| own.command.is_some());
        let keeps_status = is_own && self.wait.is_some();
        let is_long = is_watched || self.holds() || self.reports() || keeps_status;
        let script = if is_long { DRAIN } else { SCRIPT };
        let mut command = ["/bin/sh", "-c", script, "prestop"].map(str::to_owned).to_vec();
        let allowed = allowed(pod, self.quiet);
        let numbers = match (is_watched, self.reports()) {
            (true, _) => vec![least, most, self.quiet, allowed, extra],
            (false, true) => vec![self.delay, self.delay, self.quiet, allowed, 0],
            (false, false) if is_long => vec![self.delay, self.delay, 0, 0, 0],
            (false, false) => vec![self.delay],
        };
        command.extend(numbers.iter().map(i64::to_string));
        command.push(self.wait.map_or("none".to_owned(), |wait| wait.to_string()));
        if is_long {
            command.push(if self.holds() { "connections" } else { "" }.to_owned());
            let path = container.get("terminationMessagePath").and_then(Value::as_str);
            let path = path.filter(|path| !path.is_empty()).unwrap_or("/dev/termination-log");
            command.push(if self.reports() { path } else { "" }.to_owned());
            let task = match self.quit {
                Some(_) if is_own => "own",
                Some(_) => "quit",
                None => "none",
            };
            command.push(task.to_owned());
        }
        let quit = self.quit.as_ref();
        let signal = quit.and_then(|quit| quit.signal).map_or("", Signal::name);
        command.push(signal.to_owned());
        command.push(quit.map(|quit| quit.process_names.join(",")).unwrap_or_default());
        command.extend(quit.into_iter().flat_map(|quit| quit.command.iter().cloned()));
        json!({"exec": {"command": command}})
    }

    /// Returns the lower and the upper bound of the watched part, and the length of the part after
    /// it.
    fn watch(&self) -> (i64, i64, i64) {
        let extra = self.extra.min(self.delay);
        (self.least, self.delay - extra, extra)
    }

    /// Restores the watched range from the hook of an earlier pass.
    pub(super) fn read_watch(&mut self, container: &Value) {
        self.least = self.earlier.map_or(0, |(delay, _)| delay);
        let command = container.pointer("/lifecycle/preStop/exec/command");
        let command = command.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if let [_, _, script, _, least, most, quiet, _, extra, ..] = command
            && is_drain(script)
            && digits(least) < digits(most)
        {
            self.least = digits(least).unwrap_or_default();
            self.quiet = digits(quiet).unwrap_or_default();
            self.extra = digits(extra).unwrap_or_default();
        }
    }
}

fn is_drain(script: &Value) -> bool {
    script == DRAIN || script == drain_script()
}

/// Returns the number of connections in the quiet period that are ignored as probes or as
/// negligible.
fn allowed(pod: &Value, quiet: i64) -> i64 {
    let list = |field: &str| pod["spec"].get(field).and_then(Value::as_array).cloned();
    let mut probed = list("containers").unwrap_or_default();
    let init = list("initContainers").unwrap_or_default();
    probed
        .extend(init.into_iter().filter(|one| one.get("restartPolicy") == Some(&json!("Always"))));
    let mut connections = 0;
    for container in probed {
        let Some(probe) = container.get("readinessProbe").and_then(Value::as_object) else {
            continue;
        };
        let connects = ["httpGet", "tcpSocket", "grpc"]
            .iter()
            .any(|kind| probe.get(*kind).is_some_and(|value| !value.is_null()));
        let period = probe.get("periodSeconds").and_then(Value::as_i64).filter(|it| *it > 0);
        if connects {
            connections += (quiet + period.unwrap_or(10) - 1) / period.unwrap_or(10);
        }
    }
    2 * connections + 2
}

/// Effects of an existing hook, as far as they are certain.
#[derive(Default)]
pub(super) struct Steps<'a> {
    /// The commands other than `sleep`, each with the seconds slept before it.
    pub(super) commands: Vec<(Vec<&'a str>, i64)>,
    pub(super) seconds: i64,
    /// Whether the hook continues with unknown steps.
    pub(super) goes_on: bool,
}

/// Returns how many seconds an existing hook certainly sleeps, and whether it does nothing else.
pub(super) fn own_sleep(hook: &Value) -> Option<(i64, bool)> {
    let steps = steps(hook)?;
    Some((steps.seconds, steps.commands.is_empty() && !steps.goes_on))
}

/// Returns the steps of a hook, or `None` if it is neither a sleep nor a command.
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
            for part in line.split("&&") {
                let command = part.split("||").next().unwrap_or_default();
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

/// Returns the delay of a hook in one of our four forms.
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
