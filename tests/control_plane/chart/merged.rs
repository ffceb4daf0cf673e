//! Values that meet others of the same name: no key occurs twice in the output, and the right one
//! wins. `documents` refuses duplicate keys.

use std::fs;

use serde_json::{Value, json};

use prestop_test_support::helm::{Tools, object};

/// Labels that the chart sets somewhere, and two that it does not set.
const LABELS: &[&str] = &[
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
    "prestop.dev/inject",
    "prestop.dev/port",
    "grafana_dashboard",
    "team",
    "release",
];

/// Returns values in which every map of labels or annotations has each of these keys.
fn everything_everywhere(from: &str) -> Value {
    LABELS.iter().map(|label| ((*label).to_owned(), json!(from))).collect()
}

fn values() -> Value {
    json!({
        "commonLabels": everything_everywhere("common"),
        "podLabels": everything_everywhere("pod"),
        "podAnnotations": {"checksum/settings": "mine", "example.com/a": "b"},
        "livenessProbe": {"httpGet": {"path": "/mine", "scheme": "HTTP"}},
        "certificates": {"mode": "cert-manager"},
        "webhook": {"annotations": {
            "cert-manager.io/inject-ca-from": "another/one",
            "admissions.enforcer/disabled": "false",
        }},
        "serviceMonitor": {"enabled": true, "renderMode": "alwaysRender", "labels": everything_everywhere("monitor")},
        "podMonitor": {"enabled": true, "renderMode": "alwaysRender", "labels": everything_everywhere("monitor")},
        "prometheusRule": {"enabled": true, "renderMode": "alwaysRender", "labels": everything_everywhere("rule")},
        "dashboard": {"enabled": true, "labels": everything_everywhere("dashboard")},
        "networkPolicy": {"enabled": true},
    })
}

/// Helm uses the last of two equal keys; kustomize and kubeconform refuse them.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn no_key_occurs_twice_whatever_the_values() {
    let tools = Tools::find();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values.json");
    let arguments = ["--values", path.to_str().unwrap()];
    // Each of them alone, and all together.
    let all = values();
    for (key, value) in all.as_object().unwrap() {
        fs::write(&path, json!({key: value}).to_string()).unwrap();
        assert!(tools.render(&arguments).len() > 10, "{key}");
    }
    fs::write(&path, all.to_string()).unwrap();
    let objects = tools.render(&arguments);
    let deployment = object(&objects, "Deployment", "prestop");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    // The objects select the pods by these labels.
    for (label, value) in deployment["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[label], value, "{label}");
        assert_eq!(value, "prestop", "{label}");
    }
    assert_eq!(labels["prestop.dev/inject"], "disabled");
    assert_eq!((&labels["team"], &labels["helm.sh/chart"]), (&json!("pod"), &json!("pod")));
    assert_eq!(deployment["metadata"]["labels"]["team"], "common");
    let service = object(&objects, "Service", "prestop-metrics");
    assert_eq!(service["metadata"]["labels"]["prestop.dev/port"], "metrics");
    for (kind, name, team) in [
        ("ServiceMonitor", "prestop", "monitor"),
        ("PodMonitor", "prestop", "monitor"),
        ("PrometheusRule", "prestop", "rule"),
        ("ConfigMap", "prestop-dashboard", "dashboard"),
    ] {
        let labels = &object(&objects, kind, name)["metadata"]["labels"];
        assert_eq!((&labels["team"], &labels["grafana_dashboard"]), (&json!(team), &json!(team)));
    }
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_ne!(annotations["checksum/settings"], "mine");
    assert_eq!(annotations["example.com/a"], "b");
    let probe = &deployment["spec"]["template"]["spec"]["containers"][0]["livenessProbe"];
    assert_eq!(probe["httpGet"], json!({"path": "/livez", "port": "metrics", "scheme": "HTTP"}));
    let webhook = &object(&objects, "MutatingWebhookConfiguration", "prestop")["metadata"];
    assert_eq!(
        webhook["annotations"],
        json!({"admissions.enforcer/disabled": "false", "cert-manager.io/inject-ca-from": "another/one"})
    );
}

fn pod_specs(objects: &[Value]) -> Vec<&Value> {
    let deployment = &object(objects, "Deployment", "prestop")["spec"]["template"]["spec"];
    vec![deployment, &object(objects, "Pod", "prestop-test")["spec"]]
}

/// Charts with this one as a subchart set these for all subcharts.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_registry_and_the_secrets_of_all_charts_are_used() {
    let tools = Tools::find();
    for (registry, repository, image) in [
        ("mirror.example", "registry.example/acme/prestop", "mirror.example/acme/prestop:0.1.0"),
        ("mirror.example:5000/hub/", "localhost/prestop", "mirror.example:5000/hub/prestop:0.1.0"),
        ("mirror.example", "acme/prestop", "mirror.example/acme/prestop:0.1.0"),
        ("mirror.example", "prestop", "mirror.example/prestop:0.1.0"),
        ("", "registry.example:5000/prestop", "registry.example:5000/prestop:0.1.0"),
    ] {
        let sets = format!("global.imageRegistry={registry},image.repository={repository}");
        let objects = tools.render(&["--set", &sets]);
        for spec in pod_specs(&objects) {
            assert_eq!(spec["containers"][0]["image"], image, "{sets}");
        }
    }
    let objects = tools.render(&[
        "--set-json",
        "global.imagePullSecrets=[\"one\",{\"name\":\"two\"}]",
        "--set-json",
        "imagePullSecrets=[{\"name\":\"two\"},{\"name\":\"three\"}]",
    ]);
    for spec in pod_specs(&objects) {
        let secrets = json!([{"name": "one"}, {"name": "two"}, {"name": "three"}]);
        assert_eq!(spec["imagePullSecrets"], secrets);
    }
}

/// `OpenShift` assigns users; its SCC `restricted-v2` refuses a pod that sets another user.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn openshift_assigns_the_user() {
    let tools = Tools::find();
    let openshift = ["--api-versions", "security.openshift.io/v1"];
    let objects = tools.render(&openshift);
    for spec in pod_specs(&objects) {
        let context = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
        assert_eq!(spec["securityContext"], context);
        assert_eq!(spec["containers"][0]["securityContext"]["runAsUser"], Value::Null);
    }
    let own = ["--set", "podSecurityContext.runAsUser=1000650000"];
    let objects = tools.render(&[&openshift[..], &own].concat());
    for spec in pod_specs(&objects) {
        assert_eq!(spec["securityContext"]["runAsUser"], 1_000_650_000);
    }
    for spec in pod_specs(&tools.render(&[])) {
        assert_eq!(spec["securityContext"]["runAsUser"], 65532);
    }
    // Without it, the kubelet uses the image's user, and accepts it because it is a number.
    let image = fs::read_to_string(prestop_test_support::root().join("Dockerfile")).unwrap();
    assert!(image.contains("\nUSER 65532:65532\n"), "the image has no numeric user");
}

/// The default address reaches pods in IPv4, IPv6 and dual-stack clusters.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn pods_listen_on_ipv4_and_ipv6() {
    let tools = Tools::find();
    for (address, expected) in
        [("", ":10250"), ("0.0.0.0", "0.0.0.0:10250"), ("::", "[::]:10250"), ("[::]", "[::]:10250")]
    {
        let objects = tools.render(&["--set", &format!("listenAddress={address}")]);
        let arguments = pod_specs(&objects)[0]["containers"][0]["args"].to_string();
        assert!(arguments.contains(&format!("\"--listen={expected}\"")), "{arguments}");
    }
}
