//! Section 10 of the rules: existing hooks that don't help, in the forms that the generated pods
//! have.

use prestop_core::catalogue::{ImageReference, Presence, ProfileHook, Programs, Signal};
use serde_json::Value;

use super::hook::{Steps, steps};
use super::quit::by_signal;
use super::settings::image;
use super::{Plan, Problems, containers, is_windows, own_hook, present, shares_processes};

pub(super) fn problems(pod: &Value, plans: &[Plan<'_>], grace: i64, problems: &mut Problems) {
    for (plan, container) in plans.iter().zip(containers(pod)) {
        if plan.code == "own-hook" && plan.earlier.is_none() {
            problems.extend(of_container(pod, container, plan, grace));
        }
    }
}

fn of_container(pod: &Value, container: &Value, plan: &Plan<'_>, grace: i64) -> Vec<&'static str> {
    let hook = own_hook(container).unwrap();
    let handlers = ["sleep", "exec", "httpGet", "tcpSocket"];
    let set = handlers.iter().filter(|handler| present(hook.get(**handler)).is_some());
    match set.copied().collect::<Vec<_>>().as_slice() {
        ["tcpSocket"] => return vec!["own-hook-always-fails"],
        ["exec"] if is_windows(pod) => return Vec::new(),
        ["exec"] if cannot_start(hook, plan.programs) => return vec!["own-hook-cannot-start"],
        ["exec" | "sleep"] => {}
        _ => return Vec::new(),
    }
    let Some(steps) = steps(hook) else { return Vec::new() };
    let end =
        steps.commands.iter().position(|(words, _)| effect(pod, container, plan, words).is_some());
    let mut found = Vec::new();
    let delay = match end {
        Some(0) => Some(steps.commands[0].1),
        None if steps.commands.is_empty() && !steps.goes_on => Some(steps.seconds),
        _ => None,
    };
    let left_alone = plan.known.is_some_and(|known| known.hook == ProfileHook::LeaveAlone);
    if delay.is_some_and(|delay| delay > 0 && delay < 5 && delay < plan.asked_least)
        && plan.margin().is_none()
        && !left_alone
    {
        found.push("own-hook-too-short");
    }
    if let Some(end) = end
        && (effect(pod, container, plan, &steps.commands[end].0) == Some(false)
            || (end == 0 && steps.commands[0].1 == 0 && plan.delay > 0)
            || (plan.abrupt && nothing_follows(&steps, end)))
    {
        found.push("own-hook-does-not-wait");
    }
    if steps.seconds > 0 && steps.seconds >= grace.saturating_sub(2) {
        found.push("own-hook-fills-grace");
    }
    found
}

fn nothing_follows(steps: &Steps<'_>, end: usize) -> bool {
    !steps.goes_on && end + 1 == steps.commands.len() && steps.commands[end].1 == steps.seconds
}

fn cannot_start(hook: &Value, programs: Programs) -> bool {
    let command = hook.pointer("/exec/command").and_then(Value::as_array);
    let all_texts = command.is_some_and(|command| command.iter().all(Value::is_string));
    let program = hook.pointer("/exec/command/0").and_then(Value::as_str).filter(|_| all_texts);
    match program.map(|program| program.strip_prefix("/bin/").unwrap_or(program)) {
        Some("sh" | "bash") => programs.shell == Presence::Absent,
        Some("sleep") => programs.sleep == Presence::Absent,
        _ => false,
    }
}

/// Whether a command lets the application finish (`true`) or drops its requests (`false`), if
/// known.
pub(super) fn effect(
    pod: &Value,
    container: &Value,
    plan: &Plan<'_>,
    words: &[&str],
) -> Option<bool> {
    match words {
        ["nginx" | "/usr/sbin/nginx", "-s", "quit"] | ["apachectl", "graceful-stop"] => Some(true),
        ["nginx" | "/usr/sbin/nginx", "-s", "stop"] => Some(false),
        ["kill", option, "1"] if !shares_processes(pod) => {
            let own = present(container.get("command"));
            if own.is_some_and(|command| command.as_array().is_none_or(|list| !list.is_empty())) {
                return None;
            }
            let known = plan.known?;
            let signal: Signal = option.strip_prefix('-')?.parse().ok()?;
            if matches!(&known.hook, ProfileHook::Quit(quit) if quit.signal == Some(signal)) {
                return Some(true);
            }
            let image = image(container)
                .filter(|image| known.images.iter().any(|pattern| pattern.matches(image)))?;
            by_signal(known, signal, ImageReference::certain_tag(&image))
        }
        _ => None,
    }
}
