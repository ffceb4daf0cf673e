//! Section 13 of the rules: existing hooks that are completed, in the forms that the generated pods
//! have.

use super::*;
use crate::model::hook::{slept, steps};
use crate::model::own_hook::effect;

/// A hook of the author that our hook replaces.
pub(super) struct Own {
    /// Seconds that it sleeps before anything else.
    pub(super) seconds: i64,
    /// The command after the sleep.
    pub(super) command: Option<Vec<String>>,
}

enum Form {
    Delay(i64),
    Program(i64, Vec<String>),
    HttpGet,
}

impl Own {
    /// Reads the hook of a container whose hooks are to be completed.
    pub(super) fn of(
        pod: &Value,
        container: &Value,
        programs: Programs,
        policy: &Policy,
        problems: &mut Problems,
    ) -> Option<Self> {
        let hook = own_hook(container)?;
        let form = form(hook)?;
        let version = policy.kubernetes_version.map(|version| (version.major, version.minor));
        let sleepless = programs.sleep == Presence::Absent;
        let by_action = policy.has_sleep_action()
            || (sleepless && policy.sleep_action == SleepAction::Auto && version >= Some((1, 30)));
        let no_exec = is_windows(pod) && present(hook.get("exec")).is_some();
        let possible = match &form {
            Form::Delay(0) => return None,
            Form::HttpGet => false,
            _ if no_exec => false,
            Form::Delay(_) if is_windows(pod) => policy.has_sleep_action(),
            Form::Delay(_) => by_action || !sleepless,
            Form::Program(..) => programs.shell != Presence::Absent && !sleepless,
        };
        if !possible {
            problems.insert("own-hook-not-extended");
            return None;
        }
        Some(match form {
            Form::Delay(seconds) => Self { seconds, command: None },
            Form::Program(seconds, command) => Self { seconds, command: Some(command) },
            Form::HttpGet => return None,
        })
    }

    pub(super) fn quit(&self) -> Option<Quit> {
        let command = self.command.clone()?;
        Some(Quit { command, signal: None, process_names: Vec::new(), waits: false })
    }
}

/// Whether the completed hook has to wait after its command.
pub(super) fn waits(
    pod: &Value,
    container: &Value,
    plan: &Plan<'_>,
    command: &[String],
    problems: &mut Problems,
) -> bool {
    let hook = json!({"exec": {"command": command}});
    let steps = steps(&hook).unwrap();
    let effects: Vec<_> =
        steps.commands.iter().map(|(words, _)| effect(pod, container, plan, words)).collect();
    if effects.iter().flatten().next() == Some(&false) {
        problems.insert("own-hook-does-not-wait");
    }
    let (Some(Some(true)), Some((words, seconds))) = (effects.last(), steps.commands.last()) else {
        return false;
    };
    !steps.goes_on && *seconds == steps.seconds && (words[0] == "kill" || !plan.graceful)
}

fn form(hook: &Value) -> Option<Form> {
    let handlers = ["sleep", "exec", "httpGet", "tcpSocket"];
    let set = handlers.iter().filter(|handler| present(hook.get(**handler)).is_some());
    match set.copied().collect::<Vec<_>>().as_slice() {
        ["sleep"] => {
            let seconds = hook.pointer("/sleep/seconds").and_then(Value::as_i64);
            seconds.filter(|seconds| *seconds >= 0).map(Form::Delay)
        }
        ["exec"] => {
            let command = hook.pointer("/exec/command").and_then(Value::as_array)?;
            let words: Vec<&str> = command.iter().map(Value::as_str).collect::<Option<_>>()?;
            match words.as_slice() {
                // Including the scripts of section 5.
                [] | ["/bin/sh", "-c", _, "prestop", ..] => None,
                [shell, "-c", script] if ["/bin/sh", "sh", "bash"].contains(shell) => {
                    Some(of_script(shell, script))
                }
                words => Some(slept(words).map_or_else(
                    || Form::Program(0, words.iter().map(ToString::to_string).collect()),
                    Form::Delay,
                )),
            }
        }
        ["httpGet"] => Some(Form::HttpGet),
        _ => None,
    }
}

fn of_script(shell: &str, script: &str) -> Form {
    let commands = script.strip_suffix("|| true").unwrap_or(script);
    let all: Option<i64> = commands
        .split([';', '&'])
        .filter(|command| !command.trim().is_empty())
        .map(|command| slept(&command.split_whitespace().collect::<Vec<_>>()))
        .sum();
    if let Some(seconds) = all {
        return Form::Delay(seconds);
    }
    let (mut seconds, mut rest) = (0, script);
    while let Some((first, behind)) = rest.split_once(';').or_else(|| rest.split_once("&&")) {
        let Some(more) = slept(&first.split_whitespace().collect::<Vec<_>>()) else { break };
        (seconds, rest) = (seconds + more, behind.trim_start());
    }
    Form::Program(seconds, [shell, "-c", rest].map(str::to_owned).to_vec())
}
