//! Pods created for real, with prestop serving.

use std::fs;

use serde_json::{Value, json};

use super::api::{ControlPlane, Webhook, has_status};
use crate::golden::cases;
use crate::serve::process::Serve;

/// prestop behind the webhook `prestop`, in effect for the namespace `enabled`.
pub(super) fn prestop(control_plane: &ControlPlane) -> Serve {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let authority = fs::read_to_string(serve.folder.path().join("ca.crt")).unwrap();
    control_plane.namespace("enabled", &json!({"prestop.dev/inject": "enabled"}));
    control_plane.namespace("plain", &json!({}));
    control_plane.webhook(&Webhook {
        name: "prestop",
        port: serve.address.port(),
        authority_pem: &authority,
    });
    control_plane.wait_for_effect("enabled", has_status);
    serve
}

fn reviews(serve: &Serve) -> u64 {
    serve.metric("prestop_admission_duration_seconds_count")
}

fn failed_open(control_plane: &ControlPlane) -> u64 {
    control_plane.metric("apiserver_admission_webhook_fail_open_count", &["prestop"])
}

/// A pod as a controller makes it of a template.
fn pod_of(template: &Value, name: &str, owner: Option<&str>) -> Value {
    let mut pod = template.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    if pod["metadata"].is_null() {
        pod["metadata"] = json!({});
    }
    let metadata = pod["metadata"].as_object_mut().unwrap();
    for field in ["namespace", "creationTimestamp", "deletionTimestamp", "generateName"] {
        metadata.shift_remove(field);
    }
    metadata.insert("name".to_owned(), json!(name));
    metadata.remove("ownerReferences");
    if let Some(owner) = owner {
        let reference = json!({
            "apiVersion": "apps/v1", "kind": owner, "name": "owner", "controller": true,
            "uid": "6f3b1b6e-5a0e-4b6e-9f62-5d3ffb0a5f01",
        });
        metadata.insert("ownerReferences".to_owned(), json!([reference]));
    }
    pod
}

/// With the status as a value. The API server sorts keys, so problems come in another order.
fn annotations(pod: &Value) -> Value {
    let mut annotations = pod["metadata"]["annotations"].clone();
    if let Some(text) = annotations.get("prestop.dev/status").and_then(Value::as_str)
        && let Ok(mut status) = serde_json::from_str::<Value>(text)
    {
        if let Some(problems) = status["problems"].as_array_mut() {
            problems.sort_by_key(Value::to_string);
        }
        annotations["prestop.dev/status"] = status;
    }
    annotations
}

/// Every golden pod: created through prestop it is what the golden result is when that is created
/// where prestop is not asked.
#[test]
fn golden_pods_are_accepted_and_equal_their_results() {
    use prestop::engine::template;
    let Some(control_plane) = ControlPlane::start() else { return };
    let serve = prestop(&control_plane);
    let (mut created, mut refused) = (0, Vec::new());
    for case in cases() {
        let is_simple =
            ["exit", "arguments", "config.yaml"].iter().all(|name| !case.join(name).exists());
        let (input, expected) = (case.join("input.yaml"), case.join("expected.yaml"));
        if !is_simple || !expected.exists() {
            continue;
        }
        let (input, expected) = (
            crate::serve::agreement::documents(&input),
            crate::serve::agreement::documents(&expected),
        );
        if input.iter().any(|document| !template::namespaces(document).is_empty()) {
            continue;
        }
        for (before, after) in input.iter().zip(&expected) {
            for workload in template::workloads(before, &[]) {
                let place = format!("{}{}", workload.pointer, workload.template);
                let (Some(template), Some(result)) =
                    (before.pointer(&place), after.pointer(&place))
                else {
                    continue;
                };
                // Nobody can create a pod that is being deleted already; a grace period below 0
                // is made 1 before webhooks are asked.
                let is_deleted = !template["metadata"]["deletionTimestamp"].is_null();
                let grace = template["spec"]["terminationGracePeriodSeconds"].as_i64();
                if grace.is_some_and(|seconds| seconds < 0) {
                    continue;
                }
                if !template["spec"].is_object() || template["metadata"].is_array() || is_deleted {
                    continue;
                }
                let name = format!("pod-{}", created + refused.len());
                let owner = workload.owner_kind.as_deref();
                let (status, pod) = control_plane.pod("enabled", &pod_of(template, &name, owner));
                let (expected_status, wanted) =
                    control_plane.pod("plain", &pod_of(result, &name, owner));
                assert_eq!(status, expected_status, "{}: {pod} {wanted}", case.display());
                if status != 201 {
                    refused.push(format!("{}: {}", case.display(), wanted["message"]));
                    continue;
                }
                created += 1;
                assert_eq!(pod["spec"], wanted["spec"], "{}", case.display());
                assert_eq!(annotations(&pod), annotations(&wanted), "{}", case.display());
            }
        }
    }
    println!("{created} pods were created; refused with and without prestop: {refused:#?}");
    assert!(created >= 80, "only {created} pods were created");
    assert_eq!(failed_open(&control_plane), 0);
    assert_eq!(serve.metric("prestop_selfcheck_failures_total"), 0);
}

#[test]
fn only_pods_that_ask_for_it_reach_prestop() {
    let Some(control_plane) = ControlPlane::start() else { return };
    let serve = prestop(&control_plane);
    let before = reviews(&serve);
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
        })
    };
    for namespace in ["plain", "kube-system", "default"] {
        let (status, created) = control_plane.pod(namespace, &pod("web"));
        assert_eq!(status, 201, "{created}");
        assert!(!has_status(&created), "{namespace}");
    }
    let mut opted_out = pod("opted-out");
    opted_out["metadata"]["labels"] = json!({"prestop.dev/inject": "disabled"});
    let (status, created) = control_plane.pod("enabled", &opted_out);
    assert!(status == 201 && !has_status(&created));
    assert_eq!(reviews(&serve), before, "a selector let a pod through to prestop");
    let mut mirror = pod("mirror");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    mirror["spec"]["nodeName"] = json!("node");
    let (status, created) = control_plane.pod("enabled", &mirror);
    assert!(status == 201 && !has_status(&created), "{created}");
    // As the controller of a ReplicaSet makes them.
    let mut generated = pod_of(&pod("x"), "x", Some("ReplicaSet"));
    generated["metadata"].as_object_mut().unwrap().shift_remove("name");
    generated["metadata"]["generateName"] = json!("web-7c5ddbdf54-");
    let (status, created) = control_plane.pod("enabled", &generated);
    assert_eq!(status, 201, "{created}");
    assert!(has_status(&created) && created["spec"]["terminationGracePeriodSeconds"] == 40);
    let line = serve.log();
    assert!(line.contains("enabled/web-7c5ddbdf54-"), "{line}");
    // A dry run is answered like any other, and nothing is there afterwards.
    let path = "/api/v1/namespaces/enabled/pods";
    let (status, dry) =
        control_plane.request("POST", &format!("{path}?dryRun=All"), Some(&pod("dry")));
    assert!(status == 201 && has_status(&dry));
    assert_eq!(control_plane.request("GET", &format!("{path}/dry"), None).0, 404);
    // What is read back is what was answered.
    let (_, read) = control_plane.request("GET", &format!("{path}/mirror"), None);
    assert!(!has_status(&read));
    assert_eq!(failed_open(&control_plane), 0);
}

#[test]
fn what_cannot_be_done_is_told_to_whoever_creates_the_pod() {
    let Some(control_plane) = ControlPlane::start() else { return };
    let _serve = prestop(&control_plane);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "odd", "annotations": {"prestop.dev/delay": "soon"}},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
    });
    let (status, created) = control_plane.pod("enabled", &pod);
    assert!(status == 201 && has_status(&created));
    let told: Value = serde_json::from_str(
        created["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap(),
    )
    .unwrap();
    assert!(told["problems"].to_string().contains("invalid-value"), "{told}");
}
