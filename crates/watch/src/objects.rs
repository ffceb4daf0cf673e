//! Objects of the API server with the fields that are read. Lenient: `null` is treated as absent, and a time that
//! can't be read too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Metadata of any object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace; empty for objects of the whole cluster.
    pub namespace: String,
    /// Of this very object, not of another of the same name.
    pub uid: String,
    /// Its version, for the watch.
    pub resource_version: String,
    /// When it was created.
    #[serde(deserialize_with = "time")]
    pub creation_timestamp: Option<Timestamp>,
    /// When its grace period ends.
    #[serde(deserialize_with = "time")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Its grace period.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Its labels.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Its owner.
    #[serde(deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference>,
}

/// The owner of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OwnerReference {
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// Whether it is the controller.
    pub controller: Option<bool>,
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its metadata.
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
    /// The node that it runs on.
    pub node_name: Option<String>,
    /// Its containers.
    #[serde(deserialize_with = "null_is_default")]
    pub containers: Vec<Container>,
    /// Its init containers; native sidecars are among them.
    #[serde(deserialize_with = "null_is_default")]
    pub init_containers: Vec<Container>,
}

/// A container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its ports.
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<ContainerPort>,
    /// Its hooks.
    pub lifecycle: Option<Lifecycle>,
    /// Of an init container: `Always` makes it a sidecar.
    pub restart_policy: Option<String>,
}

/// A port of a container.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Its number.
    pub container_port: u32,
}

/// Hooks of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Before the stop signal.
    pub pre_stop: Option<Value>,
}

/// The current state of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Running`, `Failed`, ...
    pub phase: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// Conditions.
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    /// Of each container.
    #[serde(deserialize_with = "null_is_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// Of each init container.
    #[serde(deserialize_with = "null_is_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// A condition of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// Since when.
    #[serde(deserialize_with = "time")]
    pub last_transition_time: Option<Timestamp>,
}

/// The state of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Which container.
    pub name: String,
    /// Its state.
    #[serde(deserialize_with = "null_is_default")]
    pub state: ContainerState,
}

/// One of three.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It runs.
    pub running: Option<IgnoredAny>,
    /// It has not started yet.
    pub waiting: Option<IgnoredAny>,
    /// It has ended.
    pub terminated: Option<Terminated>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Its exit code; 128 and more for signals.
    pub exit_code: i32,
    /// The signal, where the runtime says so.
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, ...
    pub reason: Option<String>,
    /// The termination message.
    pub message: Option<String>,
    /// When it ended.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<Timestamp>,
}

/// An event of the API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Its metadata.
    pub metadata: Metadata,
    /// The object that it is about.
    pub involved_object: ObjectReference,
    /// Why it was written, in one word.
    pub reason: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// When it happened first.
    #[serde(deserialize_with = "time")]
    pub first_timestamp: Option<Timestamp>,
    /// When it happened last.
    #[serde(deserialize_with = "time")]
    pub last_timestamp: Option<Timestamp>,
    /// When it happened, more exactly.
    #[serde(deserialize_with = "time")]
    pub event_time: Option<Timestamp>,
}

/// Another object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Which object of this name.
    pub uid: Option<String>,
    /// The part that it is about: `spec.containers{web}`.
    pub field_path: Option<String>,
}

/// Some of the endpoints of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its endpoints.
    #[serde(deserialize_with = "null_is_default")]
    pub endpoints: Vec<Endpoint>,
    /// The ports that all of them listen on.
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<EndpointPort>,
}

/// An endpoint of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its state.
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: EndpointConditions,
    /// The pod.
    pub target_ref: Option<ObjectReference>,
}

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Gets new connections; absent means yes.
    pub ready: Option<bool>,
    /// Its pod is being deleted.
    pub terminating: Option<bool>,
}

/// A port of endpoints.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// Its number.
    pub port: Option<u32>,
}

/// An owner as people name it: a Deployment rather than its `ReplicaSet`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, ...
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Event {
    /// When it happened last.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.last_timestamp
            .or(self.event_time)
            .or(self.first_timestamp)
            .or(self.metadata.creation_timestamp)
    }
}

impl ObjectReference {
    /// The container that a field path names.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        let (_, rest) = self.field_path.as_deref()?.split_once('{')?;
        rest.strip_suffix('}')
    }
}

impl Pod {
    /// Its owner. A `ReplicaSet` whose name ends with the hash of its template is a Deployment's, or that of
    /// a Rollout of Argo.
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

    /// Which template of its workload it was made of.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        let labels =
            ["pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"];
        labels.into_iter().find_map(|label| self.metadata.labels.get(label)).map(String::as_str)
    }

    /// The condition that says why the pod is being disrupted.
    #[must_use]
    pub fn disruption(&self) -> Option<&Condition> {
        let mut conditions = self.status.conditions.iter();
        conditions.find(|it| it.kind == "DisruptionTarget" && it.status == "True")
    }
}

/// Go writes empty values as `null` at times.
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
