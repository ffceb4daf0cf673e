//! Pods inside workloads and lists: finds the pod template and the future owner of its pods, so
//! that offline input gets the same decision as the pods themselves.

mod aside;
mod kind_name;

use serde_json::Value;

use crate::fronts::PodShape;

use super::pod::Pod;
use super::reason::AsideReason;
use super::settings::NamespaceSettings;
use crate::policy::Owner;

pub use self::kind_name::{KindName, NotAKindName};

/// Group of `OpenShift`'s Template, which contains a list of objects.
///
/// <https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/template_apis/template-template-openshift-io-v1>
const TEMPLATE_GROUP: &str = "template.openshift.io";

/// Limit for the depth of nested lists. Kubernetes itself does not nest lists.
const DEEPEST_LIST: usize = 4;

/// An object with a pod template, or a pod.
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
    /// The object itself.
    pub object: &'a Value,
    /// The pod, or the pod template.
    pub pod: Pod<'a>,
    /// The owner that the pods of the template will have.
    template_owner: Option<Owner<'a>>,
    /// Reason why the object is not processed if it is from a manifest.
    pub aside: Option<AsideReason>,
}

/// An object of a document: the document itself, or an item of a list in it.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    value: &'a Value,
    api_version: Option<&'a str>,
    kind: Option<&'a str>,
    /// JSON pointer to the object in its document.
    pointer: String,
}

/// An object of an unknown kind with a pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind<'a> {
    /// The kind in the notation of `--kind`: `Kind.group`.
    pub kind: KindName,
    /// `metadata.namespace`.
    pub namespace: Option<&'a str>,
    /// `metadata.name`, else `metadata.generateName`, else empty.
    pub name: &'a str,
}

impl Workload<'_> {
    /// Returns the pod, or the pod template, as a value.
    #[must_use]
    pub fn pod_value(&self) -> &Value {
        self.object.pointer(self.template).unwrap_or(&Value::Null)
    }

    /// Returns the workload's pods as Services see them. `namespace` is for workloads that name
    /// none.
    #[must_use]
    pub fn pod_shape(&self, namespace: &str) -> PodShape {
        let namespace = self.namespace.unwrap_or(namespace);
        if self.kind == "Pod" {
            PodShape::of_value(self.pod_value(), namespace)
        } else {
            PodShape::of_template(self.pod_value(), self.name, namespace)
        }
    }

    /// Returns the same workload with another object.
    #[must_use]
    pub fn with_object<'o>(&'o self, object: &'o Value) -> Workload<'o> {
        Workload {
            pointer: self.pointer.clone(),
            object,
            pod: object.pointer(self.template).map(Pod::from_value).unwrap_or_default(),
            ..*self
        }
    }

    /// Returns the controlling owner that the pods will have.
    #[must_use]
    pub fn owner(&self) -> Option<Owner<'_>> {
        self.template_owner.or_else(|| self.pod.owner())
    }
}

/// A kind of workload: group, kind, pointer to the template, the pods' owner.
type Kind = (&'static str, &'static str, &'static str, Option<Owner<'static>>);

const fn owner(group: &'static str, kind: &'static str) -> Owner<'static> {
    Owner { kind, group }
}

const KINDS: &[Kind] = &[
    ("", "Pod", "", None),
    ("", "ReplicationController", "/spec/template", Some(owner("", "ReplicationController"))),
    ("apps", "Deployment", "/spec/template", Some(owner("apps", "ReplicaSet"))),
    ("apps", "ReplicaSet", "/spec/template", Some(owner("apps", "ReplicaSet"))),
    ("apps", "StatefulSet", "/spec/template", Some(owner("apps", "StatefulSet"))),
    ("apps", "DaemonSet", "/spec/template", Some(owner("apps", "DaemonSet"))),
    ("batch", "Job", "/spec/template", Some(owner("batch", "Job"))),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template", Some(owner("batch", "Job"))),
    ("argoproj.io", "Rollout", "/spec/template", Some(owner("apps", "ReplicaSet"))),
    //
    // https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/workloads_apis/deploymentconfig-apps-openshift-io-v1
    (
        "apps.openshift.io",
        "DeploymentConfig",
        "/spec/template",
        Some(owner("", "ReplicationController")),
    ),
    // https://openkruise.io/docs/user-manuals/cloneset
    ("apps.kruise.io", "CloneSet", "/spec/template", Some(owner("apps.kruise.io", "CloneSet"))),
    (
        "apps.kruise.io",
        "StatefulSet",
        "/spec/template",
        Some(owner("apps.kruise.io", "StatefulSet")),
    ),
    ("apps.kruise.io", "DaemonSet", "/spec/template", Some(owner("apps.kruise.io", "DaemonSet"))),
];

/// Groups whose pods drain by other means; their templates are not reported as an unknown kind.
/// Knative: <https://knative.dev/docs/serving/>.
const SILENT_GROUPS: &[&str] = &["serving.knative.dev"];

/// Returns the workloads of a document: the document itself, or the items of a list. `more_kinds`
/// are additional kinds with a pod template at `spec.template`.
#[must_use]
pub fn workloads<'a>(document: &'a Value, more_kinds: &[KindName]) -> Vec<Workload<'a>> {
    objects(document).into_iter().filter_map(|object| object.workload(more_kinds)).collect()
}

/// Returns the namespaces that a document defines, with their names.
#[must_use]
pub fn namespaces(document: &Value) -> Vec<(String, NamespaceSettings)> {
    objects(document).iter().filter_map(Object::namespace_settings).collect()
}

/// Returns the objects of a document: the document itself, or the items of a list.
#[must_use]
pub fn objects(document: &Value) -> Vec<Object<'_>> {
    let mut found = Vec::new();
    let root = Object {
        value: document,
        api_version: text(document, "apiVersion"),
        kind: text(document, "kind"),
        pointer: String::new(),
    };
    root.open(DEEPEST_LIST, &mut found);
    found
}

/// Returns the objects of one item of a list. `pointer` is the item's place in the document that
/// the patches are for.
#[must_use]
pub fn objects_of_item<'a>(item: &'a Value, list: &'a Value, pointer: &str) -> Vec<Object<'a>> {
    let mut found = Vec::new();
    Object::item(item, list, pointer.to_owned()).open(DEEPEST_LIST - 1, &mut found);
    found
}

/// Returns whether an object is a list of objects, even if it has no items.
#[must_use]
pub fn is_list(object: &Value) -> bool {
    text(object, "kind").is_some_and(|kind| kind.ends_with("List"))
}

impl<'a> Object<'a> {
    /// Creates the object of a list's item. The API server omits kind and version of items if the
    /// kind of the list determines them: the items of a `PodList` are pods.
    fn item(value: &'a Value, list: &'a Value, pointer: String) -> Self {
        let list_kind = text(list, "kind").and_then(|kind| kind.strip_suffix("List"));
        let list_kind = list_kind.filter(|kind| !kind.is_empty());
        let kind = text(value, "kind").or(list_kind);
        let of_list = text(list, "apiVersion").filter(|_| list_kind.is_some() && kind == list_kind);
        Self { value, api_version: text(value, "apiVersion").or(of_list), kind, pointer }
    }

    /// Creates an object with a known kind and version, which need not be in the object itself: API
    /// servers omit them in the items of lists.
    #[must_use]
    pub const fn of_kind(value: &'a Value, api_version: &'a str, kind: &'a str) -> Self {
        Self { value, api_version: Some(api_version), kind: Some(kind), pointer: String::new() }
    }

    fn open(self, depth: usize, found: &mut Vec<Self>) {
        let field = if is_list(self.value) {
            Some("items")
        } else if self.is_openshift_template() {
            Some("objects")
        } else {
            None
        };
        let items = field.and_then(|field| Some((field, self.value.get(field)?.as_array()?)));
        let Some((field, items)) = items else {
            found.push(self);
            return;
        };
        let Some(depth) = depth.checked_sub(1) else { return };
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{}/{field}/{index}", self.pointer);
            Self::item(item, self.value, pointer).open(depth, found);
        }
    }

    /// Returns the object itself.
    #[must_use]
    pub const fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns the JSON pointer to the object in its document.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Returns `apiVersion` of the object or its list.
    #[must_use]
    pub const fn api_version(&self) -> Option<&'a str> {
        self.api_version
    }

    /// Returns `kind` of the object or its list.
    #[must_use]
    pub const fn kind(&self) -> Option<&'a str> {
        self.kind
    }

    fn is_openshift_template(&self) -> bool {
        self.kind == Some("Template")
            && self.api_version.is_some_and(|version| in_group(version, TEMPLATE_GROUP))
    }

    /// Returns the object as a workload; `more_kinds` are additional kinds with a pod template at
    /// `spec.template`.
    #[must_use]
    pub fn workload(&self, more_kinds: &[KindName]) -> Option<Workload<'a>> {
        let (api_version, kind) = (self.api_version?, self.kind?);
        let (template, template_owner) = match known(api_version, kind) {
            Some((_, _, template, owner)) => (*template, *owner),
            None if more_kinds.iter().any(|more| more.is(api_version, kind)) => {
                ("/spec/template", Some(Owner::new(api_version, kind)))
            }
            None => return None,
        };
        let pod = self.value.pointer(template).map(Pod::from_value).unwrap_or_default();
        Some(Workload {
            api_version,
            kind,
            name: self.name(),
            namespace: self.metadata("namespace"),
            pointer: self.pointer.clone(),
            template,
            template_owner,
            object: self.value,
            pod,
            aside: aside::reason(self.value, api_version, kind, template),
        })
    }

    /// Returns the object if it has a pod template and an unknown kind.
    #[must_use]
    pub fn unknown_kind(&self, more_kinds: &[KindName]) -> Option<UnknownKind<'a>> {
        let (api_version, kind) = (self.api_version?, self.kind?);
        let is_known = known(api_version, kind).is_some()
            || more_kinds.iter().any(|more| more.is(api_version, kind))
            || SILENT_GROUPS.iter().any(|group| in_group(api_version, group));
        let containers = self.value.pointer("/spec/template/spec/containers")?.as_array()?;
        let has_pods = containers.iter().any(Value::is_object);
        (has_pods && !is_known).then(|| UnknownKind {
            kind: KindName::of(api_version, kind),
            namespace: self.metadata("namespace"),
            name: self.name(),
        })
    }

    /// Returns the name and the settings of the object if it is a namespace.
    #[must_use]
    pub fn namespace_settings(&self) -> Option<(String, NamespaceSettings)> {
        if self.kind != Some("Namespace") || self.api_version != Some("v1") {
            return None;
        }
        let metadata = self.value.get("metadata");
        let texts = |field: &str| {
            metadata.and_then(|metadata| metadata.get(field)).into_iter().flat_map(entries)
        };
        let name = self.metadata("name").unwrap_or_default().to_owned();
        Some((name, NamespaceSettings::read(texts("labels"), texts("annotations"))))
    }

    fn name(&self) -> &'a str {
        self.metadata("name").or_else(|| self.metadata("generateName")).unwrap_or_default()
    }

    fn metadata(&self, field: &str) -> Option<&'a str> {
        text(self.value.get("metadata")?, field)
    }
}

fn known(api_version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|(group, name, ..)| *name == kind && in_group(api_version, group))
}

/// Returns whether an `apiVersion` belongs to a group: `apps/v1` belongs to `apps`, `v1` to the
/// core group. `extensions` counts as `apps`, which was split off from it.
fn in_group(api_version: &str, group: &str) -> bool {
    match api_version.split_once('/') {
        Some((own, _)) => own == group || (group == "apps" && own == "extensions"),
        // OpenShift's own kinds originally had no group.
        None => group.is_empty() || group == "apps.openshift.io" || group == TEMPLATE_GROUP,
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
            let owner = workload.owner().map(|owner| owner.to_string());
            (workload.name.to_owned(), place, owner)
        };
        workloads(document, &["Widget".parse().unwrap()]).iter().map(describe).collect()
    }

    fn object(api_version: &str, kind: &str) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}})
    }

    #[test]
    fn each_kind_has_its_template_and_owner() {
        let cases = [
            ("v1", "Pod", "", None),
            ("v1", "ReplicationController", "/spec/template", Some("ReplicationController")),
            ("apps/v1", "Deployment", "/spec/template", Some("ReplicaSet.apps")),
            ("extensions/v1beta1", "Deployment", "/spec/template", Some("ReplicaSet.apps")),
            ("apps/v1", "StatefulSet", "/spec/template", Some("StatefulSet.apps")),
            ("apps/v1", "DaemonSet", "/spec/template", Some("DaemonSet.apps")),
            ("batch/v1", "Job", "/spec/template", Some("Job.batch")),
            ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template", Some("Job.batch")),
            ("argoproj.io/v1alpha1", "Rollout", "/spec/template", Some("ReplicaSet.apps")),
            (
                "apps.openshift.io/v1",
                "DeploymentConfig",
                "/spec/template",
                Some("ReplicationController"),
            ),
            ("v1", "DeploymentConfig", "/spec/template", Some("ReplicationController")),
            (
                "apps.kruise.io/v1alpha1",
                "CloneSet",
                "/spec/template",
                Some("CloneSet.apps.kruise.io"),
            ),
            (
                "apps.kruise.io/v1beta1",
                "StatefulSet",
                "/spec/template",
                Some("StatefulSet.apps.kruise.io"),
            ),
            (
                "apps.kruise.io/v1alpha1",
                "DaemonSet",
                "/spec/template",
                Some("DaemonSet.apps.kruise.io"),
            ),
            ("example.com/v1", "Widget", "/spec/template", Some("Widget.example.com")),
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
    fn templates_of_openshift_are_opened() {
        for api_version in ["template.openshift.io/v1", "v1"] {
            let template = json!({"apiVersion": api_version, "kind": "Template",
                "objects": [object("v1", "Service"), object("apps/v1", "Deployment")],
                "parameters": [{"name": "TAG"}]});
            let place = "/objects/1/spec/template";
            assert_eq!(found(&template)[0].1, place, "{api_version}");
            let list = json!({"apiVersion": "v1", "kind": "List", "items": [template]});
            assert_eq!(found(&list)[0].1, format!("/items/0{place}"), "{api_version}");
            // Lists that are a parameter or contain one, and no list.
            for objects in [json!(["${{DEPLOYMENT}}"]), json!("${{OBJECTS}}"), json!(null)] {
                let odd =
                    json!({"apiVersion": api_version, "kind": "Template", "objects": objects});
                assert_eq!(found(&odd), [], "{odd}");
            }
        }
        // Expressions that oc process would replace:
        // https://github.com/openshift/library-go/blob/master/pkg/template/templateprocessing/template.go
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let mut after = crate::engine::hook::script().split("${").skip(1);
        assert!(after.all(|text| !text.trim_start_matches(is_word).starts_with('}')));
        let other = json!({"apiVersion": "example.com/v1", "kind": "Template",
            "objects": [object("apps/v1", "Deployment")]});
        assert_eq!(found(&other), []);
    }

    #[test]
    fn items_without_a_kind_have_that_of_their_list() {
        let bare = json!({"metadata": {"name": "x"}});
        for (api_version, kind, count) in [
            ("v1", "PodList", 1),
            ("apps/v1", "DeploymentList", 1),
            ("v1", "DeploymentList", 0),
            ("v1", "List", 0),
            ("v1", "ServiceList", 0),
        ] {
            let list = json!({"apiVersion": api_version, "kind": kind, "items": [bare]});
            assert_eq!(found(&list).len(), count, "{kind}");
            assert_eq!(
                objects_of_item(&bare, &list, "")
                    .iter()
                    .filter_map(|object| object.workload(&[]))
                    .count(),
                count,
                "{kind}"
            );
        }
    }

    #[test]
    fn unknown_kinds_with_pods_are_named() {
        let object = |api_version: &str, kind: &str| {
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"},
                "spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}})
        };
        let names = |document: &Value, more: &[KindName]| {
            let objects = objects(document);
            let found = objects.iter().filter_map(|object| object.unknown_kind(more));
            found.map(|found| found.kind.to_string()).collect::<Vec<_>>()
        };
        let widget = object("example.com/v1", "Widget");
        assert_eq!(names(&widget, &[]), ["Widget.example.com"]);
        assert!(names(&widget, &["Widget.example.com".parse().unwrap()]).is_empty());
        for (api_version, kind) in
            [("serving.knative.dev/v1", "Service"), ("apps/v1", "Deployment")]
        {
            assert!(names(&object(api_version, kind), &[]).is_empty(), "{kind}");
        }
        assert!(
            names(
                &json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "spec": {"template": {"spec": {"containers": []}}}}),
                &[]
            )
            .is_empty()
        );
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
