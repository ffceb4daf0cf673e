//! Descriptions of prestop's hooks for people.

use prestop_core::engine::hook::{Delay, Hook, Quit, ScriptHook, Task, Wait};
use prestop_core::engine::status::StatusContainer;

/// Describes a script; `None` for hooks that need no description.
pub(super) fn injected_words(hook: &Hook<'_>) -> Option<String> {
    let ScriptHook { delay, task, wait, report: _ } = hook.script()?;
    let delay = match delay {
        Delay::Fixed { seconds } | Delay::Measured { seconds, .. } => format!("delay {seconds}s"),
        Delay::Watched(watch) => {
            range_words(watch.least_seconds, watch.most_seconds.saturating_add(watch.extra_seconds))
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
        Wait::ForConnections { seconds } => hold_words(*seconds),
    };
    Some(format!("{delay}{task}{wait}"))
}

/// Describes a hook that an earlier `prestop inject` wrote, from its status annotation.
pub(super) fn earlier_words(status: &StatusContainer<'_>) -> Option<String> {
    let StatusContainer { hook, delay, least, wait, quit_from, hold_from, .. } = status;
    if !["quit", "drain"].contains(&hook.as_ref()) {
        return None;
    }
    let delay = least.map_or_else(|| format!("delay {delay}s"), |least| range_words(least, *delay));
    let quit = if quit_from.is_some() { ", quit" } else { "" };
    let wait = match (wait, hold_from) {
        (None, _) => String::new(),
        (Some(seconds), Some(_)) => hold_words(*seconds),
        (Some(seconds), None) => format!(", wait up to {seconds}s"),
    };
    Some(format!("{delay}{quit}{wait}, as injected earlier"))
}

fn range_words(least: i64, most: i64) -> String {
    format!("delay {least}s to {most}s")
}

fn hold_words(seconds: i64) -> String {
    format!(", hold up to {seconds}s until no connection is left")
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

    use prestop_core::engine::hook::Watch;

    use super::*;

    #[test]
    fn scripts_are_described_in_the_order_in_which_they_run() {
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
        let watch = Watch {
            least_seconds: 1,
            most_seconds: 8,
            quiet_seconds: 2,
            allowed_connections: 4,
            extra_seconds: 0,
        };
        let hold = ScriptHook {
            delay: Delay::Watched(watch),
            task: Task::None,
            wait: Wait::ForConnections { seconds: 20 },
            report: None,
        };
        let told = injected_words(&Hook::Script(hold));
        assert_eq!(
            told.as_deref(),
            Some("delay 1s to 8s, hold up to 20s until no connection is left")
        );
        assert_eq!(injected_words(&Hook::Sleep { seconds: 3 }), None);
    }

    #[test]
    fn earlier_hooks_are_described_by_their_status() {
        let status = r#"{"name": "web", "hook": "drain", "delay": 120, "least": 10, "delayFrom": "pod",
            "wait": 25, "quitFrom": "image", "holdFrom": "pod"}"#;
        let status: StatusContainer<'_> = serde_json::from_str(status).unwrap();
        assert_eq!(
            earlier_words(&status).as_deref(),
            Some(
                "delay 10s to 120s, quit, hold up to 25s until no connection is left, as injected earlier"
            )
        );
    }
}
