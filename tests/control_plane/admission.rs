//! Pods created through a real API server, with prestop serving.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use prestop_core::engine::template;
use serde_json::{Value, json};

use prestop_test_support::cases;
use prestop_test_support::cases::{cases, is_as_by_webhook};
use prestop_test_support::control_plane::{ControlPlane, Webhook, has_status};
use prestop_test_support::process::{Serve, wait_until};

/// Starts prestop behind the webhook `prestop`, in effect for the namespace `enabled`.
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

/// Puts this server behind a webhook for one new namespace; both have this name, and the webhook is
/// in effect.
fn prestop_in(control_plane: &ControlPlane, serve: &Serve, namespace: &str) {
    let authority = fs::read_to_string(serve.folder.path().join("ca.crt")).unwrap();
    control_plane.namespace(namespace, &json!({"prestop.dev/inject": "enabled"}));
    let webhook =
        Webhook { name: namespace, port: serve.address.port(), authority_pem: &authority };
    control_plane.webhook_for(&webhook, &json!({"kubernetes.io/metadata.name": namespace}));
    // Not every configuration changes every pod.
    control_plane.wait_for_effect(namespace, |_| reviews(serve) > 0);
}

fn reviews(serve: &Serve) -> u64 {
    serve.metric("prestop_admission_duration_seconds_count")
}

fn failed_open(control_plane: &ControlPlane) -> u64 {
    control_plane.metric("apiserver_admission_webhook_fail_open_count", &[".prestop.dev"])
}

/// Returns a pod as a controller creates it from a template.
pub(super) fn pod_of(template: &Value, name: &str, owner: Option<&str>) -> Value {
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

/// Returns the annotations with the status as a value. The API server sorts keys, so problems are
/// in another order.
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

/// A golden pod: the input of `prestop inject` and its result.
struct GoldenPod {
    case: PathBuf,
    before: Value,
    after: Value,
}

/// Returns the golden pods that can be created, by the arguments of the server that they need.
fn golden_pods() -> BTreeMap<Vec<String>, Vec<GoldenPod>> {
    let mut pods: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in cases() {
        let kind = if case.join("input.json").exists() { "json" } else { "yaml" };
        let (input, expected) =
            (case.join(format!("input.{kind}")), case.join(format!("expected.{kind}")));
        if case.join("exit").exists() || !expected.exists() {
            continue;
        }
        let Some(arguments) = cases::arguments(&case) else { continue };
        let (input, expected) = (cases::documents(&input), cases::documents(&expected));
        // The pods of these cases belong to namespaces with settings.
        if input.iter().any(|document| !template::namespaces(document).is_empty()) {
            continue;
        }
        let group = pods.entry(arguments).or_default();
        for (before, after) in input.iter().zip(&expected) {
            let workloads = template::workloads(before, &[]);
            // The API server would not send objects that inject skips.
            for workload in workloads.into_iter().filter(|workload| workload.aside.is_none()) {
                let place = format!("{}{}", workload.pointer, workload.template);
                let (Some(template), Some(result)) =
                    (before.pointer(&place), after.pointer(&place))
                else {
                    continue;
                };
                if !can_be_created(template) {
                    continue;
                }
                let owner = workload.owner().map(|owner| owner.kind);
                let pod = |template| pod_of(template, "named-later", owner);
                let (before, after) = (pod(template), pod(result));
                group.push(GoldenPod { case: case.clone(), before, after });
            }
        }
    }
    pods
}

/// Whether a pod can be created. It can't while it is being deleted, and a grace period below 0 is
/// set to 1 before webhooks are called.
pub(super) fn can_be_created(template: &Value) -> bool {
    let grace = template["spec"]["terminationGracePeriodSeconds"].as_i64();
    template["spec"].is_object()
        && !template["metadata"].is_array()
        && template["metadata"]["deletionTimestamp"].is_null()
        && grace.is_none_or(|seconds| seconds >= 0)
}

/// Removes `stated` and `emptyAnnotations` from the status. The API server sets its default in each
/// pod before webhooks are called, so they see a grace period in every pod; and it drops empty
/// annotations.
fn without_stated(mut annotations: Value) -> Value {
    for (place, field) in [("/grace", "stated"), ("", "emptyAnnotations")] {
        let status = annotations.pointer_mut(&format!("/prestop.dev~1status{place}"));
        if let Some(status) = status.and_then(Value::as_object_mut) {
            status.remove(field);
        }
    }
    annotations
}

/// Whether a hook of this pod has a field that the API server does not know. It drops such fields
/// before webhooks are called, so prestop extends hooks that `inject` leaves as they are.
fn has_unknown_hook_fields(control_plane: &ControlPlane, pod: &Value) -> bool {
    let path = "/api/v1/namespaces/plain/pods?dryRun=All&fieldValidation=Strict";
    let (_, answer) = control_plane.request("POST", path, Some(pod));
    let message = answer["message"].as_str().unwrap_or_default();
    // strict decoding error: unknown field "spec.containers[0].lifecycle.preStop.exec.other", ...
    message.split('"').any(|field| field.contains(".lifecycle.preStop."))
}

/// Every golden pod: if it is created through prestop, it equals the golden result that is created
/// without prestop.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn golden_pods_are_accepted_and_equal_their_results() {
    let control_plane = ControlPlane::start();
    control_plane.namespace("plain", &json!({}));
    let (mut created, mut servers, mut refused) = (0, 0, Vec::new());
    for (arguments, pods) in golden_pods() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let serve = Serve::start(&arguments);
        let namespace = format!("golden-{servers}");
        servers += 1;
        prestop_in(&control_plane, &serve, &namespace);
        for GoldenPod { case, mut before, mut after } in pods {
            let name = format!("pod-{}", created + refused.len());
            for pod in [&mut before, &mut after] {
                pod["metadata"]["name"] = json!(name);
            }
            if has_unknown_hook_fields(&control_plane, &before) {
                continue;
            }
            let (status, pod) = control_plane.pod(&namespace, &before);
            let (expected_status, wanted) = control_plane.pod("plain", &after);
            assert_eq!(status, expected_status, "{}: {pod} {wanted}", case.display());
            if status != 201 {
                refused.push(format!("{}: {}", case.display(), wanted["message"]));
                continue;
            }
            created += 1;
            let mut expected = without_stated(annotations(&wanted));
            if !expected.pointer_mut("/prestop.dev~1status").is_none_or(is_as_by_webhook) {
                continue;
            }
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            let (_, pod) = control_plane.request("GET", &path, None);
            assert_eq!(pod["spec"], wanted["spec"], "{}", case.display());
            assert_eq!(without_stated(annotations(&pod)), expected, "{}", case.display());
        }
        assert_eq!(serve.metric("prestop_selfcheck_failures_total"), 0);
        // The server of this namespace ends now.
        control_plane.delete_webhook(&namespace);
    }
    let version = control_plane.version();
    println!(
        "{created} pods were created in {version} through {servers} servers; refused with and without prestop: {refused:#?}"
    );
    assert!(created >= 90, "only {created} pods were created");
    assert!(servers >= 10, "only {servers} servers");
    assert_eq!(failed_open(&control_plane), 0);
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn only_pods_that_ask_for_it_reach_prestop() {
    let control_plane = ControlPlane::start();
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
    // As the controller of a `ReplicaSet` creates them.
    let mut generated = pod_of(&pod("x"), "x", Some("ReplicaSet"));
    generated["metadata"].as_object_mut().unwrap().shift_remove("name");
    generated["metadata"]["generateName"] = json!("web-7c5ddbdf54-");
    let (status, created) = control_plane.pod("enabled", &generated);
    assert_eq!(status, 201, "{created}");
    assert!(has_status(&created) && created["spec"]["terminationGracePeriodSeconds"] == 40);
    // Log lines are written after the answer.
    wait_until("the pod's line", || serve.log().contains("enabled/web-7c5ddbdf54-"));
    // A dry run is answered like any other request, and creates nothing.
    let path = "/api/v1/namespaces/enabled/pods";
    let (status, dry) =
        control_plane.request("POST", &format!("{path}?dryRun=All"), Some(&pod("dry")));
    assert!(status == 201 && has_status(&dry));
    assert_eq!(control_plane.request("GET", &format!("{path}/dry"), None).0, 404);
    // The stored pod equals the answer.
    let (_, read) = control_plane.request("GET", &format!("{path}/mirror"), None);
    assert!(!has_status(&read));
    assert_eq!(failed_open(&control_plane), 0);
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn problems_are_warnings_when_the_pod_is_created() {
    let control_plane = ControlPlane::start();
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
