//! The termination of a container, as it is reported.

use jiff::Timestamp;
use prestop_core::engine::hook_report::HookReport;
use serde_json::{Value, json};

use super::cause::Cause;
use super::judge::{End, Withdrawn};
use super::objects::Workload;
use super::verdict::{Text, Verdict, Weight};

/// Version of the JSON output.
pub const API_VERSION: &str = "prestop.dev/v1alpha1";

/// The termination of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Termination {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// The pod's node.
    pub node: String,
    /// The workload of the pod.
    pub workload: Option<Workload>,
    /// The container's name.
    pub container: String,
    /// Time of the pod's deletion; `None` if it was not observed.
    pub deleted: Option<Timestamp>,
    /// The pod's grace period, in seconds, if it is known.
    pub grace_seconds: Option<i64>,
    /// Cause of the termination.
    pub cause: Cause,
    /// Withdrawal of the pod's endpoint, if a Service sent requests to it.
    pub withdrawn: Option<Withdrawn>,
    /// The container's hook, if there is one: the seconds by which it delays the stop, if known.
    pub hook: Option<Option<i64>>,
    /// Seconds from the deletion to the end of the hook, if known.
    pub hook_ended_after: Option<f64>,
    /// The report of the hook.
    pub report: Option<HookReport>,
    /// The container's end.
    pub end: End,
    /// The verdicts, the most severe first.
    pub verdicts: Vec<Verdict>,
    /// Time at which the information was complete.
    pub judged: Timestamp,
}

impl Termination {
    /// Returns the most severe verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdicts.first().copied().unwrap_or(Verdict::Unseen)
    }

    /// Returns the seconds from the deletion to the end of the container.
    #[must_use]
    pub fn exited_after(&self) -> Option<f64> {
        match &self.end {
            End::Exited(exit) => Some(super::seconds_between(self.deleted?, exit.at)),
            End::NeverStarted | End::Unseen => None,
        }
    }

    /// Returns the termination as JSON. `weight` is its weight without accepted verdicts.
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

/// Rounds to milliseconds, which are precise enough.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
