//! The form of an existing hook, for extending it (`docs/rules.md`, section 13): only a delay, a
//! program with a removable delay before it, or a form that can't be extended.

use std::cell::LazyCell;

use super::own_hook::{self, OwnHook};
use super::pod::PreStop;
use super::shell::{self, Command, Invocation, Item, Operator, Redirection};

/// A hook of the author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// The hook only sleeps.
    Delay {
        /// Length of the delay.
        seconds: i64,
    },
    /// The hook runs a program.
    Program(Program<'a>),
    /// A request by the kubelet: no program can run before or after it.
    HttpGet,
    /// No handler, more than one, one that never runs, or arguments that are not strings.
    Unusable,
}

/// The program that a hook runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program<'a> {
    /// Seconds of the leading sleep that was removed from the command.
    pub(super) after_seconds: i64,
    /// The remaining command: the author's arguments, except that a script may have lost its first
    /// commands.
    pub(super) command: Vec<&'a str>,
    /// The effect of the command, limited to what is certain.
    pub(super) content: OwnHook<'a>,
}

impl<'a> Form<'a> {
    /// Reads a hook.
    pub(super) fn of(hook: &'a PreStop<'_>) -> Self {
        let handlers = [
            !hook.sleep.is_absent(),
            !hook.exec.is_absent(),
            !hook.http_get.is_absent(),
            !hook.tcp_socket.is_absent(),
        ];
        match handlers {
            [true, false, false, false] => {
                let seconds = hook.sleep.value().and_then(|sleep| sleep.seconds.value().copied());
                // The API server refuses negative values.
                let seconds = seconds.filter(|seconds| *seconds >= 0);
                seconds.map_or(Self::Unusable, |seconds| Self::Delay { seconds })
            }
            [false, true, false, false] => {
                let command = hook.exec.value().and_then(|exec| exec.command.value());
                let command = command.and_then(|command| shell::texts(command));
                let command: Vec<&str> = command.into_iter().flatten().collect();
                if command.is_empty() { Self::Unusable } else { Self::of_command(command) }
            }
            [false, false, true, false] => Self::HttpGet,
            _ => Self::Unusable,
        }
    }

    /// Reads the command of an `exec`, program first.
    pub(super) fn of_command(mut command: Vec<&'a str>) -> Self {
        let Some(place) = Invocation::script_place(&command) else {
            return match own_hook::sleep_of(&command) {
                Some(seconds) => Self::Delay { seconds },
                None => Self::program(0, command),
            };
        };
        let mut after_seconds = 0;
        if let Some(script) = command.get_mut(place) {
            if let Some(seconds) = plain_delay(script) {
                return Self::Delay { seconds };
            }
            (after_seconds, *script) = without_sleep(script);
        }
        Self::program(after_seconds, command)
    }

    fn program(after_seconds: i64, command: Vec<&'a str>) -> Self {
        let content = OwnHook::of_arguments(command.iter().copied()).unwrap_or_default();
        Self::Program(Program { after_seconds, command, content })
    }
}

impl Program<'_> {
    /// Returns whether every command that the program runs is known, with its time.
    #[cfg(test)]
    fn is_understood(&self) -> bool {
        const CHANGES_MEANING: [&str; 5] = ["trap", "eval", ".", "source", "alias"];
        let OwnHook { commands, rest, .. } = &self.content;
        let is_odd = |run: &own_hook::Run<'_>| CHANGES_MEANING.contains(&run.command.program());
        *rest == own_hook::Rest::Nothing && !commands.iter().any(is_odd)
    }
}

/// Returns for how many seconds a script sleeps that does nothing else; `None` if it may do
/// anything else or fail.
fn plain_delay(script: &str) -> Option<i64> {
    if !is_literal(script) {
        return None;
    }
    let mut seconds = 0_i64;
    let mut is_alternative = false;
    let mut has_slept = false;
    let items = shell::items(script);
    let mut rest = items.iter();
    while let Some(item) = rest.next() {
        match item {
            Item::Command(command) if is_alternative => {
                // The commands after `||` never run, because no command before it fails.
                if !is_idle(command) {
                    return None;
                }
            }
            Item::Command(command) => {
                let program = command.program();
                match own_hook::slept(&command.words) {
                    Some(more) => {
                        has_slept = true;
                        seconds = seconds.saturating_add(more);
                        if program == "exec" {
                            return is_in_front(rest.as_slice()).then_some(seconds);
                        }
                    }
                    None if program == "exit" => {
                        let is_success = matches!(command.text().as_str(), "exit" | "exit 0");
                        let ends = is_success && has_slept && is_in_front(rest.as_slice());
                        return ends.then_some(seconds);
                    }
                    None if is_idle(command) => {}
                    None => return None,
                }
            }
            Item::Operator(Operator::Then) => is_alternative = false,
            // `a || b && c` runs c.
            Item::Operator(Operator::And) if !is_alternative => {}
            Item::Operator(Operator::Or) => is_alternative = true,
            Item::Operator(_) | Item::Unread => return None,
        }
    }
    has_slept.then_some(seconds)
}

/// Returns whether the shell itself runs a command, given the items after it. In a pipe or in the
/// background another shell runs it, and `exec` and `exit` end only that shell. The end of
/// `exit && { a; b; } &` is not in these items, so nothing is known about a list with a compound
/// command.
fn is_in_front(behind: &[Item<'_>]) -> bool {
    let mut list = behind.iter().take_while(|item| **item != Item::Operator(Operator::Then));
    list.all(|item| match item {
        Item::Command(command) => !command.is_reserved(),
        Item::Operator(operator) => matches!(operator, Operator::And | Operator::Or),
        Item::Unread => false,
    })
}

/// Returns whether a command has no effect.
fn is_idle(command: &Command<'_>) -> bool {
    let is_option = |word: &shell::Word<'_>| {
        word.certain().is_some_and(|word| word.starts_with(['-', '+']) && !word.contains('n'))
    };
    let has_no_effect = match command.program() {
        ":" | "true" => true,
        "set" => command.words.iter().skip(1).all(is_option),
        _ => false,
    };
    has_no_effect && command.redirection == Redirection::None
}

/// Removes the leading `sleep` commands of a script; returns their total seconds and the rest. They
/// are removed only if the rest means the same without them.
fn without_sleep(script: &str) -> (i64, &str) {
    let mut rest = script;
    let mut seconds = 0_i64;
    // The removed part contains nothing of this kind.
    let has_background = LazyCell::new(|| shell::items(script).iter().any(shell::is_background));
    while let Some((command, operator, behind)) = shell::first(rest) {
        let before = rest.get(..rest.len().saturating_sub(behind.len())).unwrap_or_default();
        let is_plain = is_literal(before)
            && command.redirection == Redirection::None
            && command.program() != "exec"
            && match operator {
                Operator::Then => true,
                // If the chain continues in the background, its `sleep` is in the background as
                // well.
                Operator::And => !*has_background,
                _ => false,
            };
        let Some(slept) = own_hook::slept(&command.words).filter(|_| is_plain) else { break };
        if shell::is_empty(behind) {
            break;
        }
        seconds = seconds.saturating_add(slept);
        rest = behind;
    }
    (seconds, rest)
}

/// Returns whether a script contains no expansions, no carriage return, which shells would treat as
/// part of a word, and no other `PATH`, in which `sleep` could be another program.
fn is_literal(script: &str) -> bool {
    !script.contains(['$', '`', '\r']) && !script.contains("PATH=")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command as Process;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::pod::Pod;

    /// Describes the form of a hook in words.
    fn understood(hook: &Value) -> String {
        let pod = json!({"spec": {"containers": [{"lifecycle": {"preStop": hook}}]}});
        let pod = Pod::from_value(&pod);
        let container = pod.spec.value().unwrap().containers.value().unwrap()[0].value().unwrap();
        let hook = container.lifecycle.value().unwrap().pre_stop.value().unwrap();
        match Form::of(hook) {
            Form::Delay { seconds } => format!("delay {seconds}"),
            Form::HttpGet => "httpGet".to_owned(),
            Form::Unusable => "unusable".to_owned(),
            Form::Program(program) => {
                let mut text = match program.after_seconds {
                    0 => "program".to_owned(),
                    seconds => format!("after {seconds}:"),
                };
                let script = Invocation::script_place(&program.command);
                for (place, argument) in program.command.iter().enumerate() {
                    let is_script = Some(place) == script;
                    let argument = argument.replace('\n', "\\n");
                    let _ = if is_script {
                        write!(text, " ({argument})")
                    } else {
                        write!(text, " {argument}")
                    };
                }
                if !program.is_understood() {
                    text.push_str(" (not understood)");
                }
                text
            }
        }
    }

    #[test]
    fn hooks_of_public_manifests() {
        let table = include_str!("own_hooks.tsv");
        let rows: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(rows.len() >= 60, "{}", rows.len());
        for row in rows {
            let [_, expected, hook] = row.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{row}");
            };
            assert_eq!(understood(&serde_json::from_str(hook).unwrap()), expected, "{row}");
        }
    }

    #[test]
    fn a_sleep_stays_where_the_rest_would_mean_something_else() {
        for script in [
            "sleep 5 && say a & wait",
            "sleep 5 && (say a; say b) & wait",
            "sleep 5 || say a",
            "sleep 5 | say a",
            "sleep 5 || true && say a",
            "X=$(say x) sleep 5; say a",
            "sleep $X; say a",
            "sleep 5 > /tmp/started; say a",
            "sleep 5\r\nsay a",
            "! sleep 5; say a",
            "(sleep 5); say a",
            "exec sleep 5 & say a",
            "exec sleep 5 | say a",
            "exec sleep 5 || true & say a",
            "exec sleep 5 && { say a; } & sleep 5",
            "sleep 5 &> out; say a",
            "sleep 5 ||\nsay a",
            "PATH=/app; sleep 5",
            "set -e >/missing/x; sleep 5",
        ] {
            let expected = json!({"exec": {"command": ["sh", "-c", script]}});
            let text = understood(&expected).replace("\\n", "\n");
            assert!(text.starts_with(&format!("program sh -c ({script})")), "{text}");
        }
    }

    /// Creates a folder with programs `sleep` and `say` that record their arguments.
    fn programs() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sleep", "say"] {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >> \"$TRANSCRIPT\"\n"))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    /// Runs a command; returns the recorded lines, and its exit status as the last line.
    fn transcript(folder: &Path, command: &[&str]) -> Vec<String> {
        let written = folder.join("transcript");
        fs::write(&written, "").unwrap();
        let [program, arguments @ ..] = command else { panic!("no program") };
        let output = Process::new(program)
            .args(arguments)
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
            .env("TRANSCRIPT", &written)
            .output()
            .unwrap();
        let text = fs::read_to_string(&written).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.push(format!("{:?}", output.status.code()));
        lines
    }

    /// Returns the total seconds of the recorded sleeps.
    fn slept(lines: &[String]) -> i64 {
        let seconds = |line: &String| {
            let words: Vec<&str> = line.split(' ').collect();
            own_hook::sleep_of(&words).unwrap_or(-1000)
        };
        lines.iter().map(seconds).sum()
    }

    const COMMANDS: [&str; 27] = [
        "sleep 5",
        "sleep 5",
        "sleep 3s",
        "sleep 0.5",
        "sleep 1 2",
        "say a",
        "say '; sleep 9'",
        "false",
        "true",
        ":",
        "exit",
        "exit 0",
        "exit 3",
        "set -e",
        "(say c)",
        "{ say d; }",
        "if true; then say e; fi",
        "while false; do sleep 1; done",
        "say f | cat",
        "X=1",
        "X=1 sleep 4",
        "sleep $X",
        "exec sleep 6",
        "exec say g",
        "! sleep 2",
        "trap 'say h' EXIT",
        "sleep 7 >/dev/null",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// A script has the same effect in dash with and without its sleep.
        #[test]
        fn what_is_understood_means_the_same_to_a_shell(
            steps in prop::collection::vec(
                (
                    prop::sample::select(COMMANDS.as_slice()),
                    prop::sample::select(vec![
                        "; ", "; ", " && ", " && ", " || ", "\n", "\n\n  ", " &&\n", " \\\n ; ", "\n# it's a comment\n",
                    ]),
                ),
                1..5,
            ),
            has_separator in any::<bool>(),
        ) {
            let mut script = String::new();
            for (index, (command, separator)) in steps.iter().enumerate() {
                script.push_str(command);
                if index + 1 < steps.len() {
                    script.push_str(separator);
                }
            }
            if has_separator {
                script.push('\n');
            }
            let folder = programs();
            let command = vec!["dash", "-c", &script];
            let whole = transcript(folder.path(), &command);
            match Form::of_command(command) {
                Form::Delay { seconds } => {
                    let (status, lines) = whole.split_last().unwrap();
                    prop_assert_eq!(status, "Some(0)", "{}", script);
                    prop_assert_eq!(slept(lines), seconds, "{}", script);
                }
                Form::Program(Program { after_seconds, command, .. }) => {
                    let rest = transcript(folder.path(), &command);
                    let before = whole.len().checked_sub(rest.len()).unwrap();
                    let (first, last) = whole.split_at(before);
                    prop_assert_eq!(slept(first), after_seconds, "{}", script);
                    prop_assert_eq!(last, &rest[..], "{}", script);
                }
                other => panic!("{script}: {other:?}"),
            }
        }
    }
}
