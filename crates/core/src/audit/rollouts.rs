//! Rules about how pods are replaced: strategy, replicas, budgets, autoscalers.

use serde_json::Value;

use super::objects::{Amount, Topic};
use super::subject::Subject;
use super::{Certainty, Finding, Rule};

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if subject.is_served() {
        found.extend(recreate(subject));
        found.extend(all_at_once(subject));
        found.extend(single_replica(subject));
        found.extend(no_budget(subject));
        found.extend(scale_to_zero(subject));
    }
    found.extend(budget_blocks(subject));
    found
}

/// JSON pointer to the field that configures how updates replace pods.
fn strategy(subject: &Subject<'_>) -> Option<&'static str> {
    match subject.workload.kind {
        "Deployment" => Some("/spec/strategy"),
        "StatefulSet" => Some("/spec/updateStrategy"),
        _ => None,
    }
}

fn recreate(subject: &Subject<'_>) -> Option<Finding> {
    let pointer = format!("{}/type", strategy(subject)?);
    let is_recreate = subject.value(&pointer).and_then(Value::as_str) == Some("Recreate");
    is_recreate.then(|| Subject::finding(Rule::Recreate, Certainty::Certain, pointer, ""))
}

fn all_at_once(subject: &Subject<'_>) -> Option<Finding> {
    if subject.workload.kind == "DaemonSet" {
        return all_of_a_daemon_set(subject);
    }
    let place = strategy(subject)?;
    let kind = subject.value(&format!("{place}/type")).and_then(Value::as_str);
    if kind.is_some_and(|kind| kind != "RollingUpdate") {
        return None;
    }
    let (replicas, certainty) = subject.replicas().filter(|(replicas, _)| *replicas > 0)?;
    let pointer = format!("{place}/rollingUpdate/maxUnavailable");
    let unavailable = Amount::read(subject.value(&pointer));
    let surge = Amount::read(subject.value(&format!("{place}/rollingUpdate/maxSurge")));
    let is_deployment = subject.workload.kind == "Deployment";
    let unavailable = if is_deployment {
        let unavailable = unavailable.unwrap_or(Amount::Percent(25)).of_down(replicas);
        let surge = surge.unwrap_or(Amount::Percent(25)).of_up(replicas);
        // Both can't be 0: Kubernetes then uses 1 for `maxUnavailable`.
        if unavailable == 0 && surge == 0 { 1 } else { unavailable }
    } else {
        unavailable.unwrap_or(Amount::Pods(1)).of_up(replicas)
    };
    if subject.is_lone_stateful() {
        let detail = "1 of 1: a StatefulSet stops its only pod before it starts the next one";
        return Some(Subject::finding(Rule::AllAtOnce, certainty, "/spec/replicas", detail));
    }
    let detail = format!("{unavailable} of {replicas}");
    (unavailable >= replicas).then(|| Subject::finding(Rule::AllAtOnce, certainty, pointer, detail))
}

/// Finding for a `DaemonSet`. Its number of pods is not known, but 100 % is all of them.
fn all_of_a_daemon_set(subject: &Subject<'_>) -> Option<Finding> {
    let place = "/spec/updateStrategy/type";
    let kind = subject.value(place).and_then(Value::as_str);
    if kind.is_some_and(|kind| kind != "RollingUpdate") {
        return None;
    }
    let pointer = "/spec/updateStrategy/rollingUpdate/maxUnavailable";
    let unavailable = Amount::read(subject.value(pointer))?;
    matches!(unavailable, Amount::Percent(100..)).then(|| {
        Subject::finding(Rule::AllAtOnce, Certainty::Certain, pointer, "100% of a DaemonSet")
    })
}

fn single_replica(subject: &Subject<'_>) -> Option<Finding> {
    let (replicas, certainty) = subject.replicas()?;
    let by_autoscaler = subject.autoscaled().map(|_| "minReplicas of its autoscaler");
    (replicas == 1).then(|| {
        Subject::finding(
            Rule::SingleReplica,
            certainty,
            "/spec/replicas",
            by_autoscaler.unwrap_or_default(),
        )
    })
}

/// Finding for a missing budget. In manifests, the budget may be in another input; in a cluster all
/// budgets are known.
fn no_budget(subject: &Subject<'_>) -> Option<Finding> {
    let (replicas, _) = subject.replicas()?;
    let has_budget = budgets(subject).next().is_some();
    let is_known = subject.setting.has_all(Topic::Budgets);
    let certainty = if is_known { Certainty::Certain } else { Certainty::Likely };
    (replicas > 1 && !has_budget).then(|| {
        let detail = format!("{replicas} replicas");
        Subject::finding(Rule::NoBudget, certainty, "/spec/replicas", detail)
    })
}

fn budget_blocks(subject: &Subject<'_>) -> Option<Finding> {
    let (replicas, certainty) = subject.replicas().filter(|(replicas, _)| *replicas > 0)?;
    let blocking = budgets(subject).filter(|budget| budget.allowed(replicas) <= 0);
    let blocking = blocking.min_by_key(|budget| budget.name.as_str())?;
    let detail = format!("PodDisruptionBudget {}/{}", subject.pod.namespace, blocking.name);
    let pointer = subject.in_pod("/metadata/labels");
    Some(Subject::finding(Rule::BudgetBlocks, certainty, pointer, detail))
}

fn scale_to_zero(subject: &Subject<'_>) -> Option<Finding> {
    subject.autoscaled().filter(|replicas| *replicas <= 0)?;
    Some(Subject::finding(Rule::ScaleToZero, Certainty::Certain, "/spec/replicas", ""))
}

fn budgets<'s>(subject: &Subject<'s>) -> impl Iterator<Item = &'s super::objects::Budget> {
    let pod = subject.pod;
    let budgets = subject.setting.budgets.get(&pod.namespace).into_iter().flatten();
    budgets.filter(move |budget| budget.selects(&pod.labels))
}
