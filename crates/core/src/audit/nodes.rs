//! Nodes of a cluster and node pools of Karpenter, limited to the fields that rules read.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::policy::KubernetesVersion;

/// Labels of spot nodes: key, value, and seconds between the notice and the end of the node.
pub(super) const SPOT: [(&str, &str, i64); 5] = [
    ("cloud.google.com/gke-spot", "true", 15),
    ("cloud.google.com/gke-preemptible", "true", 15),
    ("kubernetes.azure.com/scalesetpriority", "spot", 30),
    ("karpenter.sh/capacity-type", "spot", 120),
    ("eks.amazonaws.com/capacityType", "SPOT", 120),
];

/// Known facts about the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Nodes {
    /// Keys of the labels of spot nodes that exist, or that a pool may create.
    spot: BTreeSet<&'static str>,
    kubelets: BTreeSet<(u32, u32)>,
}

impl Nodes {
    /// Adds a `Node`.
    pub(super) fn add_node(&mut self, node: &Value) {
        let labels = node.pointer("/metadata/labels");
        let has = |key: &str, value: &str| {
            labels.and_then(|labels| labels.get(key)?.as_str()) == Some(value)
        };
        self.spot.extend(SPOT.iter().filter(|(key, value, _)| has(key, value)).map(|it| it.0));
        let kubelet = node.pointer("/status/nodeInfo/kubeletVersion").and_then(Value::as_str);
        let version = kubelet.and_then(|text| text.strip_prefix('v'));
        let mut numbers = version.unwrap_or_default().split('.').map_while(|it| it.parse().ok());
        if let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) {
            self.kubelets.insert((major, minor));
        }
    }

    /// Adds a `NodePool` of Karpenter.
    pub(super) fn add_pool(&mut self, pool: &Value) {
        let text = |value: &Value, field: &str| {
            value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let requirements = pool.pointer("/spec/template/spec/requirements");
        for requirement in requirements.and_then(Value::as_array).into_iter().flatten() {
            let (key, is_in) = (text(requirement, "key"), text(requirement, "operator") == "In");
            let values = requirement.get("values").and_then(Value::as_array);
            let has =
                |wanted: &str| values.into_iter().flatten().any(|it| it.as_str() == Some(wanted));
            let meant = SPOT.iter().filter(|(own, value, _)| is_in && *own == key && has(value));
            self.spot.extend(meant.map(|it| it.0));
        }
    }

    /// Returns whether there are nodes with this label key of `SPOT`.
    pub(super) fn has_spot(&self, key: &str) -> bool {
        self.spot.contains(key)
    }

    /// Returns whether any kubelet has this version.
    pub(super) fn has_kubelet(&self, version: KubernetesVersion) -> bool {
        self.kubelets.contains(&(version.major, version.minor))
    }
}
