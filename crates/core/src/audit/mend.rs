//! How prestop fixes findings. Annotations are not guessed: the engine evaluates the pod with each
//! candidate.

use std::fmt;

use serde_json::{Map, Value};

use super::containers::{HOOK, One, rule_of};
use super::subject::Subject;
use super::{Finding, Rule};
use crate::duration::HumanSeconds;
use crate::engine::pod::Pod;
use crate::engine::{ContainerDecision, Decision, Injected, decide_owned};

/// How prestop fixes a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// Automatically, in a namespace that is labelled for injection. The text describes the
    /// injection.
    Injected(String),
    /// With annotations of the pod template.
    Annotated {
        /// Description of what prestop injects without the annotations, if anything.
        injected: Option<String>,
        /// The annotations; at least one.
        annotations: Vec<Annotation>,
    },
    /// Automatically, when the pods are recreated.
    Restarted,
}

/// An annotation of a pod template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Annotation {
    /// Key, for example `prestop.dev/delay`.
    pub key: &'static str,
    /// Value, for example `3m`.
    pub value: String,
}

impl Annotation {
    /// The annotation that makes prestop complete the author's hook.
    fn extend() -> Self {
        Self { key: "prestop.dev/own-hook", value: "extend".to_owned() }
    }

    fn delay(seconds: i64) -> Self {
        Self { key: "prestop.dev/delay", value: HumanSeconds(seconds).to_string() }
    }
}

impl One<'_> {
    /// Returns by how many seconds prestop delays the container's stop.
    pub(super) fn injected_delay(&self) -> Option<i64> {
        let of_pods = self.subject.pods.and_then(|pods| pods.delay(self.name()));
        let seconds = of_pods.filter(|seconds| *seconds > 0);
        seconds.or_else(|| delay_of(self.subject.injected(self.numbered.0)?))
    }

    /// Returns how prestop fixes a container without a hook.
    pub(super) fn mend_of_no_hook(&self) -> Option<Mend> {
        let seconds = self.injected_delay()?;
        let injects = format!("prestop injects a delay of {}", HumanSeconds(seconds));
        let too_short = self.subject.need.delay.filter(|need| seconds < need.least_seconds);
        Some(match too_short {
            Some(need) => Mend::Annotated {
                injected: Some(injects),
                annotations: vec![Annotation::delay(need.most_seconds)],
            },
            None => Mend::Injected(injects),
        })
    }

    /// Returns how prestop fixes a finding about the author's hook by completing the hook.
    pub(super) fn mend_of_own_hook(&self, rule: Rule) -> Option<Mend> {
        if self.is_mended(self.subject.decision, rule) {
            return Some(Mend::Injected("prestop completes the hook".to_owned()));
        }
        let need = self.subject.need.delay;
        let longer =
            need.map(|need| vec![Annotation::extend(), Annotation::delay(need.most_seconds)]);
        let candidates = [Some(vec![Annotation::extend()]), longer];
        let annotations = candidates.into_iter().flatten().find(|annotations| {
            self.subject.with_annotations(annotations, |decision| self.is_mended(decision, rule))
        })?;
        Some(Mend::Annotated { injected: None, annotations })
    }

    /// Returns whether a decision completes the hook in such a way that the rule no longer has a
    /// finding.
    fn is_mended(&self, decision: &Decision<'_>, rule: Rule) -> bool {
        let index = self.numbered.0;
        let Some(injected) = injected(decision, index) else { return false };
        let needed = self.subject.need.delay.map_or(0, |need| need.least_seconds);
        let is_long_enough = delay_of(injected).unwrap_or_default() >= needed;
        let place = format!("container {}", self.name());
        let mut problems = decision.problems.iter().filter(|it| it.place == place);
        is_long_enough
            && problems.all(|problem| rule_of(problem) != Some(rule))
            && (rule != Rule::HardStopSignal || injected.quit_from.is_some())
    }

    /// Creates a finding about the hook, with its fix.
    pub(super) fn of_hook(&self, rule: Rule, detail: impl Into<String>) -> Finding {
        let finding = self.finding(rule, HOOK, detail);
        Finding { mend: self.mend_of_own_hook(rule), ..finding }
    }
}

impl Subject<'_> {
    /// Evaluates the pod as if it had these annotations as well, and passes the decision to
    /// `judge`.
    fn with_annotations<T>(
        &self,
        annotations: &[Annotation],
        judge: impl FnOnce(&Decision<'_>) -> T,
    ) -> T {
        let mut pod = self.workload.pod_value().clone();
        annotate(&mut pod, annotations);
        let pod = Pod::from_value(&pod);
        judge(&decide_owned(&pod, self.workload.owner(), self.namespace, self.policy))
    }
}

/// Adds annotations to a pod. Values that are not mappings are not changed, because such a pod is
/// malformed.
fn annotate(pod: &mut Value, annotations: &[Annotation]) {
    let mut place = pod;
    for key in ["metadata", "annotations"] {
        let Some(object) = place.as_object_mut() else { return };
        let value = object.entry(key).or_insert(Value::Null);
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        place = value;
    }
    if let Some(object) = place.as_object_mut() {
        let entries = annotations.iter();
        object.extend(entries.map(|it| (it.key.to_owned(), it.value.clone().into())));
    }
}

fn injected<'d>(decision: &'d Decision<'_>, index: usize) -> Option<&'d Injected<'d>> {
    let container = decision.containers.iter().find(|it| it.index == index);
    container.and_then(ContainerDecision::injected)
}

fn delay_of(injected: &Injected<'_>) -> Option<i64> {
    Some(injected.hook.delay_seconds()).filter(|seconds| *seconds > 0)
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.value)
    }
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (injected, annotations) = match self {
            Self::Injected(what) => return f.write_str(what),
            Self::Restarted => {
                return f.write_str("prestop injects hooks into pods that are created from now on");
            }
            Self::Annotated { injected, annotations } => (injected, annotations),
        };
        if let Some(injected) = injected {
            write!(f, "{injected}, which is too short here; ")?;
        }
        f.write_str("annotate ")?;
        for (index, annotation) in annotations.iter().enumerate() {
            write!(f, "{}{annotation}", if index == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}
