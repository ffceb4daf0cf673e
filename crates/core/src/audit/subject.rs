//! A workload with all known facts about it.

use serde_json::Value;

use super::live::LivePods;
use super::objects::{Amount, Setting, Topic};
use super::{Certainty, Finding, Rule};
use crate::engine::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use crate::engine::pod::{Container, Spec};
use crate::engine::settings::{INJECT_LABEL, NamespaceSettings};
use crate::engine::template::Workload;
use crate::engine::written::Written;
use crate::engine::{ContainerDecision, Decision, Injected, Outcome};
use crate::fronts::{Front, Need, PodShape};
use crate::policy::Policy;
use crate::view::Shape;

/// Name of the front for clients on the same node.
pub(super) const INTERNAL_LOCAL: &str = "internal-policy-local";
/// Name of the catalogue's profile of exporters.
const EXPORTERS: &str = "exporters";
/// Exporters to which applications push.
const PUSHED_TO: [&str; 4] = ["statsd", "graphite", "influxdb", "collectd"];
/// Scripts that do nothing but wait.
const IDLE_SCRIPTS: [&str; 3] =
    ["sleep infinity", "tail -f /dev/null", "while true; do sleep 30; done;"];

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
    /// The running pods, if they are known.
    pub(super) pods: Option<&'s LivePods>,
}

impl<'s> Subject<'s> {
    /// Returns whether anything in the input sends requests to the pods, or may do so: if no
    /// Service of the namespace is known, declared ports are the only evidence.
    pub(super) fn is_served(&self) -> bool {
        let may_be = !self.fronts.is_empty() || (!self.knows_services() && self.has_ports());
        may_be && !self.is_idle()
    }

    /// Returns whether, as far as known, something takes the pod out of traffic when it terminates.
    /// Otherwise no delay helps.
    pub(super) const fn is_withdrawn(&self) -> bool {
        self.fronts.is_empty() || self.need.delay.is_some()
    }

    /// Returns whether the pod is the only one of a `StatefulSet`. It is stopped before the next
    /// one starts, so a delay only makes the gap begin later.
    pub(super) fn is_lone_stateful(&self) -> bool {
        let replicas = self.replicas().map(|(replicas, _)| replicas);
        self.workload.kind == "StatefulSet" && replicas == Some(1)
    }

    /// Returns whether clients are bound to the pod on their own node, and a rollout stops it
    /// before the next one starts.
    pub(super) fn is_replaced_in_place(&self) -> bool {
        let surge = Amount::read(self.value("/spec/updateStrategy/rollingUpdate/maxSurge"));
        let surges =
            surge.is_some_and(|surge| !matches!(surge, Amount::Pods(0) | Amount::Percent(0)));
        let of_services =
            || self.fronts.iter().filter_map(|front| Some((front, front.path.last()?)));
        let is_local = |service| {
            let mut fronts = of_services();
            fronts.any(|(front, it)| it == service && front.kind.name == INTERNAL_LOCAL)
        };
        self.workload.kind == "DaemonSet"
            && !surges
            && of_services().next().is_some()
            && of_services().all(|(_, service)| is_local(service))
    }

    /// Returns whether the pod only waits, as pods for debugging do.
    fn is_idle(&self) -> bool {
        let list = |container: &'s Value, field| container.get(field).and_then(Value::as_array);
        let words = |container: &'s Value| -> Vec<&'s str> {
            let lists = ["command", "args"].into_iter().filter_map(|field| list(container, field));
            lists.flatten().filter_map(Value::as_str).collect()
        };
        let containers = self.pod_value("/spec/containers").and_then(Value::as_array);
        containers.is_some_and(|containers| {
            !containers.is_empty()
                && containers.iter().all(|container| match words(container).as_slice() {
                    [program, _] => program.rsplit('/').next() == Some("sleep"),
                    ["tail", "-f", "/dev/null"] => true,
                    [shell, "-c", script] if shell.ends_with("sh") => IDLE_SCRIPTS.contains(script),
                    _ => false,
                })
        })
    }

    /// Returns whether the container is an exporter, or the proxy in front of one: only monitoring
    /// sends requests to it.
    pub(super) fn is_scraped(&self, container: &Container<'_>) -> bool {
        let written = Written::of(container, &self.policy.catalogue);
        let image = text(&container.image).unwrap_or_default();
        written.profile == Some(EXPORTERS) && !PUSHED_TO.iter().any(|part| image.contains(part))
    }

    /// Returns whether all containers with ports are of this kind.
    pub(super) fn is_only_scraped(&self) -> bool {
        let has_ports = |index: usize| {
            let ports = self.pod_value(&format!("/spec/containers/{index}/ports"));
            ports.and_then(Value::as_array).is_some_and(|ports| !ports.is_empty())
        };
        let mut servers = self.containers().filter(|(index, _)| has_ports(*index)).peekable();
        servers.peek().is_some() && servers.all(|(_, container)| self.is_scraped(container))
    }

    /// Returns whether the Services of the namespace are known.
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

    /// Returns whether admission injects the pods: by the label of their namespace, or because all
    /// running pods are injected.
    pub(super) fn is_injected_at_admission(&self) -> bool {
        self.is_labelled() || self.pods.is_some_and(LivePods::are_injected)
    }

    /// Returns whether the namespace is in the input and labelled for injection.
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

    /// Iterates over the well-formed regular containers, each with its index.
    pub(super) fn containers(&self) -> impl Iterator<Item = (usize, &'s Container<'s>)> {
        let containers = self.spec().map_or(&[][..], |spec| spec.containers());
        containers.iter().enumerate().filter_map(|(index, shape)| Some((index, shape.value()?)))
    }

    /// Returns the JSON pointer to a field of the pod.
    pub(super) fn in_pod(&self, field: &str) -> String {
        format!("{}{field}", self.workload.template)
    }

    /// Returns the value of a field of the pod as it is written.
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

    /// Returns the grace period of the pod after an injection by prestop, in seconds.
    pub(super) const fn injected_grace_seconds(&self) -> Option<i64> {
        match self.decision.outcome {
            Outcome::Injected(injection) => Some(injection.grace.after_seconds),
            Outcome::Skipped(_) => None,
        }
    }

    /// Returns what prestop injects into a container.
    pub(super) fn injected(&self, index: usize) -> Option<&'s Injected<'s>> {
        self.decision
            .containers
            .iter()
            .find(|it| it.index == index)
            .and_then(ContainerDecision::injected)
    }

    /// Returns the minimum number of pods of the workload's autoscaler, if there is one.
    pub(super) fn autoscaled(&self) -> Option<i64> {
        let Workload { kind, name, .. } = self.workload;
        self.setting.min_replicas(&self.pod.namespace, kind, name)
    }

    /// Returns the number of pods without any disruption, at least, and how certain it is: a
    /// default is only likely.
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

    /// Creates a finding about the workload or the pod.
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

    /// Creates a finding about a container.
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

/// Returns the text in a shape.
pub(super) fn text<'v>(shape: &'v Shape<crate::view::Text<'_>>) -> Option<&'v str> {
    shape.value().map(AsRef::as_ref)
}
