//! Objects that look like a workload but are not: patches, templates, and objects of a running cluster.
//! The webhook does not need this, since it sees only complete pods.

use serde_json::Value;

use super::{AsideReason, in_group};

/// Returns why an object of a known kind is not processed; `template` is the pointer to its pod.
pub(super) fn reason(
    object: &Value,
    api_version: &str,
    kind: &str,
    template: &str,
) -> Option<AsideReason> {
    if kind == "Pod" {
        if is_running(object) {
            return Some(AsideReason::RunningPod);
        }
    } else if is_controlled(object) {
        return Some(AsideReason::Owned);
    }
    if object.pointer(template).is_none() && object.pointer("/spec/workloadRef").is_some() {
        // The template is in another object; the decision reports this.
        return None;
    }
    let field = |name: &str| object.pointer(template)?.pointer(name);
    let (containers, grace) =
        (field("/spec/containers"), field("/spec/terminationGracePeriodSeconds"));
    if [containers, grace].into_iter().flatten().filter_map(Value::as_str).any(is_expression) {
        return Some(AsideReason::Template);
    }
    let containers = match containers {
        // A pod without containers is malformed.
        None | Some(Value::Null) if kind == "Pod" => return None,
        Some(Value::Array(containers)) if kind == "Pod" && containers.is_empty() => return None,
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(containers)) => containers,
        // Values other than lists are reported as malformed.
        Some(_) => return None,
    };
    let images = || containers.iter().filter_map(|container| container.get("image"));
    if images().filter_map(Value::as_str).any(is_expression) {
        return Some(AsideReason::Template);
    }
    let has_image = images().any(|image| !image.is_null())
        // A trigger sets its image.
        || (kind == "DeploymentConfig" && !containers.is_empty());
    let is_whole = has_image && (has_selector(object) || !needs_selector(api_version, kind));
    (!is_whole).then_some(AsideReason::Fragment)
}

/// Returns whether a text contains an expression of a template engine, of an `OpenShift` Template
/// (`${NAME}`), or of `envsubst`. No image name contains these characters.
fn is_expression(text: &str) -> bool {
    text.contains("{{") || text.contains("${")
}

/// Returns whether the API server refuses objects of this kind without `spec.selector`.
fn needs_selector(api_version: &str, kind: &str) -> bool {
    api_version == "apps/v1"
        || in_group(api_version, "apps.kruise.io")
        || (in_group(api_version, "argoproj.io") && kind == "Rollout")
}

fn has_selector(object: &Value) -> bool {
    object.pointer("/spec/selector").is_some_and(|selector| !selector.is_null())
}

fn is_controlled(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| owner.get("controller") == Some(&Value::Bool(true)))
}

/// Returns whether the pod has fields that the API server and the kubelet write, and an author
/// never does.
fn is_running(pod: &Value) -> bool {
    let has = |field: &str| pod.pointer(field).is_some_and(Value::is_string);
    has("/status/phase") || (has("/metadata/uid") && has("/spec/nodeName"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(spec: &Value) -> Option<AsideReason> {
        reason(&json!({ "spec": spec }), "apps/v1", "Deployment", "/spec/template")
    }

    #[test]
    fn parts_of_objects_are_fragments() {
        let whole = json!({"selector": {}, "template": {"spec": {"containers": [
            {"name": "a", "image": "x"}, {"name": "b"}]}}});
        assert_eq!(deployment(&whole), None);
        for spec in [
            json!({"replicas": 3}),
            json!({"selector": {}}),
            json!({"selector": {}, "template": null}),
            json!({"selector": {}, "template": {"spec": {"nodeSelector": {"a": "b"}}}}),
            json!({"selector": {}, "template": {"spec": {"containers": []}}}),
            json!({"selector": {}, "template": {"spec": {"containers": [{"name": "a"}]}}}),
            json!({"selector": {}, "template": {"spec": {"containers": [{"name": "a", "image": null}]}}}),
            json!({"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}),
        ] {
            assert_eq!(deployment(&spec), Some(AsideReason::Fragment), "{spec}");
        }
        assert_eq!(deployment(&Value::Null), Some(AsideReason::Fragment));
    }

    #[test]
    fn kinds_without_a_required_selector_are_whole() {
        let object = json!({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}});
        for (api_version, kind) in [
            ("v1", "ReplicationController"),
            ("extensions/v1beta1", "Deployment"),
            ("batch/v1", "Job"),
            ("apps.openshift.io/v1", "DeploymentConfig"),
        ] {
            assert_eq!(reason(&object, api_version, kind, "/spec/template"), None, "{kind}");
        }
        for (api_version, kind) in
            [("argoproj.io/v1alpha1", "Rollout"), ("apps.kruise.io/v1alpha1", "CloneSet")]
        {
            assert!(reason(&object, api_version, kind, "/spec/template").is_some(), "{kind}");
        }
        let triggered = json!({"spec": {"template": {"spec": {"containers": [{"name": "web"}]}}}});
        assert_eq!(
            reason(&triggered, "apps.openshift.io/v1", "DeploymentConfig", "/spec/template"),
            None
        );
    }

    #[test]
    fn templates_are_not_unknown_images() {
        for image in ["{{ .Values.image }}", "${IMAGE}", "registry/nginx:${TAG}", "${{IMAGE}}"] {
            let spec = json!({"selector": {}, "template": {"spec": {"containers": [
                {"image": "x"}, {"image": image}]}}});
            assert_eq!(deployment(&spec), Some(AsideReason::Template), "{image}");
        }
        for pod in [
            json!({"containers": "${{CONTAINERS}}"}),
            json!({"containers": [{"image": "x"}], "terminationGracePeriodSeconds": "${{GRACE}}"}),
        ] {
            let spec = json!({"selector": {}, "template": {"spec": pod}});
            assert_eq!(deployment(&spec), Some(AsideReason::Template), "{pod}");
        }
        let wrong = json!({"selector": {}, "template": {"spec": {
            "containers": [{"image": "x"}], "terminationGracePeriodSeconds": "30"}}});
        assert_eq!(deployment(&wrong), None, "reported as malformed");
    }

    #[test]
    fn objects_of_a_cluster_are_not_edited() {
        let spec = json!({"selector": {}, "containers": [{"image": "x"}],
            "template": {"spec": {"containers": [{"image": "x"}]}}});
        let owned = |controller: bool| json!({"metadata": {"ownerReferences": [{"kind": "Deployment", "controller": controller}]}, "spec": spec});
        let set = |object: &Value| reason(object, "apps/v1", "ReplicaSet", "/spec/template");
        assert_eq!(set(&owned(true)), Some(AsideReason::Owned));
        assert_eq!(set(&owned(false)), None);
        let pod = |object: &Value| reason(object, "v1", "Pod", "");
        let scheduled = json!({"nodeName": "node-1", "containers": [{"image": "x"}]});
        let of_a_cluster = json!({"metadata": {"uid": "1-2"}, "spec": scheduled});
        assert_eq!(pod(&of_a_cluster), Some(AsideReason::RunningPod));
        assert_eq!(pod(&json!({"spec": scheduled})), None);
        assert_eq!(
            pod(&json!({"status": {"phase": "Running"}, "spec": spec})),
            Some(AsideReason::RunningPod)
        );
        assert_eq!(pod(&json!({"status": {}, "spec": spec})), None);
    }
}
