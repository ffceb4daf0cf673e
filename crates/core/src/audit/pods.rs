//! Rules about the pod as a whole: grace period, readiness, nodes, fronts.

use serde_json::Value;

use super::nodes::SPOT;
use super::objects::Topic;
use super::subject::Subject;
use super::{Certainty, Finding, Rule};
use crate::fronts::Front;

/// Namespace label that makes the AWS Load Balancer Controller inject readiness gates.
const AWS_GATE_LABEL: &str = "elbv2.k8s.aws/pod-readiness-gate-inject";
/// Fronts in AWS that have pods as targets.
const AWS_TARGETS: [&str; 5] = [
    "aws-nlb-ip",
    "aws-alb-ip",
    "aws-target-group-http",
    "aws-target-group-tcp",
    "aws-target-group",
];
/// Fronts in Google Cloud that have pods in network endpoint groups.
const ENDPOINT_GROUPS: [&str; 3] = ["gke-neg", "gke-ingress", "gke-gateway"];
/// Readiness gate of network endpoint groups, and the seconds until a new pod is healthy in one.
const NEG_GATE: &str = "cloud.google.com/load-balancer-neg-ready";
const NEG_SECONDS: i64 = 60;
const GRACE: &str = "/spec/terminationGracePeriodSeconds";

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if subject.is_served() {
        found.extend(grace_zero(subject));
        found.extend(not_ready_checked(subject));
        found.extend(host_port(subject));
        found.extend(never_withdrawn(subject));
        found.extend(new_pods_too_early(subject));
        found.extend(spot_window(subject));
        found.extend(grace_above_limit(subject));
    }
    found
}

fn grace_zero(subject: &Subject<'_>) -> Option<Finding> {
    let pointer = subject.in_pod(GRACE);
    (subject.grace_seconds() <= 0)
        .then(|| Subject::finding(Rule::GraceZero, Certainty::Certain, pointer, ""))
}

fn grace_above_limit(subject: &Subject<'_>) -> Option<Finding> {
    let grace = subject.grace_seconds();
    let (limit, certainty) = subject.setting.removal_limit()?;
    let pointer = subject.in_pod(GRACE);
    (grace > limit.seconds).then(|| {
        let detail = format!("{grace}s; {limit}");
        Subject::finding(Rule::GraceAboveLimit, certainty, pointer, detail)
    })
}

fn not_ready_checked(subject: &Subject<'_>) -> Option<Finding> {
    let has_gates = !subject.pod.readiness_gates.is_empty();
    let lists = ["/spec/containers", "/spec/initContainers"];
    let containers = lists.iter().filter_map(|list| subject.pod_value(list)?.as_array()).flatten();
    // A container does not become ready before its startup probe has succeeded.
    let has_probe = |container: &Value| {
        let mut probes = ["readinessProbe", "startupProbe"].iter();
        probes.any(|probe| container.get(probe).is_some_and(|it| !it.is_null()))
    };
    // Istio replaces this image and adds the probe at admission.
    let is_completed =
        |container: &Value| container.get("image").and_then(Value::as_str) == Some("auto");
    let mut containers = containers;
    if has_gates
        || !subject.is_withdrawn()
        || containers.any(|container| has_probe(container) || is_completed(container))
    {
        return None;
    }
    let pointer = subject.in_pod("/spec/containers");
    Some(Subject::finding(Rule::NotReadyChecked, Certainty::Certain, pointer, ""))
}

fn host_port(subject: &Subject<'_>) -> Option<Finding> {
    if subject.is_replaced_in_place() {
        let pointer = "/spec/updateStrategy/rollingUpdate/maxSurge";
        let detail = "internalTrafficPolicy Local, and maxSurge is 0";
        return Some(Subject::finding(Rule::HostPort, Certainty::Certain, pointer, detail));
    }
    let pointer = subject.in_pod("/spec/containers");
    subject
        .pod
        .has_host_ports
        .then(|| Subject::finding(Rule::HostPort, Certainty::Certain, pointer, "ports of the node"))
}

/// Finding for a Service with `publishNotReadyAddresses`. Peers of a `StatefulSet` find each other
/// through a headless Service with this setting; their clients use another Service.
fn never_withdrawn(subject: &Subject<'_>) -> Option<Finding> {
    let of = |name: &'static str| {
        subject
            .fronts
            .iter()
            .filter(move |front| front.kind.name == name)
            .filter_map(|front| front.path.last())
    };
    let headless: Vec<_> = of("headless").collect();
    let has_others = subject
        .fronts
        .iter()
        .any(|front| front.path.last().is_some_and(|service| !headless.contains(&service)));
    let service = of("not-ready-addresses").find(|it| !headless.contains(it) || !has_others)?;
    let certainty =
        if headless.contains(&service) { Certainty::Possible } else { Certainty::Certain };
    let pointer = subject.in_pod("/metadata/labels");
    Some(Subject::finding(Rule::NeverWithdrawn, certainty, pointer, service.to_string()))
}

fn new_pods_too_early(subject: &Subject<'_>) -> Option<Finding> {
    aws_targets_too_early(subject).or_else(|| endpoint_groups_too_early(subject))
}

fn aws_targets_too_early(subject: &Subject<'_>) -> Option<Finding> {
    let front = front(subject, &AWS_TARGETS)?;
    let has_gate =
        subject.pod.readiness_gates.iter().any(|gate| gate.starts_with("target-health."));
    let labels = subject.setting.namespaces.get(&subject.pod.namespace);
    let is_labelled = labels.is_some_and(|labels| {
        labels.iter().any(|(key, value)| key == AWS_GATE_LABEL && value == "enabled")
    });
    if has_gate || is_labelled {
        return None;
    }
    let certainty = if labels.is_some() { Certainty::Likely } else { Certainty::Possible };
    let pointer = subject.in_pod("/spec");
    Some(Subject::finding(Rule::NewPodsTooEarly, certainty, pointer, front.kind.title.clone()))
}

/// Finding for missing readiness gates. In most clusters, but not in all, Google Cloud adds them
/// automatically.
fn endpoint_groups_too_early(subject: &Subject<'_>) -> Option<Finding> {
    let front = front(subject, &ENDPOINT_GROUPS)?;
    let has_gate = subject.pod.readiness_gates.iter().any(|gate| gate == NEG_GATE);
    let place = "/spec/minReadySeconds";
    let seconds = subject.value(place).and_then(Value::as_i64).unwrap_or(0);
    if has_gate || seconds >= NEG_SECONDS {
        return None;
    }
    let detail = format!("{}; minReadySeconds is {seconds}", front.kind.title);
    Some(Subject::finding(Rule::NewPodsTooEarly, Certainty::Possible, place, detail))
}

fn front<'s>(subject: &Subject<'s>, names: &[&str]) -> Option<&'s Front<'s>> {
    subject.fronts.iter().find(|front| names.contains(&front.kind.name.as_str()))
}

fn spot_window(subject: &Subject<'_>) -> Option<Finding> {
    let selector = subject.pod_value("/spec/nodeSelector");
    let tolerations = subject.pod_value("/spec/tolerations").and_then(Value::as_array);
    SPOT.iter().find_map(|(key, value, window)| {
        let is = |wanted: &str, place: &Value| place.as_str() == Some(wanted);
        let is_selected = selector.and_then(|it| it.get(key)).is_some_and(|it| is(value, it));
        let is_tolerated = tolerations.into_iter().flatten().any(|toleration| {
            toleration.get("key").is_some_and(|it| is(key, it))
                && toleration.get("value").is_none_or(|it| is(value, it))
        });
        let grace = subject.grace_seconds();
        let is_there = subject.setting.nodes.has_spot(key);
        // A toleration matters only if such nodes exist.
        let may_be_there = is_there || !subject.setting.has_all(Topic::Nodes);
        if grace <= *window || !(is_selected || (is_tolerated && may_be_there)) {
            return None;
        }
        let is_likely = is_selected || is_there;
        let certainty = if is_likely { Certainty::Likely } else { Certainty::Possible };
        let detail = format!("{key}: {window}s; the grace period is {grace}s");
        let field = if is_selected { "/spec/nodeSelector" } else { "/spec/tolerations" };
        Some(Subject::finding(Rule::SpotWindow, certainty, subject.in_pod(field), detail))
    })
}
