//! A workload with everything that is known about it.

use serde_json::Value;

use super::live::LivePods;
use super::objects::{Setting, Topic};
use super::{Certainty, Finding, Rule};
use crate::engine::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use crate::engine::pod::{Container, Spec};
use crate::engine::settings::{INJECT_LABEL, NamespaceSettings};
use crate::engine::template::Workload;
use crate::engine::{ContainerDecision, Decision, Injected, Outcome};
use crate::fronts::{Front, Need, PodShape};
use crate::policy::Policy;
use crate::view::Shape;

#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'s> {
    pub(super) workload: &'s Workload<'s>,
    pub(super) setting: &'s Setting,
    pub(super) policy: &'s Policy,
    pub(super) fronts: &'s [Front<'s>],
    pub(super) need: Need,
    pub(super) decision: &'s Decision<'s>,
    pub(super) pod: &'s PodShape,
    pub(super) namespace: &'s NamespaceSettings,
    /// The running pods, where they are known.
    pub(super) pods: Option<&'s LivePods>,
}

impl<'s> Subject<'s> {
    /// Whether anything in the input sends requests to the pods, or may do so: without any Service of the
    /// namespace, ports are all that is known.
    pub(super) fn is_served(&self) -> bool {
        !self.fronts.is_empty() || (!self.knows_services() && self.has_ports())
    }

    /// Whether the Services of the namespace are known.
    pub(super) fn knows_services(&self) -> bool {
        self.setting.with_services.contains(&self.pod.namespace)
            || self.setting.has_all(Topic::Services)
    }

    fn has_ports(&self) -> bool {
        let containers = self.pod_value("/spec/containers").and_then(Value::as_array);
        let mut lists =
            containers.into_iter().flatten().filter_map(|it| it.get("ports")?.as_array());
        lists.any(|ports| !ports.is_empty())
    }

    /// Whether admission injects the pods: by the label of their namespace, or as all of them show.
    pub(super) fn is_injected_at_admission(&self) -> bool {
        self.is_labelled() || self.pods.is_some_and(LivePods::are_injected)
    }

    /// Whether the namespace is in the input and labelled for injection.
    pub(super) fn is_labelled(&self) -> bool {
        let labels = self.setting.namespaces.get(&self.pod.namespace);
        let is_on =
            |value: &str| ["enabled", "true"].iter().any(|on| value.eq_ignore_ascii_case(on));
        labels.is_some_and(|labels| {
            labels.iter().any(|(key, value)| key == INJECT_LABEL && is_on(value))
        })
    }

    pub(super) fn spec(&self) -> Option<&'s Spec<'s>> {
        self.workload.pod.spec.value()
    }

    /// The well-formed regular containers, each with its place.
    pub(super) fn containers(&self) -> impl Iterator<Item = (usize, &'s Container<'s>)> {
        let containers = self.spec().map_or(&[][..], |spec| spec.containers());
        containers.iter().enumerate().filter_map(|(index, shape)| Some((index, shape.value()?)))
    }

    /// JSON pointer to a field of the pod.
    pub(super) fn in_pod(&self, field: &str) -> String {
        format!("{}{field}", self.workload.template)
    }

    /// A field of the pod as it is written.
    pub(super) fn pod_value(&self, field: &str) -> Option<&'s Value> {
        self.workload.object.pointer(&self.in_pod(field))
    }

    pub(super) fn value(&self, pointer: &str) -> Option<&'s Value> {
        self.workload.object.pointer(pointer)
    }

    pub(super) fn grace_seconds(&self) -> i64 {
        let written = self.spec().and_then(|spec| spec.grace_period_seconds.value().copied());
        written.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS)
    }

    /// The grace period that the pod has when prestop injects it.
    pub(super) const fn injected_grace_seconds(&self) -> Option<i64> {
        match self.decision.outcome {
            Outcome::Injected(injection) => Some(injection.grace.after_seconds),
            Outcome::Skipped(_) => None,
        }
    }

    /// What prestop injects into a container.
    pub(super) fn injected(&self, index: usize) -> Option<&'s Injected<'s>> {
        self.decision
            .containers
            .iter()
            .find(|it| it.index == index)
            .and_then(ContainerDecision::injected)
    }

    /// The fewest pods that an autoscaler leaves, if there is one.
    pub(super) fn autoscaled(&self) -> Option<i64> {
        let Workload { kind, name, .. } = self.workload;
        self.setting.min_replicas(&self.pod.namespace, kind, name)
    }

    /// The fewest pods that there are while nothing happens, and whether that is written.
    pub(super) fn replicas(&self) -> Option<(i64, Certainty)> {
        if let Some(replicas) = self.autoscaled() {
            return Some((replicas, Certainty::Certain));
        }
        match self.workload.kind {
            "Pod" => Some((1, Certainty::Certain)),
            "DaemonSet" => None,
            _ => match self.value("/spec/replicas") {
                None | Some(Value::Null) => Some((1, Certainty::Likely)),
                Some(replicas) => Some((replicas.as_i64()?, Certainty::Certain)),
            },
        }
    }

    /// A finding about the workload or the pod.
    pub(super) fn finding(
        rule: Rule,
        certainty: Certainty,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) -> Finding {
        Finding {
            rule,
            certainty,
            container: None,
            pointer: pointer.into(),
            detail: detail.into(),
            mend: None,
            ignored: None,
        }
    }

    /// A finding about a container.
    pub(super) fn of_container(
        &self,
        (index, container): (usize, &Container<'_>),
        rule: Rule,
        field: &str,
        detail: impl Into<String>,
    ) -> Finding {
        let pointer = self.in_pod(&format!("/spec/containers/{index}{field}"));
        let name = container.name.value().map(|name| name.clone().into_owned());
        Finding { container: name, ..Self::finding(rule, Certainty::Certain, pointer, detail) }
    }
}

/// The text of a shape.
pub(super) fn text<'v>(shape: &'v Shape<crate::view::Text<'_>>) -> Option<&'v str> {
    shape.value().map(AsRef::as_ref)
}
