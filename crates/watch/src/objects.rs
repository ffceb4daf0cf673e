//! Objects of the API server with the fields that are read. Lenient: `null` is treated as absent,
//! and so is a time that can't be parsed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Metadata of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name of the object.
    pub name: String,
    /// Namespace of the object; empty for cluster-wide objects.
    pub namespace: String,
    /// Unique id, which distinguishes this object from others with the same name.
    pub uid: String,
    /// Version of the object, for watches.
    pub resource_version: String,
    /// Time of creation.
    #[serde(deserialize_with = "time")]
    pub creation_timestamp: Option<Timestamp>,
    /// End of the grace period, if the object is deleted.
    #[serde(deserialize_with = "time")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Grace period of the deletion, in seconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Owners.
    #[serde(deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference>,
}

/// Reference to the owner of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OwnerReference {
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// Whether the owner is the controller.
    pub controller: Option<bool>,
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Metadata,
    /// The desired state.
    pub spec: PodSpec,
    /// The current state.
    #[serde(deserialize_with = "null_is_default")]
    pub status: PodStatus,
}

/// The desired state of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Name of the node on which the pod runs.
    pub node_name: Option<String>,
    /// Regular containers.
    #[serde(deserialize_with = "null_is_default")]
    pub containers: Vec<Container>,
    /// Init containers, including native sidecars.
    #[serde(deserialize_with = "null_is_default")]
    pub init_containers: Vec<Container>,
}

/// A container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name of the container.
    pub name: String,
    /// Declared ports.
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<ContainerPort>,
    /// Hooks.
    pub lifecycle: Option<Lifecycle>,
    /// For an init container: `Always` makes it a native sidecar.
    pub restart_policy: Option<String>,
}

/// A port of a container.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Number of the port.
    pub container_port: u32,
}

/// Hooks of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Hook that runs before the stop signal.
    pub pre_stop: Option<Value>,
}

/// The current state of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Running`, `Failed`, ...
    pub phase: String,
    /// Reason of a failure.
    pub reason: Option<String>,
    /// Conditions.
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    /// States of the regular containers.
    #[serde(deserialize_with = "null_is_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// States of the init containers.
    #[serde(deserialize_with = "null_is_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// A condition of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason, as a word for programs.
    pub reason: Option<String>,
    /// Message for people.
    pub message: Option<String>,
    /// Time of the last change.
    #[serde(deserialize_with = "time")]
    pub last_transition_time: Option<Timestamp>,
}

/// The state of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Name of the container.
    pub name: String,
    /// State of the container.
    #[serde(deserialize_with = "null_is_default")]
    pub state: ContainerState,
}

/// State of a container: one of three.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Present if the container runs.
    pub running: Option<IgnoredAny>,
    /// Present if the container has not started yet.
    pub waiting: Option<IgnoredAny>,
    /// Present if the container has ended.
    pub terminated: Option<Terminated>,
}

/// The end of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Exit code; 128 and more for signals.
    pub exit_code: i32,
    /// The signal, if the runtime reports it.
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, ...
    pub reason: Option<String>,
    /// The termination message.
    pub message: Option<String>,
    /// Time of the end.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<Timestamp>,
}

/// An event of the API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Metadata.
    pub metadata: Metadata,
    /// The object that the event is about.
    pub involved_object: ObjectReference,
    /// Reason, as a word for programs.
    pub reason: Option<String>,
    /// Message for people.
    pub message: Option<String>,
    /// Time of the first occurrence.
    #[serde(deserialize_with = "time")]
    pub first_timestamp: Option<Timestamp>,
    /// Time of the last occurrence.
    #[serde(deserialize_with = "time")]
    pub last_timestamp: Option<Timestamp>,
    /// Time of the event, with a higher resolution.
    #[serde(deserialize_with = "time")]
    pub event_time: Option<Timestamp>,
}

/// Reference to an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Namespace of the object.
    pub namespace: Option<String>,
    /// Unique id of the object.
    pub uid: Option<String>,
    /// The part of the object: `spec.containers{web}`.
    pub field_path: Option<String>,
}

/// Some of the endpoints of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    /// Metadata.
    pub metadata: Metadata,
    /// Endpoints in the slice.
    #[serde(deserialize_with = "null_is_default")]
    pub endpoints: Vec<Endpoint>,
    /// The ports on which all of the endpoints listen.
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<EndpointPort>,
}

/// An endpoint of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// State of the endpoint.
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: EndpointConditions,
    /// The pod.
    pub target_ref: Option<ObjectReference>,
}

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Whether the endpoint gets new connections; absent means yes.
    pub ready: Option<bool>,
    /// Whether the endpoint's pod is being deleted.
    pub terminating: Option<bool>,
}

/// A port of endpoints.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// Number of the port.
    pub port: Option<u32>,
}

/// The owner that users know: a Deployment rather than its `ReplicaSet`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, ...
    pub kind: String,
    /// Name of the workload.
    pub name: String,
}

impl Event {
    /// Returns the time of the last occurrence.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.last_timestamp
            .or(self.event_time)
            .or(self.first_timestamp)
            .or(self.metadata.creation_timestamp)
    }
}

impl ObjectReference {
    /// Returns the container that the field path names.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        let (_, rest) = self.field_path.as_deref()?.split_once('{')?;
        rest.strip_suffix('}')
    }
}

impl Pod {
    /// Returns the pod's owner. A `ReplicaSet` whose name ends with the hash of its template
    /// belongs to a Deployment, or to a Rollout of Argo.
    #[must_use]
    pub fn workload(&self) -> Option<Workload> {
        let owner =
            self.metadata.owner_references.iter().find(|owner| owner.controller == Some(true))?;
        let labels = &self.metadata.labels;
        for (label, kind) in
            [("rollouts-pod-template-hash", "Rollout"), ("pod-template-hash", "Deployment")]
        {
            let hash = labels.get(label).filter(|_| owner.kind == "ReplicaSet");
            let name =
                hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
            if let Some(name) = name {
                return Some(Workload { kind: kind.to_owned(), name: name.to_owned() });
            }
        }
        Some(Workload { kind: owner.kind.clone(), name: owner.name.clone() })
    }

    /// Returns the revision of the workload's template from which the pod was created.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        let labels =
            ["pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"];
        labels.into_iter().find_map(|label| self.metadata.labels.get(label)).map(String::as_str)
    }

    /// Returns the condition with the reason why the pod is being disrupted.
    #[must_use]
    pub fn disruption(&self) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|it| it.kind == "DisruptionTarget" && it.status == "True")
    }
}

/// Reads a value, or its default for `null`, which Go sometimes writes for empty values.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

fn time<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(reader)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn owned(labels: &Value, kind: &str, name: &str) -> Option<Workload> {
        let owners = json!([{"kind": "Node", "name": "n"}, {"kind": kind, "name": name, "controller": true}]);
        let pod = json!({"metadata": {"labels": labels, "ownerReferences": owners}});
        serde_json::from_value::<Pod>(pod).unwrap().workload()
    }

    #[test]
    fn a_replica_set_is_its_deployment() {
        let workload = |kind: &str, name: &str| {
            Some(Workload { kind: kind.to_owned(), name: name.to_owned() })
        };
        let hash = json!({"pod-template-hash": "7d9c"});
        assert_eq!(owned(&hash, "ReplicaSet", "web-7d9c"), workload("Deployment", "web"));
        assert_eq!(owned(&hash, "ReplicaSet", "web"), workload("ReplicaSet", "web"));
        assert_eq!(owned(&hash, "StatefulSet", "db"), workload("StatefulSet", "db"));
        let argo = json!({"rollouts-pod-template-hash": "55f"});
        assert_eq!(owned(&argo, "ReplicaSet", "api-55f"), workload("Rollout", "api"));
        assert_eq!(Pod::default().workload(), None);
    }

    #[test]
    fn null_and_unreadable_values_are_absent() {
        let pod = json!({"metadata": {"labels": null, "deletionTimestamp": "soon"}, "status": null,
            "spec": {"containers": null}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(pod.metadata.deletion_timestamp, None);
        assert!(pod.spec.containers.is_empty());
    }

    #[test]
    fn a_field_path_names_the_container() {
        let at = |path: &str| ObjectReference {
            field_path: Some(path.to_owned()),
            ..ObjectReference::default()
        };
        assert_eq!(at("spec.containers{web}").container(), Some("web"));
        assert_eq!(at("spec").container(), None);
    }
}
