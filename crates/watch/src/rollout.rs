//! Determines whether a workload has been rolled out, with the criteria of `kubectl rollout status`
//! and `kubectl argo rollouts status`:
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_status/>.

use serde_json::Value;

/// Kinds of workloads with rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `apps/v1`.
    Deployment,
    /// `apps/v1`.
    StatefulSet,
    /// `apps/v1`.
    DaemonSet,
    /// Argo's, `argoproj.io/v1alpha1`.
    Rollout,
}

/// Progress of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// All pods have the new template and are available.
    Done,
    /// The rollout is not complete; the text describes what it waits for.
    Waiting(String),
    /// The rollout has failed, for this reason.
    Failed(String),
    /// The workload does not roll automatically, for this reason.
    NeverRolls(String),
}

impl Kind {
    /// Parses the name of a kind as kubectl accepts it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "deployment" | "deployments" | "deploy" | "deployments.apps" | "deployment.apps" => {
                Self::Deployment
            }
            "statefulset" | "statefulsets" | "sts" | "statefulset.apps" | "statefulsets.apps" => {
                Self::StatefulSet
            }
            "daemonset" | "daemonsets" | "ds" | "daemonset.apps" | "daemonsets.apps" => {
                Self::DaemonSet
            }
            "rollout" | "rollouts" | "ro" | "rollout.argoproj.io" | "rollouts.argoproj.io" => {
                Self::Rollout
            }
            _ => return None,
        })
    }

    /// Word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Rollout => "rollout",
        }
    }

    /// Returns group and version, and the plural in the API.
    #[must_use]
    pub const fn api(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment => ("apps/v1", "deployments"),
            Self::StatefulSet => ("apps/v1", "statefulsets"),
            Self::DaemonSet => ("apps/v1", "daemonsets"),
            Self::Rollout => ("argoproj.io/v1alpha1", "rollouts"),
        }
    }

    /// Returns the progress of an object of this kind.
    #[must_use]
    pub fn progress(self, object: &Value) -> Progress {
        let read = Read(object);
        match self {
            Self::Rollout => read.rollout(),
            _ if !read.is_observed() => Progress::Waiting("the change to be seen".to_owned()),
            Self::Deployment => read.deployment(),
            Self::StatefulSet => read.stateful_set(),
            Self::DaemonSet => read.daemon_set(),
        }
    }
}

/// Returns the selector of a workload's pods as a query of the API; `None` if it can't be
/// expressed.
#[must_use]
pub fn selector(object: &Value) -> Option<String> {
    let selector = object.pointer("/spec/selector")?;
    let mut terms = Vec::new();
    if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
        terms.extend(labels.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?))));
    }
    for expression in
        selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten()
    {
        terms.push(term(expression));
    }
    let terms: Vec<String> = terms.into_iter().collect::<Option<_>>()?;
    (!terms.is_empty()).then(|| terms.join(","))
}

fn term(expression: &Value) -> Option<String> {
    let key = expression.get("key")?.as_str()?;
    let values = expression.get("values").and_then(Value::as_array);
    let values: Vec<_> = values.into_iter().flatten().filter_map(Value::as_str).collect();
    let values = values.join(",");
    Some(match expression.get("operator")?.as_str()? {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        _ => return None,
    })
}

struct Read<'a>(&'a Value);

impl Read<'_> {
    fn number(&self, path: &str) -> i64 {
        self.0.pointer(path).and_then(Value::as_i64).unwrap_or(0)
    }

    fn text(&self, path: &str) -> &str {
        self.0.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn replicas(&self) -> i64 {
        self.0.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
    }

    fn is_observed(&self) -> bool {
        self.number("/metadata/generation") <= self.number("/status/observedGeneration")
    }

    fn deployment(&self) -> Progress {
        let conditions = self.0.pointer("/status/conditions").and_then(Value::as_array);
        let has_stalled = conditions.into_iter().flatten().any(|condition| {
            condition.get("type").and_then(Value::as_str) == Some("Progressing")
                && condition.get("reason").and_then(Value::as_str)
                    == Some("ProgressDeadlineExceeded")
        });
        if has_stalled {
            return Progress::Failed("it exceeded its progress deadline".to_owned());
        }
        let wanted = self.replicas();
        let [updated, all, available] =
            ["updatedReplicas", "replicas", "availableReplicas"].map(|it| self.status(it));
        if updated < wanted {
            return Progress::Waiting(format!("{updated} of {wanted} replicas are new"));
        }
        if all > updated {
            return Progress::Waiting(format!("{} old replicas are still there", all - updated));
        }
        if available < updated {
            return Progress::Waiting(format!(
                "{available} of {updated} new replicas are available"
            ));
        }
        Progress::Done
    }

    fn stateful_set(&self) -> Progress {
        let strategy = self.text("/spec/updateStrategy/type");
        if !matches!(strategy, "" | "RollingUpdate") {
            return Progress::NeverRolls(format!("its update strategy is {strategy}"));
        }
        let wanted = self.replicas();
        let [ready, updated] = ["readyReplicas", "updatedReplicas"].map(|it| self.status(it));
        if ready < wanted {
            return Progress::Waiting(format!("{ready} of {wanted} replicas are ready"));
        }
        let partition = self.number("/spec/updateStrategy/rollingUpdate/partition");
        if partition > 0 {
            let new = (wanted - partition).max(0);
            return if updated < new {
                Progress::Waiting(format!("{updated} of {new} replicas are new"))
            } else {
                Progress::Done
            };
        }
        if self.text("/status/updateRevision") != self.text("/status/currentRevision") {
            return Progress::Waiting(format!("{updated} of {wanted} replicas are new"));
        }
        Progress::Done
    }

    fn daemon_set(&self) -> Progress {
        let strategy = self.text("/spec/updateStrategy/type");
        if !matches!(strategy, "" | "RollingUpdate") {
            return Progress::NeverRolls(format!("its update strategy is {strategy}"));
        }
        let [wanted, updated, available] =
            ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"]
                .map(|it| self.status(it));
        if updated < wanted {
            return Progress::Waiting(format!("{updated} of {wanted} pods are new"));
        }
        if available < wanted {
            return Progress::Waiting(format!("{available} of {wanted} pods are available"));
        }
        Progress::Done
    }

    fn rollout(&self) -> Progress {
        // The value is a string here, and a number in other kinds.
        let observed = self.0.pointer("/status/observedGeneration");
        let observed = observed.map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
        if observed != Some(self.number("/metadata/generation").to_string()) {
            return Progress::Waiting("the change to be seen".to_owned());
        }
        let message = self.text("/status/message");
        match self.text("/status/phase") {
            "Healthy" => Progress::Done,
            "Degraded" => Progress::Failed(format!("it is degraded: {message}")),
            "" => Progress::Waiting("its status".to_owned()),
            phase => Progress::Waiting(
                format!("it is {} {message}", phase.to_lowercase()).trim_end().to_owned(),
            ),
        }
    }

    fn status(&self, name: &str) -> i64 {
        self.0
            .pointer("/status")
            .and_then(|status| status.get(name))
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(spec: &Value, status: &Value) -> Value {
        json!({"metadata": {"generation": 2}, "spec": spec, "status": status})
    }

    fn waits(progress: &Progress) -> bool {
        matches!(progress, Progress::Waiting(_))
    }

    #[test]
    fn deployments() {
        let progress = |mut status: Value| {
            status["observedGeneration"] = json!(2);
            Kind::Deployment.progress(&object(&json!({"replicas": 3}), &status))
        };
        assert!(waits(&progress(json!({"updatedReplicas": 2, "replicas": 4}))));
        assert!(waits(&progress(
            json!({"updatedReplicas": 3, "replicas": 4, "availableReplicas": 4})
        )));
        assert!(waits(&progress(
            json!({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2})
        )));
        let done = json!({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3});
        assert_eq!(progress(done.clone()), Progress::Done);
        let stalled =
            json!({"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]});
        assert!(matches!(progress(stalled), Progress::Failed(_)));
        // The controller has not observed the change.
        let mut old = done;
        old["observedGeneration"] = json!(1);
        assert!(waits(&Kind::Deployment.progress(&object(&json!({"replicas": 3}), &old))));
    }

    #[test]
    fn stateful_sets() {
        let progress = |spec: Value, status: Value| {
            let mut status = status;
            status["observedGeneration"] = json!(2);
            Kind::StatefulSet.progress(&object(&spec, &status))
        };
        let spec = json!({"replicas": 2});
        assert!(waits(&progress(spec.clone(), json!({"readyReplicas": 1}))));
        let mixed = json!({"readyReplicas": 2, "updatedReplicas": 1, "updateRevision": "b", "currentRevision": "a"});
        assert!(waits(&progress(spec.clone(), mixed.clone())));
        let done = json!({"readyReplicas": 2, "updateRevision": "b", "currentRevision": "b"});
        assert_eq!(progress(spec, done), Progress::Done);
        let partition =
            json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
        assert_eq!(progress(partition, mixed), Progress::Done);
        let by_hand = json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}});
        assert!(matches!(progress(by_hand, json!({})), Progress::NeverRolls(_)));
    }

    #[test]
    fn daemon_sets() {
        let progress = |updated: u32, available: u32| {
            let status = json!({"observedGeneration": 2, "desiredNumberScheduled": 2,
                "updatedNumberScheduled": updated, "numberAvailable": available});
            Kind::DaemonSet.progress(&object(&json!({}), &status))
        };
        assert!(waits(&progress(1, 2)) && waits(&progress(2, 1)));
        assert_eq!(progress(2, 2), Progress::Done);
    }

    #[test]
    fn rollouts_of_argo() {
        let progress = |generation: Value, phase: &str| {
            let status =
                json!({"observedGeneration": generation, "phase": phase, "message": "why"});
            Kind::Rollout.progress(&object(&json!({}), &status))
        };
        assert!(waits(&progress(json!("1"), "Healthy")));
        assert_eq!(progress(json!("2"), "Healthy"), Progress::Done);
        assert_eq!(
            progress(json!("2"), "Paused"),
            Progress::Waiting("it is paused why".to_owned())
        );
        assert_eq!(
            progress(json!("2"), "Degraded"),
            Progress::Failed("it is degraded: why".to_owned())
        );
    }

    #[test]
    fn names_and_selectors() {
        assert_eq!(Kind::of("deploy"), Some(Kind::Deployment));
        assert_eq!(Kind::of("StatefulSet"), Some(Kind::StatefulSet));
        assert_eq!(Kind::of("pod"), None);
        let of = |selector: Value| super::selector(&json!({"spec": {"selector": selector}}));
        let labels = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]});
        assert_eq!(of(labels).unwrap(), "app=web,tier in (a,b),!old");
        assert_eq!(of(json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})), None);
        assert_eq!(of(json!({})), None);
    }
}
