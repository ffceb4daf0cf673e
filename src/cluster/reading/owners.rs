//! The workload that a pod belongs to: its controller, or the controller of its controller.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::kinds::Resource;

/// Labels by which Deployments and Rollouts distinguish their `ReplicaSets`, with the kind of the
/// owner; the value of the label is the end of the set's name.
const TEMPLATE_HASHES: [(&str, &str); 2] = [
    ("pod-template-hash", "Deployment.apps"),
    ("rollouts-pod-template-hash", "Rollout.argoproj.io"),
];

/// Which object controls which.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// Kinds of workloads, as `Kind.group`.
    kinds: HashSet<String>,
    /// Keys of the owners, by the keys of the objects that they control.
    above: HashMap<String, String>,
    /// Number of pods by the kind of their controller, for kinds that are not workloads.
    left: BTreeMap<String, usize>,
}

/// The owner of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// The pod has no controller.
    ToNobody,
    /// The workload with this key.
    To(String),
    /// Something other than a workload: a Job, a node.
    Elsewhere,
}

/// Returns the key of a workload to which pods refer.
pub(crate) fn key(namespace: &str, kind: &str, api_version: &str, name: &str) -> String {
    format!("{namespace}/{}/{name}", kind_of(kind, api_version))
}

fn kind_of(kind: &str, api_version: &str) -> String {
    match api_version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    }
}

impl Owners {
    /// Registers a kind of workloads.
    pub(super) fn knows(&mut self, resource: &Resource) {
        self.kinds.insert(kind_of(&resource.kind, &resource.api_version()));
    }

    /// Records the controller of an object. Returns whether it is another workload, which the
    /// object's pods then belong to.
    pub(super) fn learn(&mut self, resource: &Resource, object: &Value) -> bool {
        let Some(owner) = Controller::of(object).filter(|it| self.kinds.contains(&it.kind)) else {
            return false;
        };
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let own = key(namespace, &resource.kind, &resource.api_version(), name);
        self.above.insert(own, owner.key(namespace));
        true
    }

    /// Returns the owner of a pod. `is_there` returns whether a workload with this key was read.
    pub(crate) fn of_pod(&mut self, pod: &Value, is_there: impl Fn(&str) -> bool) -> Belongs {
        let Some(controller) = Controller::of(pod) else { return Belongs::ToNobody };
        if !self.kinds.contains(&controller.kind) {
            // Jobs run to completion; a node's own pods are in its files.
            if !matches!(controller.kind.as_str(), "Job.batch" | "Node") {
                *self.left.entry(controller.kind).or_default() += 1;
            }
            return Belongs::Elsewhere;
        }
        let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str);
        let namespace = namespace.unwrap_or_default();
        let own = controller.key(namespace);
        if let Some(owner) = self.above.get(&own) {
            return Belongs::To(owner.clone());
        }
        // The controller may not be listed, or is younger than its list.
        let by_name = if is_there(&own) { None } else { controller.by_hash(pod, namespace) };
        Belongs::To(by_name.filter(|key| is_there(key)).unwrap_or(own))
    }

    /// Returns the kinds of controllers that are not workloads, with the number of their pods.
    pub(crate) fn left(&self) -> impl Iterator<Item = (&str, usize)> {
        self.left.iter().map(|(kind, count)| (kind.as_str(), *count))
    }
}

/// The owner reference of a controller.
struct Controller<'v> {
    /// The kind, as `Kind.group`.
    kind: String,
    name: &'v str,
}

impl<'v> Controller<'v> {
    fn of(object: &'v Value) -> Option<Self> {
        let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
        let owner = owners.iter().find(|it| it.get("controller") == Some(&Value::Bool(true)))?;
        let text = |field: &str| owner.get(field).and_then(Value::as_str);
        Some(Self { kind: kind_of(text("kind")?, text("apiVersion")?), name: text("name")? })
    }

    fn key(&self, namespace: &str) -> String {
        format!("{namespace}/{}/{}", self.kind, self.name)
    }

    /// Returns the controller's owner: the controller's name is the owner's name and the pod's
    /// hash.
    fn by_hash(&self, pod: &Value, namespace: &str) -> Option<String> {
        if self.kind != "ReplicaSet.apps" {
            return None;
        }
        let labels = pod.pointer("/metadata/labels")?;
        TEMPLATE_HASHES.into_iter().find_map(|(label, kind)| {
            let hash = labels.get(label)?.as_str()?;
            let name = self.name.strip_suffix(hash)?.strip_suffix('-')?;
            Some(format!("{namespace}/{kind}/{name}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(kind: &str) -> Resource {
        Resource::built_in().find(|it| it.kind == kind).unwrap()
    }

    fn controlled(name: &str, labels: &Value, kind: &str, owner: &str) -> Value {
        let (kind, api_version) = kind.split_once('|').unwrap();
        json!({"metadata": {"namespace": "shop", "name": name, "labels": labels, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Other", "name": "x"},
            {"apiVersion": api_version, "kind": kind, "name": owner, "controller": true}]}})
    }

    #[test]
    fn pods_belong_to_the_controller_of_their_controller() {
        let mut owners = Owners::default();
        for kind in ["Deployment", "ReplicaSet", "StatefulSet"] {
            owners.knows(&resource(kind));
        }
        let set = controlled("web-1", &json!({}), "Deployment|apps/v1", "web");
        assert!(owners.learn(&resource("ReplicaSet"), &set));
        let of_operator = controlled("db", &json!({}), "Database|example.com/v1", "db");
        assert!(!owners.learn(&resource("StatefulSet"), &of_operator), "a workload by itself");
        let none = json!({});
        let hash = json!({"pod-template-hash": "77f"});
        for (pod, expected) in [
            (
                controlled("a", &none, "ReplicaSet|apps/v1", "web-1"),
                Some("shop/Deployment.apps/web"),
            ),
            (controlled("b", &none, "StatefulSet|apps/v1", "db"), Some("shop/StatefulSet.apps/db")),
            (controlled("c", &none, "ReplicaSet|apps/v1", "own"), Some("shop/ReplicaSet.apps/own")),
            (
                controlled("d", &hash, "ReplicaSet|apps/v1", "web-77f"),
                Some("shop/Deployment.apps/web"),
            ),
            (
                controlled("e", &hash, "ReplicaSet|apps/v1", "new-77f"),
                Some("shop/ReplicaSet.apps/new-77f"),
            ),
            (controlled("f", &none, "Job|batch/v1", "job"), None),
            (controlled("g", &none, "Node|v1", "node"), None),
            (controlled("h", &none, "Cluster|postgresql.cnpg.io/v1", "db"), None),
        ] {
            let found = owners.of_pod(&pod, |key| key == "shop/Deployment.apps/web");
            let expected = expected.map_or(Belongs::Elsewhere, |key| Belongs::To(key.to_owned()));
            assert_eq!(found, expected, "{pod}");
        }
        assert_eq!(owners.of_pod(&json!({}), |_| true), Belongs::ToNobody);
        assert_eq!(owners.left().collect::<Vec<_>>(), [("Cluster.postgresql.cnpg.io", 1)]);
    }
}
