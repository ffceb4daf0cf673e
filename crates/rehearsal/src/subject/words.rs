//! The hooks of prestop, for people.

use prestop_core::engine::hook::{Delay, Hook, Quit, ScriptHook, Task, Wait};
use prestop_core::engine::status::StatusContainer;

/// What a script does; `None` for hooks that say it themselves.
pub(super) fn injected_words(hook: &Hook<'_>) -> Option<String> {
    let ScriptHook { delay, task, wait, report: _ } = hook.script()?;
    let delay = match delay {
        Delay::Fixed { seconds } => format!("delay {seconds}s"),
        Delay::Watched(watch) => {
            format!("delay {}s to {}s", watch.least_seconds, watch.most_seconds)
        }
    };
    let task = match task {
        Task::None => String::new(),
        Task::Quit(quit) => format!(", {}", quit_words(quit)),
        Task::Own { command } => format!(", {}", command.join(" ")),
    };
    let wait = match wait {
        Wait::No => String::new(),
        Wait::AtMost { seconds } => format!(", wait up to {seconds}s"),
        Wait::ForConnections { seconds } => format!(", wait up to {seconds}s for connections"),
    };
    Some(format!("{delay}{task}{wait}"))
}

/// The same for a hook that an earlier `prestop inject` wrote, by the status that it left.
pub(super) fn earlier_words(status: &StatusContainer<'_>) -> Option<String> {
    let StatusContainer { hook, delay, wait, .. } = status;
    if !["quit", "drain"].contains(&hook.as_ref()) {
        return None;
    }
    let wait = wait.map(|seconds| format!(", wait up to {seconds}s")).unwrap_or_default();
    Some(format!("delay {delay}s, {hook}{wait}, as injected earlier"))
}

fn quit_words(quit: &Quit<'_>) -> String {
    if !quit.command.is_empty() {
        return quit.command.join(" ");
    }
    let names = match quit.process_names {
        [] => String::new(),
        names => format!(" if that is {}", names.join(" or ")),
    };
    format!("{} to PID 1{names}", quit.signal.map_or("", |signal| signal.name()))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn scripts_are_told_in_the_order_in_which_they_run() {
        let command = ["nginx", "-s", "quit"].map(str::to_owned);
        let names = ["nginx", "nginx-debug"].map(str::to_owned);
        let words = |command: &[String], delay, wait| {
            let quit = Quit {
                signal: "QUIT".parse().ok(),
                process_names: &names,
                command: Cow::Owned(command.to_vec()),
            };
            let script = ScriptHook { delay, task: Task::Quit(quit), wait, report: None };
            injected_words(&Hook::Script(script))
        };
        let fixed = Delay::Fixed { seconds: 10 };
        let waiting = Wait::AtMost { seconds: 20 };
        let told = words(&command, fixed, waiting);
        assert_eq!(told.as_deref(), Some("delay 10s, nginx -s quit, wait up to 20s"));
        let told = words(&[], fixed, Wait::No);
        assert_eq!(
            told.as_deref(),
            Some("delay 10s, QUIT to PID 1 if that is nginx or nginx-debug")
        );
        assert_eq!(injected_words(&Hook::Sleep { seconds: 3 }), None);
    }
}
