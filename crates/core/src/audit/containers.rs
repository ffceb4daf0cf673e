//! Rules about one container: its hook, its stop signal, its time.

use serde_json::Value;

use super::subject::{Subject, text};
use super::{Certainty, Finding, Mend, Rule};
use crate::duration::HumanSeconds;
use crate::engine::pod::{Container, Probe};
use crate::engine::reason::ProblemCode;
use crate::engine::written::{Written, WrittenHook, WrittenRole};
use crate::fronts::{DelayRange, Withdrawal};
use crate::policy::KubernetesVersion;

/// The sleep action is on by default from here on.
const FIRST_WITH_SLEEP: KubernetesVersion = KubernetesVersion { major: 1, minor: 30 };
/// Parts of paths by which servers shut down.
const SHUTDOWN_PATHS: [&str; 4] = ["shutdown", "quit", "terminate", "stop"];
const HOOK: &str = "/lifecycle/preStop";

/// A container with its place.
type Numbered<'s> = (usize, &'s Container<'s>);

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let containers: Vec<_> = subject.containers().collect();
    let is_only = containers.len() == 1;
    let mut found = Vec::new();
    for numbered in containers {
        let written = Written::of(numbered.1, &subject.policy.catalogue);
        let one = One { subject, numbered, written };
        if subject.is_served() {
            found.extend(one.of_problems());
            if written.role == WrittenRole::Application {
                if is_only || one.has_ports() {
                    found.extend(one.stops_at_once());
                    found.extend(one.hard_stop_signal());
                }
                found.extend(one.delay_too_short());
            }
            found.extend(one.http_hook());
            found.extend(one.grace_shorter_than_app());
            found.extend(one.probe_grace());
        }
        found.extend(one.sleep_not_known());
        found.extend(one.stop_signal_needs_os());
        found.extend(one.in_place_restart());
        found.extend(one.worker_with_delay());
    }
    found
}

struct One<'s> {
    subject: &'s Subject<'s>,
    numbered: Numbered<'s>,
    written: Written,
}

impl One<'_> {
    fn finding(&self, rule: Rule, field: &str, detail: impl Into<String>) -> Finding {
        self.subject.of_container(self.numbered, rule, field, detail)
    }

    fn name(&self) -> &str {
        text(&self.numbered.1.name).unwrap_or_default()
    }

    fn value(&self, field: &str) -> Option<&Value> {
        let index = self.numbered.0;
        self.subject.pod_value(&format!("/spec/containers/{index}{field}"))
    }

    fn has_ports(&self) -> bool {
        self.value("/ports").and_then(Value::as_array).is_some_and(|ports| !ports.is_empty())
    }

    /// Rules that the engine looks at as well.
    fn of_problems(&self) -> Vec<Finding> {
        let place = format!("container {}", self.name());
        let problems = self.subject.decision.problems.iter().filter(|it| it.place == place);
        let findings = problems.filter_map(|problem| {
            let (rule, field) = match problem.code {
                ProblemCode::OwnHookCannotStart => (Rule::HookCannotStart, HOOK),
                ProblemCode::OwnHookAlwaysFails => (Rule::TcpSocketHook, HOOK),
                ProblemCode::OwnHookFillsGrace => (Rule::HookFillsGrace, HOOK),
                ProblemCode::ShellIsPid1 => (Rule::ShellIsPid1, "/command"),
                // The detail says which of the two it is.
                ProblemCode::OwnHookDoesNotWait if problem.detail.contains("cuts it off") => {
                    (Rule::QuitWithoutWait, HOOK)
                }
                ProblemCode::OwnHookDoesNotWait => (Rule::HookIsNoDelay, HOOK),
                _ => return None,
            };
            let mut finding = self.finding(rule, field, problem.detail.clone());
            let is_of_catalogue =
                matches!(rule, Rule::HookCannotStart | Rule::QuitWithoutWait | Rule::HookIsNoDelay);
            if is_of_catalogue || problem.detail.contains("(likely)") {
                finding.certainty = Certainty::Likely;
            }
            Some(finding)
        });
        findings.collect()
    }

    fn stops_at_once(&self) -> Option<Finding> {
        if self.written.hook != WrittenHook::None {
            return None;
        }
        let need = self.subject.need.delay.map(|delay| format!("the fronts need {delay}"));
        let mut finding = self.finding(Rule::StopsAtOnce, "/lifecycle", need.unwrap_or_default());
        finding.mend = self.injected_delay().map(|seconds| self.mend_of_delay(seconds));
        Some(finding)
    }

    /// A delay of the author's. One of 0 is a decision.
    fn delay_too_short(&self) -> Option<Finding> {
        let need = self.subject.need.delay?;
        let WrittenHook::Delay(seconds) = self.written.hook else { return None };
        (seconds > 0 && seconds < need.at_least).then(|| {
            let slowest = self.subject.fronts.iter().find(|front| {
                matches!(front.withdrawal, Withdrawal::Within(delay) if delay.at_least == need.at_least)
            });
            let slowest = slowest.map_or("the fronts", |front| front.kind.title.as_str());
            let seconds = HumanSeconds(seconds);
            let detail = format!("{seconds}; {slowest}: {need}");
            let finding = self.finding(Rule::DelayTooShort, HOOK, detail);
            Finding { certainty: Certainty::Likely, ..finding }
        })
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
        finding.mend =
            quits.then(|| Mend::Injected("prestop injects the application's own quit".to_owned()));
        Some(finding)
    }

    fn http_hook(&self) -> Option<Finding> {
        let path = self.value("/lifecycle/preStop/httpGet/path")?.as_str()?;
        let lower = path.to_ascii_lowercase();
        let shuts_down = SHUTDOWN_PATHS.iter().any(|part| lower.contains(part));
        shuts_down.then(|| {
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
            let detail = format!("{grace}s; the hook sleeps {held}s");
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

    fn in_place_restart(&self) -> Option<Finding> {
        let rules = self.value("/restartPolicyRules")?.as_array()?;
        let restarts_all = rules
            .iter()
            .any(|rule| rule.get("action").and_then(Value::as_str) == Some("RestartAllContainers"));
        restarts_all.then(|| self.finding(Rule::InPlaceRestart, "/restartPolicyRules", ""))
    }

    /// Only where the input has Services of the namespace: else nothing is known about who sends.
    fn worker_with_delay(&self) -> Option<Finding> {
        let subject = self.subject;
        let WrittenHook::Delay(seconds) = self.written.hook else { return None };
        let is_application = self.written.role == WrittenRole::Application;
        (seconds > 0 && subject.knows_services() && is_application && !subject.is_served()).then(
            || {
                let detail = HumanSeconds(seconds).to_string();
                let finding = self.finding(Rule::WorkerWithDelay, HOOK, detail);
                Finding { certainty: Certainty::Possible, ..finding }
            },
        )
    }

    fn injected_delay(&self) -> Option<i64> {
        let injected = self.subject.injected(self.numbered.0)?;
        Some(injected.hook.delay_seconds()).filter(|seconds| *seconds > 0)
    }

    fn mend_of_delay(&self, seconds: i64) -> Mend {
        let injects = format!("prestop injects a delay of {}", HumanSeconds(seconds));
        match self.subject.need.delay {
            Some(DelayRange { at_least, at_most }) if seconds < at_least => {
                let annotation = format!("prestop.dev/delay: {}", HumanSeconds(at_most));
                Mend::Annotated(injects, annotation)
            }
            _ => Mend::Injected(injects),
        }
    }
}
