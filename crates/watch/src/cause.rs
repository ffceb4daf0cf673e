//! The cause of a pod's termination, determined from events, a condition or its workload.

use super::objects::Condition;

/// Cause of a pod's termination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Its workload replaced it with a pod of another template.
    Rollout,
    /// Its workload was scaled down.
    ScaleDown,
    /// The eviction API, which `kubectl drain` and cluster autoscalers use.
    Eviction,
    /// The cloud provider reclaimed its node.
    Spot,
    /// The scheduler, for a pod with a higher priority.
    Preemption,
    /// A taint of its node.
    Taint,
    /// The kubelet, because its node lacks a resource.
    NodePressure,
    /// The kubelet, because its node shuts down.
    NodeShutdown,
    /// Its node no longer exists.
    NodeLost,
    /// There is no evidence.
    Unknown,
}

/// Evidence of the cause of a pod's termination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The cause that a condition or an event of the pod names.
    pub said: Option<Cause>,
    /// Whether an event reports that its controller deleted it.
    pub is_by_controller: bool,
    /// Whether its workload has newer pods of another template.
    pub is_outdated: bool,
    /// Whether an event reports that its node is being reclaimed.
    pub is_node_reclaimed: bool,
}

/// Reasons of events on nodes that are being reclaimed, as written by Karpenter and the AWS node
/// termination handler.
const RECLAIMED: [&str; 6] = [
    "SpotInterrupted",
    "SpotInterruption",
    "SpotRebalanceRecommendation",
    "RebalanceRecommendation",
    "TerminatingOnInterruption",
    "PreemptScheduled",
];

impl Cause {
    /// Stable word for JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::ScaleDown => "scale-down",
            Self::Eviction => "eviction",
            Self::Spot => "spot",
            Self::Preemption => "preemption",
            Self::Taint => "taint",
            Self::NodePressure => "node-pressure",
            Self::NodeShutdown => "node-shutdown",
            Self::NodeLost => "node-lost",
            Self::Unknown => "unknown",
        }
    }

    /// Words for people; empty if the cause is not known.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::ScaleDown => "scale-down",
            Self::Eviction => "drain",
            Self::Spot => "spot node reclaimed",
            Self::Preemption => "preempted",
            Self::Taint => "taint of the node",
            Self::NodePressure => "evicted by the kubelet",
            Self::NodeShutdown => "node shut down",
            Self::NodeLost => "node lost",
            Self::Unknown => "",
        }
    }

    /// Returns the cause that a `DisruptionTarget` condition names:
    /// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>.
    #[must_use]
    pub fn of_condition(condition: &Condition) -> Option<Self> {
        let message = condition.message.as_deref().unwrap_or_default();
        Some(match condition.reason.as_deref()? {
            "EvictionByEvictionAPI" => Self::Eviction,
            "PreemptionByScheduler" => Self::Preemption,
            "DeletionByTaintManager" => Self::Taint,
            "DeletionByPodGC" => Self::NodeLost,
            "TerminationByKubelet" if message.contains("shutdown") => Self::NodeShutdown,
            "TerminationByKubelet" => Self::NodePressure,
            _ => return None,
        })
    }

    /// Returns the cause that an event on a pod names.
    #[must_use]
    pub fn of_event(reason: &str) -> Option<Self> {
        Some(match reason {
            "Evicted" => Self::NodePressure,
            "Preempted" => Self::Preemption,
            "TaintManagerEviction" => Self::Taint,
            "NodeShutdown" => Self::NodeShutdown,
            _ => return None,
        })
    }

    /// Returns whether an event on a node reports that the node is being reclaimed.
    #[must_use]
    pub fn is_reclaim(reason: &str) -> bool {
        RECLAIMED.contains(&reason)
    }

    /// Determines the cause from all evidence.
    #[must_use]
    pub const fn of(evidence: Evidence) -> Self {
        match evidence {
            Evidence { is_node_reclaimed: true, is_by_controller: false, .. } => Self::Spot,
            Evidence { said: Some(said), .. } => said,
            Evidence { is_outdated: true, .. } => Self::Rollout,
            Evidence { is_by_controller: true, .. } => Self::ScaleDown,
            _ => Self::Unknown,
        }
    }
}

/// Returns the pod that a controller deleted, from its `SuccessfulDelete` event. Deployments,
/// `DaemonSet`s and Jobs write `Deleted pod: NAME`, `StatefulSet`s write
/// `delete Pod NAME in StatefulSet ... successful`.
#[must_use]
pub fn deleted_pod(message: &str) -> Option<&str> {
    let rest = message.split_once("Deleted pod: ").or_else(|| message.split_once("delete Pod "));
    let name = rest?.1.split([' ', ',']).next()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_name_the_pods_that_they_delete() {
        assert_eq!(deleted_pod("Deleted pod: web-7d9c-abc"), Some("web-7d9c-abc"));
        let combined = "(combined from similar events): Deleted pod: web-7d9c-abc";
        assert_eq!(deleted_pod(combined), Some("web-7d9c-abc"));
        assert_eq!(deleted_pod("delete Pod db-0 in StatefulSet db successful"), Some("db-0"));
        assert_eq!(deleted_pod("Created pod: web-7d9c-abc"), None);
        assert_eq!(deleted_pod("Deleted pod: "), None);
    }

    #[test]
    fn conditions_say_who_disrupts() {
        let of = |reason: &str, message: &str| {
            let (reason, message) = (Some(reason.to_owned()), Some(message.to_owned()));
            Cause::of_condition(&Condition { reason, message, ..Condition::default() })
        };
        assert_eq!(of("EvictionByEvictionAPI", ""), Some(Cause::Eviction));
        assert_eq!(of("PreemptionByScheduler", ""), Some(Cause::Preemption));
        assert_eq!(of("DeletionByTaintManager", ""), Some(Cause::Taint));
        assert_eq!(of("DeletionByPodGC", ""), Some(Cause::NodeLost));
        let shutdown = "Pod was terminated in response to imminent node shutdown.";
        assert_eq!(of("TerminationByKubelet", shutdown), Some(Cause::NodeShutdown));
        assert_eq!(of("TerminationByKubelet", "low on memory"), Some(Cause::NodePressure));
        assert_eq!(of("SomethingNew", ""), None);
    }

    #[test]
    fn the_strongest_evidence_decides() {
        let nothing = Evidence::default();
        assert_eq!(Cause::of(nothing), Cause::Unknown);
        let by_controller = Evidence { is_by_controller: true, ..nothing };
        assert_eq!(Cause::of(by_controller), Cause::ScaleDown);
        assert_eq!(Cause::of(Evidence { is_outdated: true, ..by_controller }), Cause::Rollout);
        let evicted = Evidence { said: Some(Cause::Eviction), ..nothing };
        assert_eq!(Cause::of(evicted), Cause::Eviction);
        assert_eq!(Cause::of(Evidence { is_node_reclaimed: true, ..evicted }), Cause::Spot);
        assert_eq!(Cause::of_event("Preempted"), Some(Cause::Preemption));
        assert!(Cause::is_reclaim("SpotInterrupted") && !Cause::is_reclaim("NodeReady"));
    }
}
