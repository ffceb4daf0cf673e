//! A pod that is terminating, from its deletion to the verdicts.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use prestop_core::engine::hook_report::HookReport;

use super::cause::{Cause, Evidence};
use super::endpoints::PodEndpoint;
use super::facts::{ContainerFacts, PodFacts};
use super::judge::{End, EndpointSeen, Exit, HookFailure, Seen, Withdrawn, judge};
use super::objects::{ContainerStatus, Pod, Terminated};
use super::seconds_between;
use super::termination::Termination;

/// Time to wait for events, which arrive a little later than the end of their pod.
const FOR_EVENTS: SignedDuration = SignedDuration::from_secs(2);
/// Time after the end of a pod at which its endpoint is reported as still present.
const FOR_ENDPOINTS: SignedDuration = SignedDuration::from_secs(30);
/// Number of seconds by which the withdrawal of an endpoint may be observed before the deletion to
/// which it belongs, because watches overtake each other.
const OVERTAKEN: f64 = 2.0;

/// A pod that is terminating.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// Name of the pod.
    pub name: String,
    /// Unique id of the pod.
    pub uid: Arc<str>,
    /// Node of the pod.
    pub node: String,
    /// Facts about its containers.
    pub facts: Arc<PodFacts>,
    /// Time of the deletion, by the API server's clock.
    pub deleted: Timestamp,
    /// End of the grace period.
    pub grace_end: Timestamp,
    /// Time at which the deletion was observed; `None` if it was before the watch started.
    pub deletion_seen: Option<Timestamp>,
    /// Removal of the pod, if it has been observed.
    pub gone: Option<Gone>,
    ends: Vec<ContainerEnd>,
    said: Option<Cause>,
}

/// The observed removal of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Time of the observation.
    pub seen: Timestamp,
    /// Whether the pod was removed during a gap, so that its end was not observed.
    pub is_missed: bool,
}

/// Facts about the end of a container.
#[derive(Debug, Clone, PartialEq)]
struct ContainerEnd {
    end: End,
    seen: Option<Timestamp>,
    message: Option<String>,
}

/// Facts about a pod from other objects of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings<'a> {
    pub(crate) endpoint: Option<&'a PodEndpoint>,
    /// Failures of hooks, each with the container's name.
    pub(crate) hook_failures: &'a [(String, HookFailure)],
    pub(crate) evidence: Evidence,
}

/// Beginning of a pod's termination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    deleted: Timestamp,
    grace_end: Timestamp,
}

impl Start {
    /// Creates the beginning for a termination that was over at `seen`; its beginning is not known.
    pub(crate) const fn at(seen: Timestamp) -> Self {
        Self { deleted: seen, grace_end: Timestamp::MAX }
    }

    /// Returns the beginning for a pod that is deleted, or that the kubelet has ended without a
    /// deletion.
    pub(crate) fn of(pod: &Pod) -> Option<Self> {
        let metadata = &pod.metadata;
        if let Some(grace_end) = metadata.deletion_timestamp {
            let grace = metadata.deletion_grace_period_seconds.unwrap_or(0).clamp(0, 1 << 32);
            let deleted =
                grace_end.checked_sub(SignedDuration::from_secs(grace)).unwrap_or(grace_end);
            return Some(Self { deleted, grace_end });
        }
        let by_kubelet = pod.disruption().filter(|_| pod.status.phase == "Failed");
        let by_kubelet =
            by_kubelet.filter(|it| it.reason.as_deref() == Some("TerminationByKubelet"));
        // It is not known how much time the kubelet gave the pod.
        let deleted = by_kubelet?.last_transition_time?;
        Some(Self { deleted, grace_end: Timestamp::MAX })
    }
}

impl Pending {
    /// Creates a pod that begins to terminate. `deletion_seen` is `None` if this was before the
    /// watch started.
    pub(crate) fn new(
        pod: &Pod,
        start: Start,
        facts: Arc<PodFacts>,
        deletion_seen: Option<Timestamp>,
    ) -> Self {
        let unseen = ContainerEnd { end: End::Unseen, seen: None, message: None };
        let mut pending = Self {
            namespace: pod.metadata.namespace.as_str().into(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.as_str().into(),
            node: pod.spec.node_name.clone().unwrap_or_default(),
            ends: vec![unseen; facts.containers.len()],
            facts,
            deleted: start.deleted,
            grace_end: start.grace_end,
            deletion_seen,
            gone: None,
            said: None,
        };
        pending.update(pod, start, deletion_seen);
        pending
    }

    /// Creates a pod that was running when it was last seen, and no longer exists.
    pub(crate) fn vanished(
        uid: Arc<str>,
        namespace: Arc<str>,
        name: &str,
        facts: Arc<PodFacts>,
        at: Timestamp,
    ) -> Self {
        let unseen = ContainerEnd { end: End::Unseen, seen: None, message: None };
        let Start { deleted, grace_end } = Start::at(at);
        Self {
            namespace,
            name: name.to_owned(),
            uid,
            node: String::new(),
            ends: vec![unseen; facts.containers.len()],
            facts,
            deleted,
            grace_end,
            deletion_seen: None,
            gone: Some(Gone { seen: at, is_missed: true }),
            said: None,
        }
    }

    /// Adds the facts of a newer state of the pod.
    pub(crate) fn update(&mut self, pod: &Pod, start: Start, at: Option<Timestamp>) {
        // A second deletion can shorten the grace period, but does not change its beginning. The
        // last deletion, which the kubelet makes when all containers have ended, has no grace
        // period.
        if start.grace_end > start.deleted && !self.has_ended() {
            self.grace_end = self.grace_end.min(start.grace_end);
        }
        self.said = pod.disruption().and_then(Cause::of_condition).or(self.said);
        if let Some(node) = &pod.spec.node_name {
            self.node.clone_from(node);
        }
        let statuses =
            pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
        for status in statuses {
            let containers = self.facts.containers.iter();
            let Some(place) = containers.clone().position(|it| it.name == status.name) else {
                continue;
            };
            if let Some(end) = self.ends.get_mut(place) {
                end.update(status, at);
            }
        }
    }

    /// Returns whether the deletion itself was not observed.
    fn is_missed(&self) -> bool {
        let is_gone = self.gone.is_some_and(|gone| gone.is_missed);
        is_gone && self.deletion_seen.is_none() && self.grace_end == Timestamp::MAX
    }

    /// Returns whether a node has reported the end of all containers.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ends.iter().all(|end| end.end != End::Unseen)
    }

    /// Returns whether no more information is expected.
    pub(crate) fn is_settled(&self, at: Timestamp, endpoint: Option<&PodEndpoint>) -> bool {
        let Some(gone) = self.gone else {
            // The kubelet does not delete pods that it ended itself.
            return self.grace_end == Timestamp::MAX && self.has_ended() && self.rests(at);
        };
        let waited = at.duration_since(gone.seen);
        let is_withdrawn = endpoint.is_none_or(|endpoint| !endpoint.is_ready());
        waited >= if is_withdrawn { FOR_EVENTS } else { FOR_ENDPOINTS }
    }

    fn rests(&self, at: Timestamp) -> bool {
        let last = self.ends.iter().filter_map(|end| end.seen).max();
        last.or(self.deletion_seen).is_none_or(|last| at.duration_since(last) >= FOR_EVENTS)
    }

    /// Returns the ends of the pod's containers, with their verdicts.
    pub(crate) fn terminations(
        &self,
        around: &Surroundings<'_>,
        at: Timestamp,
    ) -> Vec<Termination> {
        let withdrawn = around.endpoint.and_then(|endpoint| self.withdrawn(endpoint, at));
        let said = self.said.or(around.evidence.said);
        let cause = Cause::of(Evidence { said, ..around.evidence });
        let containers = self.facts.containers.iter().zip(&self.ends);
        containers
            .map(|(facts, end)| {
                let ports = around.endpoint.map(|endpoint| &*endpoint.ports).unwrap_or_default();
                let withdrawn = withdrawn.filter(|_| self.facts.serves(facts, ports));
                self.termination(facts, end, withdrawn, cause, around, at)
            })
            .collect()
    }

    fn termination(
        &self,
        facts: &ContainerFacts,
        end: &ContainerEnd,
        withdrawn: Option<Withdrawn>,
        cause: Cause,
        around: &Surroundings<'_>,
        at: Timestamp,
    ) -> Termination {
        let second = SignedDuration::from_secs(1);
        let earliest = self.deleted.checked_sub(second).unwrap_or(self.deleted);
        let failures = around.hook_failures.iter();
        let mut failures = failures.filter(|(name, it)| *name == facts.name && it.at >= earliest);
        let hook_failure = failures.next_back().map(|(_, failure)| *failure);
        let seen_after =
            |seen: Timestamp| self.deletion_seen.map(|from| seconds_between(from, seen));
        let endpoint = withdrawn.map(|withdrawn_after| {
            let end_seen_after = end.seen.and_then(seen_after);
            EndpointSeen { withdrawn_after, end_seen_after }
        });
        let (deleted, grace_end) = (self.deleted, self.grace_end);
        let seen = Seen { deleted, grace_end, end: end.end.clone(), hook_failure, endpoint };
        let report = end.message.as_deref().and_then(HookReport::of);
        let reported =
            report.as_ref().and_then(HookReport::took).and_then(|it| u32::try_from(it).ok());
        let failed = hook_failure.map(|it| seconds_between(self.deleted, it.at).max(0.0));
        let grace = grace_end.duration_since(deleted).as_secs();
        Termination {
            namespace: self.namespace.to_string(),
            pod: self.name.clone(),
            uid: self.uid.to_string(),
            node: self.node.clone(),
            workload: self.facts.workload.clone(),
            container: facts.name.clone(),
            deleted: (!self.is_missed()).then_some(deleted),
            grace_seconds: (grace_end != Timestamp::MAX).then_some(grace),
            cause,
            withdrawn,
            hook: facts.hook.map(|hook| hook.delay_seconds),
            hook_ended_after: reported.map(f64::from).or(failed),
            report,
            verdicts: judge(facts, &seen),
            end: end.end.clone(),
            judged: at,
        }
    }

    /// Returns the time at which the endpoint was withdrawn; `None` if the pod was not an endpoint
    /// when it was deleted.
    fn withdrawn(&self, endpoint: &PodEndpoint, at: Timestamp) -> Option<Withdrawn> {
        let Some(deletion) = self.deletion_seen else {
            return (endpoint.is_ready() || endpoint.is_terminating).then_some(Withdrawn::Unknown);
        };
        if endpoint.is_ready() {
            return Some(Withdrawn::NotWithin(seconds_between(deletion, at)));
        }
        let Some(withdrawn) = endpoint.withdrawn else {
            return endpoint.is_terminating.then_some(Withdrawn::Unknown);
        };
        let after = seconds_between(deletion, withdrawn);
        (after > -OVERTAKEN).then_some(Withdrawn::After(after.max(0.0)))
    }
}

impl ContainerEnd {
    fn update(&mut self, status: &ContainerStatus, at: Option<Timestamp>) {
        let state = &status.state;
        if let Some(Terminated { exit_code, signal, reason, message, finished_at }) =
            &state.terminated
        {
            let Some(finished_at) = *finished_at else { return };
            let exit = Exit::new(*exit_code, *signal, finished_at, reason.clone());
            let end = End::Exited(exit);
            if self.end != end {
                *self = Self { end, seen: at, message: message.clone() };
            }
        } else if state.running.is_some() {
            self.end = End::Unseen;
        } else if state.waiting.is_some() && !matches!(self.end, End::Exited(_)) {
            self.end = End::NeverStarted;
        }
    }
}
