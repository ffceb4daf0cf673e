//! Choice of the quit for a container.

use super::*;

pub(super) fn author_quit(
    pod: &Value,
    command: Vec<String>,
    mut signal: Option<Signal>,
    policy: &Policy,
    problems: &mut Problems,
) -> Option<Quit> {
    if is_windows(pod) {
        problems.insert("quit-not-possible-on-windows");
        return None;
    }
    if policy.quit == QuitPolicy::Never {
        problems.insert("quit-disabled");
        return None;
    }
    if signal.is_some() && shares_processes(pod) {
        problems.insert("pid-1-is-not-the-application");
        signal = None;
    }
    (signal.is_some() || !command.is_empty()).then_some(Quit {
        command,
        signal,
        process_names: Vec::new(),
        waits: true,
    })
}

pub(super) fn profile_quit(
    pod: &Value,
    profile: &Profile,
    graceful: bool,
    (runs, asked_for): (bool, bool),
    policy: &Policy,
    problems: &mut Problems,
) -> Option<Quit> {
    let ProfileHook::Quit(quit) = &profile.hook else {
        return None;
    };
    let only_when_needed = policy.quit == QuitPolicy::WhenNeeded || quit.when == QuitWhen::Needed;
    if policy.quit == QuitPolicy::Never || (graceful && only_when_needed) {
        return None;
    }
    if is_windows(pod) {
        return None;
    }
    if !runs {
        if asked_for {
            problems.insert("quit-needs-shell");
        }
        return None;
    }
    let signal = quit.signal.filter(|_| !shares_processes(pod));
    if quit.command.is_empty() && signal.is_none() && quit.signal.is_some() {
        problems.insert("pid-1-is-not-the-application");
        return None;
    }
    Some(Quit {
        command: quit.command.clone(),
        signal,
        process_names: signal.map(|_| quit.process_names.clone()).unwrap_or_default(),
        waits: quit.command.is_empty() || !graceful,
    })
}

/// Whether the stop signal that follows the hook is graceful, if known.
pub(super) fn ending_of(container: &Value, profile: &Profile, policy: &Policy) -> Option<bool> {
    if present(container.get("command")).is_some_and(|value| *value != json!([])) {
        return None;
    }
    let image = image(container).filter(|image| {
        let mut patterns = profile.images.iter();
        patterns.any(|pattern| pattern.matches(image))
    });
    let tag = image.as_ref().and_then(ImageReference::certain_tag);
    let too_old =
        policy.kubernetes_version.is_some_and(|version| (version.major, version.minor) < (1, 33));
    let own = present(container.pointer("/lifecycle/stopSignal")).filter(|_| !too_old);
    let Some(own) = own else {
        return image.and_then(|_| profile.stop_signal(tag)).map(|fact| fact.graceful);
    };
    match own.as_str().and_then(|name| name.parse::<Signal>().ok()) {
        None => Some(false),
        Some(signal) => by_signal(profile, signal, tag),
    }
}

/// Whether a signal is graceful according to the profile, if known.
pub(super) fn by_signal(profile: &Profile, signal: Signal, tag: Option<&str>) -> Option<bool> {
    let facts: Vec<_> = profile.stop_signals.iter().filter(|fact| fact.signal == signal).collect();
    let holds = |fact: &&&StopSignal| {
        fact.tags.as_ref().is_none_or(|range| range.contains(tag) == Membership::Inside)
    };
    let by_quit = matches!(&profile.hook, ProfileHook::Quit(quit) if quit.signal == Some(signal));
    match facts.iter().find(holds) {
        Some(fact) => Some(fact.graceful),
        None if facts.is_empty() => by_quit.then_some(true),
        None if facts.iter().all(|fact| fact.graceful) => Some(true),
        None => facts.iter().all(|fact| !fact.graceful).then_some(false),
    }
}
