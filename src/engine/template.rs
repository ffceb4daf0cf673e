//! Pods inside workloads and lists: where the pod template is, and who will own the pods that come
//! out of it, so that offline input is decided on as the pods themselves will be.

use serde_json::Value;

use super::pod::Pod;
use super::settings::NamespaceSettings;

/// Lists in lists are followed this deep. Kubernetes itself has none.
const DEEPEST_LIST: usize = 4;

/// Something that has a pod template, or is a pod.
#[derive(Debug, Clone)]
pub struct Workload<'a> {
    /// `apiVersion`.
    pub api_version: &'a str,
    /// `kind`.
    pub kind: &'a str,
    /// `metadata.name`, else `metadata.generateName`, else empty.
    pub name: &'a str,
    /// `metadata.namespace`.
    pub namespace: Option<&'a str>,
    /// JSON pointer to the object in its document: empty, or `/items/3`.
    pub pointer: String,
    /// JSON pointer to the pod or pod template in the object.
    pub template: &'static str,
    /// The pod, or the pod template.
    pub pod: Pod<'a>,
    /// The kind of the controlling owner that the pods will have.
    pub owner_kind: Option<String>,
}

/// A kind of workload: group, kind, pointer to the template, kind of the pods' owner.
type Kind = (&'static str, &'static str, &'static str, Option<&'static str>);

const KINDS: &[Kind] = &[
    ("", "Pod", "", None),
    ("", "ReplicationController", "/spec/template", Some("ReplicationController")),
    ("apps", "Deployment", "/spec/template", Some("ReplicaSet")),
    ("apps", "ReplicaSet", "/spec/template", Some("ReplicaSet")),
    ("apps", "StatefulSet", "/spec/template", Some("StatefulSet")),
    ("apps", "DaemonSet", "/spec/template", Some("DaemonSet")),
    ("batch", "Job", "/spec/template", Some("Job")),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template", Some("Job")),
    ("argoproj.io", "Rollout", "/spec/template", Some("ReplicaSet")),
];

/// The workloads of a document: itself, or the items of a list. `more_kinds` are further kinds that
/// have their pod template at `spec.template`.
#[must_use]
pub fn workloads<'a>(document: &'a Value, more_kinds: &[String]) -> Vec<Workload<'a>> {
    let mut found = Vec::new();
    visit(document, String::new(), DEEPEST_LIST, &mut |object, pointer| {
        found.extend(workload(object, pointer, more_kinds));
    });
    found
}

/// The namespaces that a document defines, with their names.
#[must_use]
pub fn namespaces(document: &Value) -> Vec<(String, NamespaceSettings)> {
    let mut found = Vec::new();
    visit(document, String::new(), DEEPEST_LIST, &mut |object, _| {
        if text(object, "kind") == Some("Namespace") && text(object, "apiVersion") == Some("v1") {
            let metadata = object.get("metadata");
            let name = metadata.and_then(|metadata| text(metadata, "name")).unwrap_or_default();
            let texts = |field: &str| {
                metadata.and_then(|metadata| metadata.get(field)).into_iter().flat_map(entries)
            };
            found.push((
                name.to_owned(),
                NamespaceSettings::read(texts("labels"), texts("annotations")),
            ));
        }
    });
    found
}

fn visit<'a>(
    object: &'a Value,
    pointer: String,
    depth: usize,
    found: &mut impl FnMut(&'a Value, String),
) {
    let is_list = text(object, "kind").is_some_and(|kind| kind.ends_with("List"));
    match object.get("items").and_then(Value::as_array) {
        Some(items) if is_list => {
            if let Some(depth) = depth.checked_sub(1) {
                for (index, item) in items.iter().enumerate() {
                    visit(item, format!("{pointer}/items/{index}"), depth, found);
                }
            }
        }
        _ => found(object, pointer),
    }
}

fn workload<'a>(object: &'a Value, pointer: String, more_kinds: &[String]) -> Option<Workload<'a>> {
    let (api_version, kind) = (text(object, "apiVersion")?, text(object, "kind")?);
    let known =
        KINDS.iter().find(|(group, name, ..)| *name == kind && in_group(api_version, group));
    let (template, owner) = match known {
        Some((_, _, template, owner)) => (*template, *owner),
        None if more_kinds.iter().any(|more| more == kind) => ("/spec/template", Some(kind)),
        None => return None,
    };
    let pod = object.pointer(template).map(Pod::from_value).unwrap_or_default();
    let metadata = object.get("metadata");
    let field = |name| metadata.and_then(|metadata| text(metadata, name));
    Some(Workload {
        api_version,
        kind,
        name: field("name").or_else(|| field("generateName")).unwrap_or_default(),
        namespace: field("namespace"),
        pointer,
        template,
        owner_kind: owner.map(str::to_owned).or_else(|| pod.owner_kind().map(str::to_owned)),
        pod,
    })
}

/// `apps/v1` is in `apps`, `v1` in the core group; `extensions` is where `apps` came from.
fn in_group(api_version: &str, group: &str) -> bool {
    match api_version.split_once('/') {
        Some((own, _)) => own == group || (group == "apps" && own == "extensions"),
        None => group.is_empty(),
    }
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| value.as_str().map(|value| (key.as_str(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(document: &Value) -> Vec<(String, String, Option<String>)> {
        let describe = |workload: &Workload<'_>| {
            let place = format!("{}{}", workload.pointer, workload.template);
            (workload.name.to_owned(), place, workload.owner_kind.clone())
        };
        workloads(document, &["Widget".to_owned()]).iter().map(describe).collect()
    }

    fn object(api_version: &str, kind: &str) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}})
    }

    #[test]
    fn each_kind_has_its_template_and_owner() {
        let cases = [
            ("v1", "Pod", "", None),
            ("v1", "ReplicationController", "/spec/template", Some("ReplicationController")),
            ("apps/v1", "Deployment", "/spec/template", Some("ReplicaSet")),
            ("extensions/v1beta1", "Deployment", "/spec/template", Some("ReplicaSet")),
            ("apps/v1", "StatefulSet", "/spec/template", Some("StatefulSet")),
            ("apps/v1", "DaemonSet", "/spec/template", Some("DaemonSet")),
            ("batch/v1", "Job", "/spec/template", Some("Job")),
            ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template", Some("Job")),
            ("argoproj.io/v1alpha1", "Rollout", "/spec/template", Some("ReplicaSet")),
            ("example.com/v1", "Widget", "/spec/template", Some("Widget")),
        ];
        for (api_version, kind, place, owner) in cases {
            let expected = ("x".to_owned(), place.to_owned(), owner.map(str::to_owned));
            assert_eq!(found(&object(api_version, kind)), [expected], "{api_version} {kind}");
        }
    }

    #[test]
    fn other_groups_and_kinds_pass() {
        for (api_version, kind) in [
            ("v1", "Service"),
            ("apps/v1", "Pod"),
            ("example.com/v1", "Deployment"),
            ("v1", "Deployment"),
        ] {
            assert_eq!(found(&object(api_version, kind)), [], "{api_version} {kind}");
        }
        for odd in
            [json!(null), json!([]), json!("Pod"), json!({"kind": "Pod"}), json!({"kind": 1})]
        {
            assert_eq!(found(&odd), [], "{odd}");
        }
    }

    #[test]
    fn lists_are_opened() {
        let inner = json!({"apiVersion": "v1", "kind": "List", "items": [object("v1", "Pod")]});
        let list = json!({"apiVersion": "v1", "kind": "List",
            "items": [object("v1", "Service"), object("apps/v1", "Deployment"), inner]});
        let places: Vec<_> = found(&list).into_iter().map(|(_, place, _)| place).collect();
        assert_eq!(places, ["/items/1/spec/template", "/items/2/items/0"]);
        let pods = json!({"apiVersion": "v1", "kind": "PodList", "items": [object("v1", "Pod")]});
        assert_eq!(found(&pods).len(), 1);
    }

    #[test]
    fn namespaces_are_found_in_lists_too() {
        let namespace = |name: &str| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": {"prestop.dev/inject": "disabled"}, "annotations": {"a": 1}}})
        };
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": [namespace("a"), namespace("b")]});
        let names: Vec<_> = namespaces(&list).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
