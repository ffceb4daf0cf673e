//! Hooks of authors compared with a shell: prestop's interpretation of a script matches what dash
//! does when it runs the script, and a script whose `sleep` was removed does the rest.
//!
//! Only scripts of the grammar below are run, in a folder that is the whole `PATH` and contains
//! only programs that record their calls.

mod grammar;
mod sandbox;

use arbitrary::Unstructured;
use prestop_core::engine::understood::{CommandForm, RunCommand, Understood, understood};

use self::grammar::Script;
use self::sandbox::{Call, Sandbox};

thread_local! {
    static SANDBOX: Sandbox = Sandbox::new();
}

/// The input is the choices for a script.
pub fn target(bytes: &[u8]) {
    if let Ok(script) = Script::of(&mut Unstructured::new(bytes)) {
        holds(&script);
    }
}

fn holds(script: &Script) {
    let command: Vec<&str> = script.command.iter().map(String::as_str).collect();
    let Some(found) = understood(&command) else { return };
    SANDBOX.with(|sandbox| {
        let whole = sandbox.run(&command);
        // Such scripts are errors in any shell, so authors do not write them.
        if whole.is_syntax_error {
            return;
        }
        // The interpretation assumes that programs do not fail.
        if !script.may_fail {
            is_a_beginning(&found, &whole.calls, script);
        }
        match &found.form {
            CommandForm::Delay { seconds } => {
                let slept: i64 = whole.calls.iter().map(|call| call.slept().unwrap_or(-1000)).sum();
                assert_eq!((slept, whole.status), (*seconds, Some(0)), "{script:?}");
            }
            CommandForm::Program { after_seconds, command } => {
                let rest: Vec<&str> = command.iter().map(String::as_str).collect();
                let rest = sandbox.run(&rest);
                let taken_off = whole.calls.len().saturating_sub(rest.calls.len());
                let (first, last) = whole.calls.split_at(taken_off);
                let slept: i64 = first.iter().map(|call| call.slept().unwrap_or(-1000)).sum();
                assert_eq!(slept, *after_seconds, "{script:?}: {found:?}");
                let sorted = |calls: &[Call]| {
                    let mut calls = calls.to_vec();
                    if script.has_concurrency {
                        calls.sort();
                    }
                    calls
                };
                assert_eq!(sorted(last), sorted(&rest.calls), "{script:?}: {found:?}");
                assert_eq!(whole.status, rest.status, "{script:?}: {found:?}");
            }
        }
    });
}

/// Checks that the interpreted commands are the first ones that run, and that they are all of them
/// unless the interpretation is incomplete.
fn is_a_beginning(found: &Understood, calls: &[Call], script: &Script) {
    let is_looked_at = |call: &&Call| call.words[0] != grammar::LOOK && call.slept() != Some(0);
    let mut calls = calls.iter().filter(is_looked_at);
    let mut slept = 0;
    for RunCommand { after_seconds, words } in &found.commands {
        while slept < *after_seconds {
            slept += sleep(calls.next(), script, found);
        }
        assert_eq!(slept, *after_seconds, "{script:?}: {found:?}");
        let Some(expected) = recorded(words) else { continue };
        let call = calls.next().unwrap_or_else(|| panic!("{script:?}: not run: {words:?}"));
        // An expansion may result in no word, or in several.
        let certain: Vec<&String> = expected.iter().map_while(Option::as_ref).collect();
        let is_all = certain.len() == expected.len();
        let is_same = call.words.iter().take(certain.len()).eq(certain)
            && (!is_all || call.words.len() == expected.len());
        assert!(is_same, "{script:?}: {call:?} is not {expected:?}");
    }
    while slept < found.seconds {
        slept += sleep(calls.next(), script, found);
    }
    assert_eq!(slept, found.seconds, "{script:?}: {found:?}");
    if found.is_whole {
        let more: Vec<_> = calls.collect();
        assert!(more.is_empty(), "{script:?}: {found:?} is not all: {more:?}");
    }
}

fn sleep(call: Option<&Call>, script: &Script, found: &Understood) -> i64 {
    let seconds = call.and_then(Call::slept);
    seconds.unwrap_or_else(|| panic!("{script:?}: {found:?}: {call:?} is no sleep"))
}

/// Returns a command as the sandbox records it; `None` for a built-in command of the shell.
fn recorded(words: &[Option<String>]) -> Option<Vec<Option<String>>> {
    let mut words = words.to_vec();
    while words.len() > 1
        && matches!(words[0].as_deref(), Some("exec" | "command" | "env" | "busybox"))
    {
        words.remove(0);
    }
    let program = words.first_mut()?.as_mut()?;
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    *program = name;
    // A `sleep` of uncertain length is treated like any other command.
    (program == "sleep" || grammar::PROGRAMS.contains(&program.as_str())).then_some(words)
}
