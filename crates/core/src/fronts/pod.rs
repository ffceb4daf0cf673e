//! A pod as Services see it: labels and ports.

use serde_json::Value;

use super::scraped::is_scraped;

/// Labels that controllers add to each pod, so that a selector with one of them may match although
/// the template lacks the label.
const GENERATED_LABELS: [&str; 5] = [
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "pod-template-generation",
    "pod-template-hash",
    "rollouts-pod-template-hash",
];
/// The label with the name of a `StatefulSet`'s pod.
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The parts of a pod that determine its fronts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodShape {
    /// Namespace of the pod.
    pub namespace: String,
    /// Labels of the pod.
    pub labels: Vec<(String, String)>,
    /// Names and protocols of the containers' ports.
    pub ports: Vec<(String, String)>,
    /// Whether the pod has ports on its node, other than ports for monitoring.
    pub has_host_ports: bool,
    /// `conditionType` of the readiness gates.
    pub readiness_gates: Vec<String>,
    /// Name of the workload, if its controller adds labels to the pods.
    pub controlled_by: Option<String>,
}

impl PodShape {
    /// Returns the shape of the pods that a workload with this name creates from a template.
    #[must_use]
    pub fn of_template(template: &Value, workload: &str, namespace: &str) -> Self {
        let controlled_by = Some(workload.to_owned());
        Self { controlled_by, ..Self::of_value(template, namespace) }
    }

    /// Returns the shape of a pod or template.
    #[must_use]
    pub fn of_value(pod: &Value, namespace: &str) -> Self {
        let containers = servers(pod).flat_map(|container| items(container, "ports"));
        let ports: Vec<&Value> = containers.collect();
        let is_on_host = pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
        let has_host_port =
            |port: &Value| port.get("hostPort").is_some_and(|it| it.as_i64() != Some(0));
        let mut on_host = ports.iter().filter(|port| is_on_host || has_host_port(port));
        let has_host_ports =
            on_host.any(|port| !port.get("name").and_then(Value::as_str).is_some_and(is_scraped));
        let gates = pod.get("spec").into_iter().flat_map(|spec| items(spec, "readinessGates"));
        let gates = gates.filter_map(|gate| gate.get("conditionType")?.as_str());
        let named = ports.iter().filter_map(|port| {
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            Some((port.get("name")?.as_str()?.to_owned(), protocol.to_owned()))
        });
        Self {
            namespace: namespace.to_owned(),
            labels: texts(pod.pointer("/metadata/labels")),
            ports: named.collect(),
            has_host_ports,
            readiness_gates: gates.map(str::to_owned).collect(),
            controlled_by: None,
        }
    }

    /// Returns whether the pod has the label, or may get it from a controller.
    pub(super) fn has_label(&self, key: &str, value: &str) -> bool {
        if let Some((_, own)) = self.labels.iter().find(|(own, _)| own == key) {
            return own == value;
        }
        let Some(workload) = &self.controlled_by else { return false };
        if key == POD_NAME_LABEL {
            let ordinal = value.strip_prefix(workload.as_str()).and_then(|it| it.strip_prefix('-'));
            return ordinal.is_some_and(|it| it.parse::<u32>().is_ok());
        }
        is_generated(key)
    }

    /// Returns whether a container has a port with this name.
    pub(super) fn has_port(&self, name: &str, protocol: &str) -> bool {
        self.ports.iter().any(|(own, of)| own == name && of == protocol)
    }
}

/// Returns whether controllers add this label to pods.
pub(crate) fn is_generated(key: &str) -> bool {
    key == POD_NAME_LABEL || GENERATED_LABELS.contains(&key)
}

/// Returns the containers that can serve requests: the regular ones and native sidecars.
fn servers(pod: &Value) -> impl Iterator<Item = &Value> {
    let spec = pod.get("spec");
    let sidecars = spec.into_iter().flat_map(|spec| items(spec, "initContainers"));
    let sidecars = sidecars.filter(|container| {
        container.get("restartPolicy").and_then(Value::as_str) == Some("Always")
    });
    spec.into_iter().flat_map(|spec| items(spec, "containers")).chain(sidecars)
}

/// Returns the items of a list; none if the field is not a list.
pub(super) fn items<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// Returns the string members of an object.
pub(super) fn texts(object: Option<&Value>) -> Vec<(String, String)> {
    let members = object.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
