//! Running pods: their state after admission, compared with what prestop would inject today.

use serde_json::{Map, Value, json};

use super::subject::Subject;
use super::{Certainty, Finding, Mend, Rule};
use crate::engine::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use crate::engine::pod::Pod;
use crate::engine::settings::STATUS_ANNOTATION;
use crate::engine::status::Status;
use crate::engine::template::Workload;
use crate::engine::undo::undo;
use crate::engine::{Injection, Outcome};
use crate::fronts::pod::is_generated;

/// Fields of a pod's spec that no rule reads.
const UNREAD: [&str; 4] = ["volumes", "affinity", "topologySpreadConstraints", "imagePullSecrets"];
/// Fields of a container that no rule reads.
const UNREAD_OF_CONTAINER: [&str; 3] = ["resources", "volumeMounts", "volumeDevices"];
/// Annotation in which kubectl keeps a second copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The running pods of a workload. Pods are added one by one, in any order; only the newest one is
/// kept, with the fields that rules read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LivePods {
    /// Number of pods.
    count: usize,
    /// Number of pods that prestop has not injected.
    plain: usize,
    /// Number of pods that were changed after prestop injected them.
    changed: usize,
    /// Description of the change in one of these pods.
    change: Option<String>,
    newest: Option<Newest>,
}

/// The newest pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Newest {
    created: String,
    name: String,
    /// The pod as JSON text, without what prestop injected. For ten thousand workloads, trees would
    /// take ten times as much memory.
    pod: Box<str>,
    /// Seconds by which prestop delays the stop of each container, by the container's name.
    delays: Vec<(String, i64)>,
}

/// State of a pod after admission.
enum Admitted {
    /// prestop did not change the pod.
    Plain,
    /// prestop injected the pod. The delays, in seconds, by the names of the containers.
    Injected(Vec<(String, i64)>),
    /// prestop injected the pod, but its status annotation no longer matches the pod.
    Changed(String),
}

impl LivePods {
    /// Adds a running pod of the workload.
    pub fn add(&mut self, pod: &Value) {
        self.count += 1;
        let read = Pod::from_value(pod);
        let delays = match Admitted::of(&read) {
            Admitted::Plain => {
                self.plain += 1;
                Vec::new()
            }
            Admitted::Injected(delays) => delays,
            Admitted::Changed(change) => {
                self.changed += 1;
                // The smallest text is kept, so that the order of the pods does not matter.
                if self.change.as_ref().is_none_or(|known| change < *known) {
                    self.change = Some(change);
                }
                Vec::new()
            }
        };
        let text = |pointer: &str| {
            pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (created, name) = (text("/metadata/creationTimestamp"), text("/metadata/name"));
        let is_newest = self
            .newest
            .as_ref()
            .is_none_or(|newest| (&newest.created, &newest.name) < (&created, &name));
        if is_newest {
            let pod = essentials(pod, &read).to_string().into_boxed_str();
            self.newest = Some(Newest { created, name, pod, delays });
        }
    }

    /// Returns whether there are pods and each has a status annotation that matches the pod.
    pub(super) const fn are_injected(&self) -> bool {
        self.count > 0 && self.plain == 0 && self.changed == 0
    }

    /// Returns by how many seconds prestop delays the stop of the container with this name in the
    /// newest pod.
    pub(super) fn delay(&self, container: &str) -> Option<i64> {
        let delays = &self.newest.as_ref()?.delays;
        delays.iter().find(|(name, _)| name == container).map(|(_, seconds)| *seconds)
    }

    /// Returns the workload with the newest pod in place of its template.
    pub(super) fn admitted(&self, object: &Value, template: &str) -> Option<Value> {
        let pod: Value = serde_json::from_str(&self.newest.as_ref()?.pod).ok()?;
        if template.is_empty() {
            return Some(pod);
        }
        let mut object = object.clone();
        put(&mut object, template, pod)?;
        Some(object)
    }
}

impl Admitted {
    fn of(pod: &Pod<'_>) -> Self {
        let Some(spec) = pod.spec.value() else { return Self::Plain };
        let annotations = pod.metadata.value().and_then(|metadata| metadata.annotations.value());
        let mut ours = annotations.into_iter().flat_map(|annotations| &annotations.ours);
        let status = ours.find(|(key, _)| key == STATUS_ANNOTATION).map(|(_, status)| status);
        let Some(status) = status.filter(|status| !status.is_absent()) else { return Self::Plain };
        let text = status.value().map_or("", AsRef::as_ref);
        let grace = spec.grace_period_seconds.value().copied();
        let grace = grace.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS);
        match Status::believed(text, grace, spec.containers()) {
            Some(status) => {
                let delays = status.containers().iter();
                Self::Injected(delays.map(|it| (it.name.to_string(), it.delay)).collect())
            }
            None => Self::Changed(Status::contradiction(text, grace, spec.containers())),
        }
    }
}

/// Keeps the fields that rules read, without what prestop injected and without labels that
/// controllers add.
fn essentials(pod: &Value, read: &Pod<'_>) -> Value {
    let mut found = json!({"metadata": pod.get("metadata"), "spec": pod.get("spec")});
    if let Ok(undo) = undo(read, pod) {
        for operation in &undo.operations {
            take_out(&mut found, operation);
        }
    }
    if let Some(metadata) = found.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| {
            ["name", "namespace", "labels", "annotations"].contains(&key.as_str())
        });
        if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
            labels.retain(|key, _| !is_generated(key));
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.retain(|key, _| key != LAST_APPLIED);
        }
    }
    if let Some(spec) = found.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|key, _| !UNREAD.contains(&key.as_str()));
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.retain(|key, _| !UNREAD_OF_CONTAINER.contains(&key.as_str()));
            }
        }
    }
    found
}

/// Applies one operation of an uninjection.
fn take_out(pod: &mut Value, operation: &Value) -> Option<()> {
    let path = operation.get("path")?.as_str()?;
    if let Some(value) = operation.get("value") {
        return put(pod, path, value.clone());
    }
    let (parent, key) = parent(pod, path)?;
    parent.shift_remove(&key);
    Some(())
}

fn put(object: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parent, key) = parent(object, path)?;
    parent.insert(key, value);
    Some(())
}

/// Returns the object that contains the value at a path, and the key of the value in it.
fn parent<'v>(object: &'v mut Value, path: &str) -> Option<(&'v mut Map<String, Value>, String)> {
    let (parent, key) = path.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    Some((object.pointer_mut(parent)?.as_object_mut()?, key))
}

/// Rules about running pods.
pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(pods) = subject.pods.filter(|_| subject.is_served()) else { return Vec::new() };
    let mut found = Vec::new();
    found.extend(not_rolled_yet(subject, pods));
    found.extend(changed_after_us(subject, pods));
    found
}

/// Finding for pods without injection. Its certainty is limited, because the webhook's
/// configuration may skip pods that this configuration does not skip.
fn not_rolled_yet(subject: &Subject<'_>, pods: &LivePods) -> Option<Finding> {
    // Without room for the status annotation, an injected pod can't be recognised.
    let would_have_status =
        matches!(subject.decision.outcome, Outcome::Injected(Injection { metadata: Some(_), .. }));
    if pods.plain == 0 || !subject.is_labelled() || !would_have_status {
        return None;
    }
    let detail = format!("{} of {} pods", pods.plain, pods.count);
    let pointer = subject.in_pod("/metadata");
    let finding = Subject::finding(Rule::NotRolledYet, Certainty::Likely, pointer, detail);
    Some(Finding { mend: Some(Mend::Restarted), ..finding })
}

fn changed_after_us(subject: &Subject<'_>, pods: &LivePods) -> Option<Finding> {
    let change = pods.change.as_ref()?;
    let detail = format!("{} of {} pods; {change}", pods.changed, pods.count);
    let pointer = subject.in_pod("/spec");
    Some(Subject::finding(Rule::ChangedAfterUs, Certainty::Certain, pointer, detail))
}

/// Changes the pointer of a finding from the pod to the template, which may contain other
/// containers.
pub(super) fn at_template(finding: &mut Finding, workload: &Workload<'_>) {
    let containers = format!("{}/spec/containers", workload.template);
    let rest = finding.pointer.strip_prefix(&containers).and_then(|rest| rest.strip_prefix('/'));
    let Some(rest) = rest else { return };
    let field = rest.split_once('/').map_or("", |(_, field)| field);
    let own = workload.object.pointer(&containers).and_then(Value::as_array);
    let names = own.into_iter().flatten().map(|it| it.get("name").and_then(Value::as_str));
    let place = finding.container.as_deref().and_then(|name| {
        names.enumerate().find_map(|(index, own)| (own == Some(name)).then_some(index))
    });
    finding.pointer = match place {
        Some(index) if field.is_empty() => format!("{containers}/{index}"),
        Some(index) => format!("{containers}/{index}/{field}"),
        // Admission added the container.
        None => containers,
    };
}
