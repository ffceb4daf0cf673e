//! Interpretation of existing hooks, limited to what is certain (`docs/rules.md`, section 6): for
//! how long they sleep, and which other commands they run.

use super::pod::PreStop;
use super::shell::{self, Command, Invocation, Item, Operator, Word, WordKind, base_name};

/// The effect of an existing hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct OwnHook<'a> {
    /// Total seconds for which the hook certainly sleeps.
    pub(super) seconds: i64,
    /// Seconds for which it sleeps before it runs any other command.
    pub(super) leading_seconds: i64,
    /// The commands other than `sleep` that certainly run.
    pub(super) commands: Vec<Run<'a>>,
    /// Whether there is a part that is not understood.
    pub(super) rest: Rest,
}

/// A command that a hook runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run<'a> {
    /// The program and its arguments.
    pub(super) command: Command<'a>,
    /// Seconds for which the hook has slept before this command.
    pub(super) after_seconds: i64,
}

/// The part of a hook that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Rest {
    /// There is none.
    #[default]
    Nothing,
    /// The rest of the script: a loop, a pipe, a command in the background.
    Unknown,
}

impl<'a> OwnHook<'a> {
    /// Reads a hook; `None` if it is neither a sleep nor a program (`httpGet`), or is not
    /// well-formed.
    pub(super) fn read(hook: &'a PreStop<'_>) -> Option<Self> {
        match (hook.sleep.value(), hook.exec.value()) {
            (Some(sleep), None) => {
                // The API server refuses negative values.
                let seconds = sleep.seconds.value().copied().filter(|seconds| *seconds >= 0)?;
                Some(Self { seconds, leading_seconds: seconds, ..Self::default() })
            }
            (None, Some(exec)) => {
                let command = exec.command.value()?;
                Self::of_arguments(shell::texts(command)?)
            }
            _ => None,
        }
    }

    /// Reads a program with its arguments; `None` if there is no program.
    pub(super) fn of_arguments(arguments: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let mut hook = Self::default();
        if let Some(Invocation { script, .. }) = Invocation::of(arguments.clone()) {
            hook.run(script);
            return Some(hook);
        }
        let words = arguments.map(|text| Word { text: text.into(), kind: WordKind::Quoted });
        let command = Command { words: words.collect(), ..Command::default() };
        command.words.first()?;
        hook.add(command);
        Some(hook)
    }

    /// Returns whether the hook does nothing but sleep.
    pub(super) fn is_plain_delay(&self) -> bool {
        self.commands.is_empty() && self.rest == Rest::Nothing
    }

    fn run(&mut self, script: &'a str) {
        let items = shell::items(script);
        let last_in_background = items.iter().rposition(shell::is_background);
        let mut behind = 0;
        for list in items.split(|item| *item == Item::Operator(Operator::Then)) {
            behind += list.len() + 1;
            // The script does not wait for `sleep 5 &`.
            let ends_here = list.iter().any(|item| {
                matches!(
                    item,
                    Item::Operator(Operator::Background | Operator::Pipe | Operator::Group)
                        | Item::Unread
                )
            });
            // Nor for `sleep 5 && while ...; do ...; done &`, whose end is behind this list.
            let is_longer =
                list.iter().any(|item| matches!(item, Item::Command(it) if it.is_reserved()));
            if ends_here || is_longer && last_in_background.is_some_and(|last| last >= behind) {
                self.rest = Rest::Unknown;
                return;
            }
            let mut is_alternative = false;
            for item in list {
                match item {
                    // The next command runs only if another one failed; `a || b && c` runs a and c.
                    Item::Operator(Operator::Or) => is_alternative = true,
                    Item::Operator(Operator::And) => is_alternative = false,
                    // `a || { b; c; }` runs neither b nor c.
                    Item::Command(command) if is_alternative && !command.may_continue() => {}
                    Item::Command(command) if command.is_reserved() || ends_execution(command) => {
                        self.rest = Rest::Unknown;
                        return;
                    }
                    Item::Command(command) if matches!(command.program(), "exit" | "return") => {
                        return;
                    }
                    Item::Command(command) => {
                        self.add(command.clone());
                        if command.replaces_shell() {
                            return;
                        }
                    }
                    Item::Operator(_) | Item::Unread => {}
                }
            }
        }
    }

    fn add(&mut self, command: Command<'a>) {
        if SILENT.contains(&command.program()) {
            return;
        }
        match slept(&command.words) {
            Some(seconds) => {
                self.seconds = self.seconds.saturating_add(seconds);
                if self.commands.is_empty() {
                    self.leading_seconds = self.seconds;
                }
            }
            None => self.commands.push(Run { command, after_seconds: self.seconds }),
        }
    }
}

/// Shell commands that take no time and affect no process.
const SILENT: [&str; 7] = [":", "true", "set", "export", "cd", "umask", "unset"];

/// Returns whether the commands that follow may not run: after `set -n`, or after `set` with an
/// uncertain argument.
fn ends_execution(command: &Command<'_>) -> bool {
    let is_noexec = |word: &Word<'_>| {
        word.certain().is_none_or(|word| {
            word == "noexec" || word.starts_with(['-', '+']) && word.contains('n')
        })
    };
    command.program() == "set" && command.words.iter().skip(1).any(is_noexec)
}

/// Returns the name of the program that a command runs, without its folder, and its arguments. The
/// prefixes `exec`, `command`, `busybox` and `env` are skipped.
pub(super) fn program<'w, 'a>(words: &'w [Word<'a>]) -> Option<(&'w str, &'w [Word<'a>])> {
    let mut words = words;
    while let [first, rest @ ..] = words
        && !rest.is_empty()
        && matches!(base_name(first.certain()?), "exec" | "command" | "busybox" | "env")
    {
        words = rest;
    }
    let [program, arguments @ ..] = words else { return None };
    Some((base_name(program.certain()?), arguments))
}

/// Returns for how many seconds a program with these arguments sleeps; `None` if it does anything
/// else.
pub(super) fn sleep_of(arguments: &[&str]) -> Option<i64> {
    let words = arguments.iter().map(|text| Word { text: (*text).into(), kind: WordKind::Quoted });
    slept(&words.collect::<Vec<_>>())
}

/// Returns for how many seconds a command sleeps; `None` if it is not a `sleep` of certain length.
pub(super) fn slept(words: &[Word<'_>]) -> Option<i64> {
    let (program, lengths) = program(words)?;
    if program != "sleep" || lengths.is_empty() {
        return None;
    }
    lengths
        .iter()
        .try_fold(0_i64, |sum, length| Some(sum.saturating_add(seconds(length.certain()?)?)))
}

/// Parses a length as `sleep` of coreutils and busybox accepts it (`10`, `0.5`, `2m`, `1h`), in
/// whole seconds, rounded up.
fn seconds(text: &str) -> Option<i64> {
    let (number, factor) = match text.as_bytes().last()? {
        b's' => (text.get(..text.len() - 1)?, 1),
        b'm' => (text.get(..text.len() - 1)?, 60),
        b'h' => (text.get(..text.len() - 1)?, 3600),
        b'd' => (text.get(..text.len() - 1)?, 86_400),
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let are_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = number.bytes().any(|byte| byte.is_ascii_digit());
    if !is_number || number.len() > 18 || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction: i64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let unit = 10_i64.checked_pow(digits)?;
    let scaled = fraction.saturating_mul(factor);
    let rounded_up = scaled / unit + i64::from(scaled % unit > 0);
    Some(whole.saturating_mul(factor).saturating_add(rounded_up))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pod::Pod;
    use serde_json::{Value, json};

    /// Returns the total seconds, the leading seconds, the number of other commands, and the part
    /// that is not understood.
    fn read(hook: &Value) -> Option<(i64, i64, usize, Rest)> {
        let pod = json!({"spec": {"containers": [{"lifecycle": {"preStop": hook}}]}});
        let pod = Pod::from_value(&pod);
        let container = pod.spec.value()?.containers.value()?.first()?.value()?;
        let hook = OwnHook::read(container.lifecycle.value()?.pre_stop.value()?)?;
        Some((hook.seconds, hook.leading_seconds, hook.commands.len(), hook.rest))
    }

    fn exec(command: &[&str]) -> Option<(i64, i64, usize, Rest)> {
        read(&json!({"exec": {"command": command}}))
    }

    #[test]
    fn plain_delays_in_every_spelling() {
        assert_eq!(read(&json!({"sleep": {"seconds": 30}})), Some((30, 30, 0, Rest::Nothing)));
        for command in [
            &["sleep", "30"][..],
            &["/bin/sleep", "30"],
            &["/usr/bin/sleep", "30s"],
            &["sleep", "0.5m"],
            &["sleep", "29.1"],
            &["busybox", "sleep", "30"],
            &["/bin/busybox", "sh", "-c", "sleep 30"],
            &["sh", "-c", "sleep 30"],
            &["/bin/sh", "-c", "sleep 30"],
            &["bash", "-c", "sleep 30"],
            &["/bin/bash", "-ec", "/bin/sleep 30"],
            &["ash", "-c", "sleep '30'"],
            &["/usr/bin/env", "bash", "-c", "sleep \"30\""],
            &["/bin/sh", "-c", "exec sleep 30"],
            &["/bin/sh", "-c", "set -e; sleep 30;"],
            &["/bin/sh", "-c", "sleep 10; sleep 20"],
            &["/bin/sh", "-c", "sleep 10 && sleep 20s"],
            &["/bin/sh", "-c", "sleep 10 20"],
            &["/bin/sh", "-c", "\n# wait\nsleep 30 # seconds\n"],
            &["/bin/sh", "-c", "sleep 30 || true"],
            &["/bin/sh", "-c", "sleep 30 >/dev/null 2>&1; exit 0; sleep 5"],
        ] {
            assert_eq!(exec(command), Some((30, 30, 0, Rest::Nothing)), "{command:?}");
        }
        assert_eq!(exec(&["sleep", "1h"]), Some((3600, 3600, 0, Rest::Nothing)));
    }

    #[test]
    fn a_delay_beside_other_commands() {
        let script = |script: &str| exec(&["/bin/sh", "-c", script]);
        for (text, expected) in [
            ("sleep 15; nginx -s quit", (15, 15, 1, Rest::Nothing)),
            ("sleep 15 && /usr/sbin/nginx -s quit && sleep 5", (20, 15, 1, Rest::Nothing)),
            ("sleep 15\nkill -TERM 1\n", (15, 15, 1, Rest::Nothing)),
            ("nginx -s quit; sleep 20", (20, 0, 1, Rest::Nothing)),
            ("echo bye; sleep 20", (20, 0, 1, Rest::Nothing)),
            ("sleep 15; while pgrep nginx; do sleep 1; done", (15, 15, 0, Rest::Unknown)),
            ("sleep 15; kill 1 | cat", (15, 15, 0, Rest::Unknown)),
            ("sleep 15 &", (0, 0, 0, Rest::Unknown)),
            ("sleep 5; sleep 15 & wait", (5, 5, 0, Rest::Unknown)),
            ("(sleep 15)", (0, 0, 0, Rest::Unknown)),
            ("sleep 5; sleep 3 && while a; do b; done & sleep 4", (5, 5, 0, Rest::Unknown)),
            ("sleep 5; sleep 3 && while a; do b; done; sleep 4", (8, 8, 0, Rest::Unknown)),
            ("sleep 3; exec app; sleep 5", (3, 3, 1, Rest::Nothing)),
            ("sleep 3; command exec app; sleep 5", (3, 3, 1, Rest::Nothing)),
            ("sleep 3; command exit; sleep 5", (3, 3, 0, Rest::Nothing)),
            ("sleep 3; command set -n; sleep 5", (3, 3, 0, Rest::Unknown)),
            ("sleep 3 || [[ -e x && -e y ]]; sleep 2", (3, 3, 0, Rest::Unknown)),
            ("sleep 3; coproc { sleep 5; }", (3, 3, 0, Rest::Unknown)),
            ("'X=1' sleep 3; sleep 2", (2, 0, 1, Rest::Nothing)),
            ("echo ${X:-{}; sleep 5; echo }", (5, 0, 2, Rest::Nothing)),
            ("echo $(date }); sleep 5", (5, 0, 1, Rest::Nothing)),
            ("sleep 3 || { sleep 5; app; } && sleep 2", (3, 3, 0, Rest::Unknown)),
            ("sleep 3 || [ -e x ]; sleep 2", (5, 5, 0, Rest::Nothing)),
            ("sleep 3 || X=1; sleep 2", (5, 5, 0, Rest::Nothing)),
            ("false || sleep 5", (0, 0, 1, Rest::Nothing)),
            ("sleep 3; set -n; sleep 5", (3, 3, 0, Rest::Unknown)),
            ("sleep 3; set -o noexec; sleep 5", (3, 3, 0, Rest::Unknown)),
            ("set -euo pipefail; sleep 5", (5, 5, 0, Rest::Nothing)),
            ("sleep 3 ||\nsleep 5", (3, 3, 0, Rest::Nothing)),
            ("sleep 3 || true && nginx -s quit || sleep 5 && sleep 4", (7, 3, 1, Rest::Nothing)),
        ] {
            assert_eq!(script(text), Some(expected), "{text:?}");
        }
        assert_eq!(exec(&["/app/drain"]), Some((0, 0, 1, Rest::Nothing)));
    }

    #[test]
    fn what_is_not_certain_is_not_a_delay() {
        let uncertain = [
            "sleep $DELAY",
            "sleep ${DELAY:-15}",
            "sleep $((5 * 3))",
            "sleep infinity",
            "sleep",
            "sleep -5",
            "sleep 5x",
            "sleep .",
            "$SLEEP 5",
            "usleep 5",
            "sleep 99999999999999999999",
        ];
        for text in uncertain {
            let found = exec(&["/bin/sh", "-c", text]).map(|found| (found.0, found.2));
            assert!(matches!(found, Some((0, 1))), "{text:?} {found:?}");
        }
        for hook in [
            json!({}),
            json!({"httpGet": {"port": 80}}),
            json!({"exec": {"command": []}}),
            json!({"exec": {"command": ["sleep", 5]}}),
            json!({"exec": {"command": "sleep 5"}}),
            json!({"sleep": {"seconds": -1}}),
            json!({"sleep": {"seconds": 1}, "exec": {"command": ["sleep", "5"]}}),
        ] {
            assert_eq!(read(&hook), None, "{hook}");
        }
    }
}
