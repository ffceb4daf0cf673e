//! Rules about one container: its hook, its stop signal, its time to finish. `delays` has the rules
//! about its delay.

use serde_json::Value;

use super::objects::Topic;
use super::sidecars::drain;
use super::subject::{Subject, text};
use super::{Certainty, Finding, Mend, Rule};
use crate::engine::pod::{Container, Probe};
use crate::engine::reason::{Aspect, Problem, ProblemCode};
use crate::engine::written::{Written, WrittenHook, WrittenRole};
use crate::policy::KubernetesVersion;

/// First version in which the sleep action is enabled by default.
const FIRST_WITH_SLEEP: KubernetesVersion = KubernetesVersion { major: 1, minor: 30 };
/// First version with `lifecycle.stopSignal`, behind a feature gate.
const FIRST_WITH_STOP_SIGNAL: KubernetesVersion = KubernetesVersion { major: 1, minor: 33 };
/// Version whose kubelets stop running exec readiness probes when a pod begins to terminate.
const WITH_FROZEN_READINESS: KubernetesVersion = KubernetesVersion { major: 1, minor: 35 };
/// Path segments by which servers are shut down.
const SHUTDOWN_PATHS: [&str; 4] = ["shutdown", "quit", "terminate", "stop"];
/// JSON pointer to the hook, relative to the container.
pub(super) const HOOK: &str = "/lifecycle/preStop";

/// A container with its index.
pub(super) type Numbered<'s> = (usize, &'s Container<'s>);

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let containers: Vec<_> = subject.containers().collect();
    let is_only = containers.len() == 1;
    let of = |container| Written::of(container, &subject.policy.catalogue);
    let are_alone = containers.iter().all(|(_, it)| of(it).role == WrittenRole::Sidecar);
    let mut found = Vec::new();
    for numbered in containers {
        let mut written = of(numbered.1);
        if are_alone {
            // All containers are sidecars, so this is a gateway: the proxy is the application.
            written.role = WrittenRole::Application;
            match drain(subject, numbered.0, written.profile) {
                Some(seconds) => written.own_delay = written.own_delay.max(seconds),
                None => written.role = WrittenRole::LeftAlone,
            }
        }
        let one = One { subject, numbered, written };
        if subject.is_served() {
            found.extend(one.of_problems());
            if written.role == WrittenRole::Application {
                if is_only || one.has_ports() {
                    found.extend(one.stops_at_once());
                    found.extend(one.hard_stop_signal());
                }
                found.extend(one.delay_too_short());
                found.extend(one.local_policy());
            }
            found.extend(one.http_hook());
            found.extend(one.grace_shorter_than_app());
            found.extend(one.probe_grace());
            found.extend(one.stop_signal_dropped());
            found.extend(one.exec_readiness());
        }
        found.extend(one.sleep_not_known());
        found.extend(one.stop_signal_needs_os());
        found.extend(one.in_place_restart());
        found.extend(one.worker_with_delay());
    }
    found
}

/// One container.
pub(super) struct One<'s> {
    pub(super) subject: &'s Subject<'s>,
    pub(super) numbered: Numbered<'s>,
    pub(super) written: Written<'s>,
}

impl One<'_> {
    pub(super) fn finding(&self, rule: Rule, field: &str, detail: impl Into<String>) -> Finding {
        self.subject.of_container(self.numbered, rule, field, detail)
    }

    pub(super) fn name(&self) -> &str {
        text(&self.numbered.1.name).unwrap_or_default()
    }

    fn value(&self, field: &str) -> Option<&Value> {
        let index = self.numbered.0;
        self.subject.pod_value(&format!("/spec/containers/{index}{field}"))
    }

    fn has_ports(&self) -> bool {
        self.value("/ports").and_then(Value::as_array).is_some_and(|ports| !ports.is_empty())
    }

    /// Returns whether a port belongs to the container. A container without declared ports counts
    /// as having it. A port of another container in the pod, such as that of a shutdown manager,
    /// closes nothing here.
    fn is_own_port(&self, port: Option<&Value>) -> bool {
        let ports = self.value("/ports").and_then(Value::as_array);
        let mut ports = ports.into_iter().flatten();
        !self.has_ports()
            || ports.any(|own| {
                port.is_some() && [own.get("name"), own.get("containerPort")].contains(&port)
            })
    }

    /// Findings for problems that the engine reports as well.
    fn of_problems(&self) -> Vec<Finding> {
        let place = format!("container {}", self.name());
        let problems = self.subject.decision.problems.iter().filter(|it| it.place == place);
        let findings = problems.filter_map(|problem| {
            let rule = match rule_of(problem)? {
                // The application has the whole grace period since the quit, and the hook would
                // have waited even longer.
                Rule::HookFillsGrace if self.written.waits_after_quit => Rule::GraceShorterThanApp,
                rule => rule,
            };
            let mut finding = match rule {
                Rule::ShellIsPid1 => self.finding(rule, "/command", problem.detail.clone()),
                _ => self.of_hook(rule, problem.detail.clone()),
            };
            let is_of_catalogue =
                matches!(rule, Rule::HookCannotStart | Rule::QuitWithoutWait | Rule::HookIsNoDelay);
            if is_of_catalogue || problem.aspect == Some(Aspect::Likely) {
                finding.certainty = Certainty::Likely;
            }
            Some(finding)
        });
        findings.collect()
    }

    fn hard_stop_signal(&self) -> Option<Finding> {
        let is_delay_only = matches!(self.written.hook, WrittenHook::None | WrittenHook::Delay(_));
        if !self.written.stops_abruptly || !is_delay_only {
            return None;
        }
        let image = text(&self.numbered.1.image).unwrap_or_default();
        let mut finding = self.finding(Rule::HardStopSignal, "/image", image);
        finding.certainty = Certainty::Likely;
        let injected = self.subject.injected(self.numbered.0);
        let quits = injected.is_some_and(|injected| injected.quit_from.is_some());
        finding.mend = match self.written.hook {
            _ if quits => {
                Some(Mend::Injected("prestop injects the application's own quit".to_owned()))
            }
            WrittenHook::None => None,
            _ => self.mend_of_own_hook(Rule::HardStopSignal),
        };
        Some(finding)
    }

    fn http_hook(&self) -> Option<Finding> {
        let path = self.value("/lifecycle/preStop/httpGet/path")?.as_str()?;
        let lower = path.to_ascii_lowercase();
        let shuts_down = SHUTDOWN_PATHS.iter().any(|part| lower.contains(part));
        let is_own = self.is_own_port(self.value("/lifecycle/preStop/httpGet/port"));
        (shuts_down && is_own).then(|| {
            let finding = self.finding(Rule::HttpHookClosesPort, HOOK, path);
            Finding { certainty: Certainty::Possible, ..finding }
        })
    }

    fn grace_shorter_than_app(&self) -> Option<Finding> {
        let (timeout, option) = self.written.timeout?;
        let grace = self.subject.grace_seconds();
        let held = self.written.held_seconds();
        let left = grace.saturating_sub(held);
        if grace <= 0 || timeout <= left {
            return None;
        }
        let detail = format!("{option} is {timeout}s; the grace period leaves {left}s");
        let mut finding = self.finding(Rule::GraceShorterThanApp, "/args", detail);
        let after = self.subject.injected_grace_seconds();
        let enough = after
            .filter(|after| timeout <= after.saturating_sub(self.injected_delay().unwrap_or(held)));
        finding.mend = enough
            .map(|after| Mend::Injected(format!("prestop raises the grace period to {after}s")));
        Some(finding)
    }

    fn probe_grace(&self) -> Option<Finding> {
        let held = self.written.held_seconds();
        let (_, container) = self.numbered;
        let probes =
            [("liveness", &container.liveness_probe), ("startup", &container.startup_probe)];
        let seconds = |probe: &Probe<'_>| probe.grace_period_seconds.value().copied();
        probes.into_iter().find_map(|(name, probe)| {
            let grace = probe.value().and_then(seconds)?;
            let field = format!("/{name}Probe/terminationGracePeriodSeconds");
            let detail = format!("{grace}s; the hook sleeps for {held}s");
            (grace < held).then(|| self.finding(Rule::ProbeGraceCutsHook, &field, detail))
        })
    }

    fn sleep_not_known(&self) -> Option<Finding> {
        let version = self.subject.policy.kubernetes_version?;
        let sleeps = self.value("/lifecycle/preStop/sleep").is_some_and(|sleep| !sleep.is_null());
        (sleeps && version < FIRST_WITH_SLEEP)
            .then(|| self.finding(Rule::SleepNotKnown, HOOK, format!("Kubernetes {version}")))
    }

    fn stop_signal_needs_os(&self) -> Option<Finding> {
        let signal = self.value("/lifecycle/stopSignal")?.as_str()?;
        let has_os = self.subject.pod_value("/spec/os/name").is_some_and(Value::is_string);
        (!has_os).then(|| self.finding(Rule::StopSignalNeedsOs, "/lifecycle/stopSignal", signal))
    }

    /// Finding for a stop signal that the API server drops: the field is behind a feature gate that
    /// is off by default in every version so far.
    fn stop_signal_dropped(&self) -> Option<Finding> {
        if !self.written.needs_stop_signal {
            return None;
        }
        let signal = self.value("/lifecycle/stopSignal")?.as_str()?;
        let finding = self.finding(Rule::StopSignalDropped, "/lifecycle/stopSignal", signal);
        let version = self.subject.policy.kubernetes_version;
        let is_unknown = version.is_some_and(|version| version < FIRST_WITH_STOP_SIGNAL);
        let certainty = if is_unknown { Certainty::Certain } else { Certainty::Likely };
        Some(Finding { certainty, ..finding })
    }

    fn exec_readiness(&self) -> Option<Finding> {
        let Subject { setting, policy, .. } = self.subject;
        // Kubelets may be up to three versions older than the API server.
        let is_affected = if setting.has_all(Topic::Nodes) {
            setting.nodes.has_kubelet(WITH_FROZEN_READINESS)
        } else {
            policy.kubernetes_version == Some(WITH_FROZEN_READINESS)
        };
        let field = "/readinessProbe/exec";
        let probes = self.value(field).is_some_and(Value::is_object);
        (is_affected && probes).then(|| {
            let finding = self.finding(Rule::ExecReadinessFrozen, field, "");
            Finding { certainty: Certainty::Likely, ..finding }
        })
    }

    fn in_place_restart(&self) -> Option<Finding> {
        let rules = self.value("/restartPolicyRules")?.as_array()?;
        let restarts_all = rules
            .iter()
            .any(|rule| rule.get("action").and_then(Value::as_str) == Some("RestartAllContainers"));
        restarts_all.then(|| self.finding(Rule::InPlaceRestart, "/restartPolicyRules", ""))
    }
}

/// Returns the rule that corresponds to a problem reported by the engine.
pub(super) fn rule_of(problem: &Problem) -> Option<Rule> {
    match problem.code {
        ProblemCode::OwnHookCannotStart => Some(Rule::HookCannotStart),
        ProblemCode::OwnHookAlwaysFails => Some(Rule::TcpSocketHook),
        ProblemCode::OwnHookFillsGrace => Some(Rule::HookFillsGrace),
        ProblemCode::ShellIsPid1 => Some(Rule::ShellIsPid1),
        ProblemCode::OwnHookDoesNotWait if problem.aspect == Some(Aspect::CutOff) => {
            Some(Rule::QuitWithoutWait)
        }
        ProblemCode::OwnHookDoesNotWait => Some(Rule::HookIsNoDelay),
        _ => None,
    }
}
