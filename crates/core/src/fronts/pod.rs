//! A pod as Services see it: labels and ports.

use serde_json::Value;

use super::scraped::is_scraped;

/// Labels that controllers give each pod beside those of the template, so that a selector with one of
/// them may match.
const GENERATED_LABELS: [&str; 5] = [
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "pod-template-generation",
    "pod-template-hash",
    "rollouts-pod-template-hash",
];
/// The label with the name of a pod of a `StatefulSet`.
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The parts of a pod that determine its fronts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodShape {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Names and protocols of its containers' ports.
    pub ports: Vec<(String, String)>,
    /// It has ports on its node, beside those for monitoring.
    pub has_host_ports: bool,
    /// `conditionType` of its readiness gates.
    pub readiness_gates: Vec<String>,
    /// The workload's name, where its controller gives pods further labels.
    pub controlled_by: Option<String>,
}

impl PodShape {
    /// The pods that the workload of this name makes of a template.
    #[must_use]
    pub fn of_template(template: &Value, workload: &str, namespace: &str) -> Self {
        let controlled_by = Some(workload.to_owned());
        Self { controlled_by, ..Self::of_value(template, namespace) }
    }

    /// A pod, or the template of one.
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

    /// Whether the pod has the label, or a controller will give it one.
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

    /// Whether one of its containers has a port of that name.
    pub(super) fn has_port(&self, name: &str, protocol: &str) -> bool {
        self.ports.iter().any(|(own, of)| own == name && of == protocol)
    }
}

/// Whether controllers give pods this label.
pub(crate) fn is_generated(key: &str) -> bool {
    key == POD_NAME_LABEL || GENERATED_LABELS.contains(&key)
}

/// The containers that can serve: the regular ones and native sidecars.
fn servers(pod: &Value) -> impl Iterator<Item = &Value> {
    let spec = pod.get("spec");
    let sidecars = spec.into_iter().flat_map(|spec| items(spec, "initContainers"));
    let sidecars = sidecars.filter(|container| {
        container.get("restartPolicy").and_then(Value::as_str) == Some("Always")
    });
    spec.into_iter().flat_map(|spec| items(spec, "containers")).chain(sidecars)
}

/// The items of a list; none where there is no list.
pub(super) fn items<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// The texts of an object of texts.
pub(super) fn texts(object: Option<&Value>) -> Vec<(String, String)> {
    let members = object.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
