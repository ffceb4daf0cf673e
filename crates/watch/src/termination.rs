//! The end of a container, as it is reported.

use jiff::Timestamp;
use prestop_core::engine::hook_report::HookReport;
use serde_json::{Value, json};

use super::cause::Cause;
use super::judge::{End, Withdrawn};
use super::objects::Workload;
use super::verdict::{Text, Verdict, Weight};

/// The version of what machines read.
pub const API_VERSION: &str = "prestop.dev/v1alpha1";

/// The end of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Termination {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// The pod's node.
    pub node: String,
    /// The workload of the pod.
    pub workload: Option<Workload>,
    /// The container.
    pub container: String,
    /// When the pod was deleted; nothing if that was not seen.
    pub deleted: Option<Timestamp>,
    /// Its grace period, if that is known.
    pub grace_seconds: Option<i64>,
    /// By whom.
    pub cause: Cause,
    /// The pod's endpoint, where a Service sent requests to it.
    pub withdrawn: Option<Withdrawn>,
    /// Whether the container has a hook, and for how long it delays the stop if that is known.
    pub hook: Option<Option<i64>>,
    /// When the hook ended, in seconds after the deletion, if that is known.
    pub hook_ended_after: Option<f64>,
    /// The report of the hook.
    pub report: Option<HookReport>,
    /// How the container ended.
    pub end: End,
    /// Its verdicts, the heaviest first.
    pub verdicts: Vec<Verdict>,
    /// When all of it was known.
    pub judged: Timestamp,
}

impl Termination {
    /// The heaviest verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdicts.first().copied().unwrap_or(Verdict::Unseen)
    }

    /// Seconds from the deletion to the end of the container.
    #[must_use]
    pub fn exited_after(&self) -> Option<f64> {
        match &self.end {
            End::Exited(exit) => Some(super::seconds_between(self.deleted?, exit.at)),
            End::NeverStarted | End::Unseen => None,
        }
    }

    /// For machines. `weight` is what it means after all that is accepted.
    #[must_use]
    pub fn json(&self, weight: Weight) -> Value {
        let exit = match &self.end {
            End::Exited(exit) => Some(exit),
            End::NeverStarted | End::Unseen => None,
        };
        let Text { code, sentence, advice, weight: _ } = self.verdict().text();
        let others: Vec<_> = self.verdicts.iter().skip(1).map(|verdict| verdict.code()).collect();
        json!({
            "apiVersion": API_VERSION,
            "kind": "Termination",
            "namespace": self.namespace,
            "pod": self.pod,
            "uid": self.uid,
            "node": self.node,
            "workload": self.workload,
            "container": self.container,
            "deletedAt": self.deleted.map(|at| at.to_string()),
            "deletedBy": self.cause.code(),
            "gracePeriodSeconds": self.grace_seconds,
            "endpoint": self.withdrawn.map(endpoint),
            "hook": self.hook.map(|delay| json!({
                "delaySeconds": delay,
                "endedAfterSeconds": self.hook_ended_after,
                "report": self.report,
            })),
            "exitedAfterSeconds": self.exited_after(),
            "exitCode": exit.map(|exit| exit.code),
            "signal": exit.and_then(|exit| exit.signal),
            "reason": exit.and_then(|exit| exit.reason.as_deref()),
            "verdict": code,
            "weight": weight.code(),
            "sentence": sentence,
            "advice": advice,
            "others": others,
        })
    }
}

fn endpoint(withdrawn: Withdrawn) -> Value {
    match withdrawn {
        Withdrawn::After(seconds) => json!({"withdrawnAfterSeconds": rounded(seconds)}),
        Withdrawn::NotWithin(seconds) => json!({"notWithdrawnWithinSeconds": rounded(seconds)}),
        Withdrawn::Unknown => json!({}),
    }
}

/// Milliseconds are more than enough.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
