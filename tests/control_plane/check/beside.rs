//! The checks of `prestop check` for webhooks other than the one for pods.

use std::path::Path;

use serde_json::{Value, json};

use super::super::admission::prestop;
use super::super::fronts::definition;
use super::{WEBHOOK, WEBHOOKS, check, run};
use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::process::wait_until;

const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Changes the first webhook of a configuration.
fn change(control_plane: &ControlPlane, path: &str, change: impl FnOnce(&mut Value)) {
    let (_, mut configuration) = control_plane.request("GET", path, None);
    change(&mut configuration["webhooks"][0]);
    let (status, answer) = control_plane.request("PUT", path, Some(&configuration));
    assert_eq!(status, 200, "{answer}");
}

/// Returns the status and message of a check.
fn told(kubeconfig: &Path, id: &str, arguments: &[&str]) -> (String, String) {
    let (_, out, told) = run(kubeconfig, &[&["check", "--output", "json"], arguments].concat());
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{told}"));
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["id"] == id).unwrap_or_else(|| panic!("{out}"));
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    (text("status"), text("message"))
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_webhook_of_the_warnings_may_refuse_nothing() {
    let control_plane = ControlPlane::start();
    let _serve = prestop(&control_plane);
    let kubeconfig = control_plane.administrator();
    let (_, pods) = control_plane.request("GET", WEBHOOK, None);
    let mut client = pods["webhooks"][0]["clientConfig"].clone();
    client["url"] = json!(client["url"].as_str().unwrap().replace("/mutate", "/warn"));
    let rule = json!({"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"],
        "resources": ["deployments"]});
    let entry = json!({"name": "workloads.prestop.dev", "clientConfig": client, "rules": [rule],
        "failurePolicy": "Ignore", "sideEffects": "None", "admissionReviewVersions": ["v1"]});
    assert!(check(&kubeconfig, &[]).1.get("warnings").is_none());
    control_plane
        .create(VALIDATING, &json!({"metadata": {"name": "prestop"}, "webhooks": [entry]}));
    let (code, statuses) = check(&kubeconfig, &[]);
    assert_eq!((code, &statuses["warnings"]), (0, &json!("ok")));
    let path = format!("{VALIDATING}/prestop");
    change(&control_plane, &path, |entry| entry["failurePolicy"] = json!("Fail"));
    let (code, statuses) = check(&kubeconfig, &[]);
    assert_eq!((code, &statuses["warnings"]), (1, &json!("failure")));
    change(&control_plane, &path, |entry| {
        entry["failurePolicy"] = json!("Ignore");
        entry["clientConfig"].as_object_mut().unwrap().shift_remove("caBundle");
    });
    let (code, statuses) = check(&kubeconfig, &[]);
    assert_eq!((code, &statuses["warnings"]), (0, &json!("warning")));
    change(&control_plane, &path, |entry| {
        entry["clientConfig"] =
            json!({"service": {"namespace": "default", "name": "other", "path": "/warn"}});
    });
    let (status, message) = told(&kubeconfig, "warnings", &[]);
    assert_eq!(status, "failure");
    assert!(message.contains("it calls the Service default/other:443"), "{message}");
    // The Service belongs to another installation.
    let mut second = pods;
    second["metadata"] = json!({"name": "second"});
    control_plane.create(WEBHOOKS, &second);
    assert!(check(&kubeconfig, &["--webhook", "second"]).1.get("warnings").is_none());
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn webhooks_that_are_called_later_are_named() {
    let control_plane = ControlPlane::start();
    let _serve = prestop(&control_plane);
    let kubeconfig = control_plane.administrator();
    // They have no listener, and need none.
    for name in ["istio", "vault"] {
        control_plane.webhook_at(name, 1);
    }
    let (status, message) = told(&kubeconfig, "later-webhooks", &[]);
    assert_eq!(status, "ok");
    assert!(message.contains("after prestop: vault; prestop is called again"), "{message}");
    change(&control_plane, WEBHOOK, |entry| entry["reinvocationPolicy"] = json!("Never"));
    let (code, statuses) = check(&kubeconfig, &[]);
    assert_eq!((code, &statuses["later-webhooks"]), (0, &json!("warning")));
}

/// The result is that of the API server itself, whatever its version.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn stop_signals_are_tried() {
    let control_plane = ControlPlane::start();
    let _serve = prestop(&control_plane);
    let container = json!({"name": "a", "image": "a", "lifecycle": {"stopSignal": "SIGTERM"}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"os": {"name": "linux"}, "containers": [container]}});
    let (status, pod) = control_plane.pod("plain", &pod);
    assert_eq!(status, 201, "{pod}");
    let is_kept = pod["spec"]["containers"][0]["lifecycle"]["stopSignal"] == "SIGTERM";
    let answer = if is_kept { "kept" } else { "not supported by this API server" };
    println!("lifecycle.stopSignal in {}: {answer}", control_plane.version());
    assert_eq!(
        told(&control_plane.administrator(), "stop-signal", &[]),
        ("ok".to_owned(), format!("lifecycle.stopSignal: {answer}"))
    );
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn rights_to_watch_fronts_are_checked_for_the_kinds_that_there_are() {
    let control_plane = ControlPlane::start();
    let kubeconfig = control_plane.administrator();
    let all = json!([
        {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "ingressclasses"],
            "verbs": ["list", "watch"]},
    ]);
    let few = json!([
        {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["list"]},
    ]);
    for (account, rules) in [("all", &all), ("few", &few)] {
        control_plane.kubeconfig(account, rules);
        install(&control_plane, account, &["serve", "--cluster", "--watch-fronts"]);
    }
    install(&control_plane, "none", &["serve", "--cluster"]);
    let told = |name: &str| told(&kubeconfig, "fronts", &["--webhook", name]);
    let (status, message) = told("none");
    assert_eq!(status, "ok");
    assert!(message.contains("fronts are not watched"), "{message}");
    let (status, message) = told("few");
    assert_eq!(status, "warning");
    let part = "may not watch ingresses, list ingressclasses, watch ingressclasses;";
    assert!(message.contains(part), "{message}");
    let (status, message) = told("all");
    assert_eq!(status, "ok");
    assert!(message.ends_with("may watch services, ingresses, ingressclasses"), "{message}");
    // Kinds that are added later need rights, too. There are no routes of gateways.
    let gateway = "gateway.networking.k8s.io";
    for (group, kind, plural, version) in [
        (gateway, "TLSRoute", "tlsroutes", "v1alpha2"),
        ("elbv2.k8s.aws", "TargetGroupBinding", "targetgroupbindings", "v1beta1"),
    ] {
        control_plane.create(DEFINITIONS, &definition(group, kind, plural, version));
    }
    let part = "may not list tlsroutes, watch tlsroutes, list targetgroupbindings, watch targetgroupbindings;";
    wait_until("the new kinds", || told("all").1.contains(part));
    assert_eq!(told("all").0, "warning");
}

/// Creates the webhook configuration, Service and Deployment of an installation without running
/// pods.
fn install(control_plane: &ControlPlane, name: &str, arguments: &[&str]) {
    let labels = json!({"app": name});
    let metadata = json!({"name": name, "labels": labels});
    let container = json!({"name": "prestop", "image": "prestop", "args": arguments});
    let spec = json!({"serviceAccountName": name, "containers": [container]});
    let template = json!({"metadata": {"labels": labels}, "spec": spec});
    for (path, object) in [
        (
            "/api/v1/namespaces/default/services",
            json!({"metadata": metadata, "spec": {"selector": labels, "ports": [{"port": 443}]}}),
        ),
        (
            "/apis/apps/v1/namespaces/default/deployments",
            json!({"metadata": metadata,
                "spec": {"selector": {"matchLabels": labels}, "template": template}}),
        ),
        (
            WEBHOOKS,
            json!({"metadata": metadata, "webhooks": [{
                "name": "pods.prestop.dev", "failurePolicy": "Ignore", "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"namespace": "default", "name": name}},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                    "resources": ["pods"]}],
                "namespaceSelector": {"matchLabels": {"prestop.dev/inject": "enabled"}},
            }]}),
        ),
    ] {
        control_plane.create(path, &object);
    }
}
