//! Rules about containers that run beside the application.

use serde_json::Value;

use super::containers::{HOOK, Numbered};
use super::subject::Subject;
use super::{Certainty, Finding, Mend, Rule};
use crate::duration::{self, HumanSeconds};
use crate::engine::written::{Written, WrittenRole};

/// Profiles of sidecars through which requests or connections of the application pass, and the
/// seconds for which each keeps running after its stop signal by default.
const PROXIES: [(&str, i64); 8] = [
    ("istio-proxy", 5),
    ("linkerd-proxy", 0),
    ("dapr", 5),
    ("kuma-sidecar", 30),
    ("consul-dataplane", 0),
    ("azure-workload-identity-proxy", 0),
    ("cloud-sql-proxy", 0),
    ("envoy", 0),
];
/// Programs that stop other processes.
const KILLERS: [&str; 3] = ["kill", "pkill", "killall"];
/// Parts of paths and arguments that make a proxy exit.
const ENDS: [&str; 4] = ["quitquitquit", "shutdown", "terminate", "healthcheck/fail"];

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    if !subject.is_served() {
        return Vec::new();
    }
    let mut found = sidecars_that_stop_first(subject);
    found.extend(native_sidecars_that_quit(subject));
    found
}

/// Findings for proxies that stop before the delay of the application, whose requests pass through
/// them, is over.
fn sidecars_that_stop_first(subject: &Subject<'_>) -> Vec<Finding> {
    let catalogue = &subject.policy.catalogue;
    let containers: Vec<(Numbered<'_>, Written<'_>)> = subject
        .containers()
        .map(|numbered| (numbered, Written::of(numbered.1, catalogue)))
        .collect();
    let applications = containers.iter().filter(|(_, it)| it.role == WrittenRole::Application);
    let Some(longest) = applications.map(|(_, it)| it.held_seconds()).max() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (numbered, written) in &containers {
        let profile = written.profile.filter(|_| written.role == WrittenRole::Sidecar);
        let proxy = PROXIES.iter().find(|(name, _)| Some(*name) == profile);
        let Some((name, by_default)) = proxy else { continue };
        let Some(drain) = own_drain(subject, numbered.0, name, *by_default) else { continue };
        let lasts = written.held_seconds().saturating_add(drain);
        if longest == 0 || lasts >= longest {
            continue;
        }
        let [own, others] = [lasts, longest].map(HumanSeconds);
        let detail = format!("it ends after {own}, the application after {others}");
        let rule = Rule::SidecarStopsFirst;
        let mut finding = subject.of_container(*numbered, rule, HOOK, detail);
        finding.certainty = Certainty::Likely;
        let injected = subject.injected(numbered.0).map(|injected| injected.hook.delay_seconds());
        finding.mend = injected.filter(|seconds| *seconds >= longest).map(|seconds| {
            let seconds = HumanSeconds(seconds);
            Mend::Injected(format!("prestop injects a delay of {seconds} into the sidecar"))
        });
        found.push(finding);
    }
    found
}

/// Returns for how many seconds a container keeps running after its stop signal, if it is a proxy;
/// `None` if it waits for its connections.
pub(super) fn drain(subject: &Subject<'_>, index: usize, profile: Option<&str>) -> Option<i64> {
    match PROXIES.iter().find(|(name, _)| Some(*name) == profile) {
        Some((name, by_default)) => own_drain(subject, index, name, *by_default),
        None => Some(0),
    }
}

/// Returns for how many seconds a proxy keeps running after its stop signal; `None` if it waits for
/// its connections.
fn own_drain(subject: &Subject<'_>, index: usize, profile: &str, default: i64) -> Option<i64> {
    if profile != "istio-proxy" {
        return Some(default);
    }
    let environment = subject.pod_value(&format!("/spec/containers/{index}/env"));
    let variable = |name: &str| {
        let variables = environment.and_then(Value::as_array).into_iter().flatten();
        variables
            .filter(|variable| variable.get("name").and_then(Value::as_str) == Some(name))
            .find_map(|variable| variable.get("value")?.as_str())
    };
    if variable("EXIT_ON_ZERO_ACTIVE_CONNECTIONS") == Some("true") {
        return None;
    }
    let config = subject.pod_value("/metadata/annotations/proxy.istio.io~1config");
    let config = config.and_then(Value::as_str).unwrap_or_default();
    let seconds = |text: &str| duration::parse(text).ok().map(|parsed| parsed.seconds);
    let annotated = config.lines().find_map(|line| {
        let (key, value) = line.split_once("terminationDrainDuration")?;
        let is_key = key.chars().all(|letter| letter.is_whitespace() || "{\"',".contains(letter));
        let value = value.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        if is_key { seconds(value) } else { None }
    });
    let variable = variable("TERMINATION_DRAIN_DURATION_SECONDS");
    Some(annotated.or_else(|| variable?.parse().ok()).unwrap_or(default))
}

/// Findings for hooks that end native sidecars. The kubelet stops native sidecars after the
/// application, but starts their hooks immediately.
fn native_sidecars_that_quit(subject: &Subject<'_>) -> Vec<Finding> {
    let containers = subject.pod_value("/spec/initContainers").and_then(Value::as_array);
    let mut found = Vec::new();
    for (index, container) in containers.into_iter().flatten().enumerate() {
        let is_native = container.get("restartPolicy").and_then(Value::as_str) == Some("Always");
        let Some(command) = container.pointer(HOOK).filter(|_| is_native).and_then(ending) else {
            continue;
        };
        let pointer = subject.in_pod(&format!("/spec/initContainers/{index}{HOOK}"));
        let name = container.get("name").and_then(Value::as_str).map(str::to_owned);
        let rule = Rule::NativeSidecarQuits;
        let finding = Subject::finding(rule, Certainty::Likely, pointer, command);
        found.push(Finding { container: name, ..finding });
    }
    found
}

/// Returns the part of a hook that ends its own container, for the report; `None` if it does not
/// end the container.
fn ending(hook: &Value) -> Option<String> {
    let ends = |text: &str| {
        let lower = text.to_ascii_lowercase();
        ENDS.iter().any(|part| lower.contains(part))
    };
    if let Some(path) = hook.pointer("/httpGet/path").and_then(Value::as_str) {
        return ends(path).then(|| path.to_owned());
    }
    let arguments = hook.pointer("/exec/command").and_then(Value::as_array)?;
    let command: Vec<_> = arguments.iter().filter_map(Value::as_str).collect();
    let command = command.join(" ");
    let words: Vec<_> = command.split([' ', ';', '&', '|', '\n', '\t']).collect();
    let is_killer = |word: &&str| {
        let program = word.rsplit('/').next().unwrap_or_default();
        KILLERS.contains(&program)
    };
    // `nginx -s quit` ends the container; `kill -0` sends no signal.
    let quits = words.windows(2).any(|pair| matches!(pair, ["-s", "quit" | "stop"]));
    let kills = words.iter().any(is_killer) && !words.contains(&"-0");
    (quits || kills || ends(&command)).then_some(command)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ending;

    #[test]
    fn hooks_that_end_their_container() {
        let exec = |command: &[&str]| ending(&json!({"exec": {"command": command}})).is_some();
        for command in [
            &["sh", "-c", "kill -TERM 1"][..],
            &["/bin/kill", "1"],
            &["pkill", "envoy"],
            &["nginx", "-s", "quit"],
            &["curl", "-X", "POST", "http://localhost:15020/quitquitquit"],
            &["sh", "-c", "sleep 5; wget -O- http://127.0.0.1/Shutdown"],
        ] {
            assert!(exec(command), "{command:?}");
        }
        for command in [
            &["sleep", "30"][..],
            &["pilot-agent", "request", "POST", "drain_listeners?graceful"],
            &["sh", "-c", "while kill -0 7; do sleep 1; done"],
            &["nginx", "-s", "reload"],
            &[],
        ] {
            assert!(!exec(command), "{command:?}");
        }
        assert!(ending(&json!({"httpGet": {"path": "/quitquitquit"}})).is_some());
        assert!(ending(&json!({"httpGet": {"path": "/drain"}})).is_none());
        for odd in [json!(null), json!([]), json!({"exec": {"command": "kill 1"}}), json!(7)] {
            assert_eq!(ending(&odd), None, "{odd}");
        }
    }
}
