//! The output of `prestop audit` in other tools: its components in kustomize, its reports in an API
//! server that has their kinds.

use std::fs;
use std::process::Command;

use prestop_test_support::command::feed;
use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::helm::{Tools, text};
use prestop_test_support::root;
use serde_json::Value;

/// The path in the API server, and the file with the definition of the kind in
/// `target/tools/schemas`.
const FORMS: [(&str, &str, &str); 2] = [
    ("policyreport", "wgpolicyk8s.io/v1alpha2/namespaces/shop/policyreports", "policyreports.yaml"),
    ("openreports", "openreports.io/v1alpha1/namespaces/shop/reports", "reports.yaml"),
];

/// An nginx with a quit as its only hook, and an application without a hook behind an NLB.
const MANIFESTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.15
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {port: 80}}
        lifecycle: {preStop: {exec: {command: [/usr/sbin/nginx, -s, quit]}}}
---
apiVersion: v1
kind: Service
metadata:
  name: api.v1
  namespace: shop
  annotations: {service.beta.kubernetes.io/aws-load-balancer-type: nlb-ip}
spec: {type: LoadBalancer, selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api.v1, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - name: api
        image: example.com/api:1
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {port: 80}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: all, namespace: shop}, spec: {selector: {}, maxUnavailable: 1}}
";

fn audit(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prestop"));
    let output = feed(command.arg("audit").args(arguments).arg("-"), input);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Returns the rules that prestop fixes, and those that it does not.
fn rules(manifests: &str) -> (Vec<String>, Vec<String>) {
    let report: Value = serde_json::from_str(&audit(&["-o", "json"], manifests)).unwrap();
    let items = report["items"].as_array().unwrap().iter();
    let findings = items.flat_map(|item| item["findings"].as_array().unwrap());
    let (mended, left): (Vec<_>, Vec<_>) =
        findings.partition(|finding| finding["mendedBy"].is_string());
    let ids = |found: Vec<&Value>| {
        let mut ids: Vec<_> =
            found.iter().map(|it| it["rule"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    (ids(mended), ids(left))
}

#[test]
#[ignore = "needs kubectl; run: just control-plane"]
fn kustomize_builds_what_is_suggested_and_the_audit_is_content() {
    let tools = Tools::find();
    let before = rules(MANIFESTS);
    assert_eq!(before.0, ["quit-without-wait", "stops-at-once"]);
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("base/shop.yaml", MANIFESTS);
    write("base/kustomization.yaml", "resources: [shop.yaml]\n");
    write("prestop/kustomization.yaml", &audit(&["--suggest", "kustomize"], MANIFESTS));
    write("component/kustomization.yaml", "resources: [../base]\ncomponents: [../prestop]\n");
    write("patches/prestop.yaml", &audit(&["--suggest", "patch"], MANIFESTS));
    write("patches/kustomization.yaml", "resources: [../base]\npatches: [{path: prestop.yaml}]\n");
    for overlay in ["component", "patches"] {
        let output = tools
            .command("kubectl")
            .arg("kustomize")
            .arg(folder.path().join(overlay))
            .output()
            .unwrap();
        assert!(output.status.success(), "{overlay}: {}", text(&output.stderr));
        let after = rules(&text(&output.stdout));
        assert_eq!(after, (Vec::new(), before.1.clone()), "{overlay}");
    }
}

#[test]
#[ignore = "needs the API server of tests/tools/install; run: just control-plane"]
fn an_api_server_takes_the_reports_as_they_are() {
    let tools = Tools::find();
    let control_plane = ControlPlane::start();
    let kubeconfig = control_plane.administrator().display().to_string();
    let kubectl = |arguments: &[&str], input: &str| {
        let mut command = tools.command("kubectl");
        let output = feed(command.args(arguments).args(["--kubeconfig", &kubeconfig]), input);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        told
    };
    kubectl(&["create", "namespace", "shop"], "");
    for (form, place, definition) in FORMS {
        let definition = root().join("target/tools/schemas").join(definition);
        let definition = definition.to_str().unwrap();
        kubectl(&["apply", "--server-side", "--filename", definition], "");
        kubectl(&["wait", "--for=condition=Established", "crd", "--all"], "");
        let report = audit(&["-o", form], MANIFESTS);
        // Strict: an unknown field of the kind is an error.
        kubectl(&["apply", "--validate=strict", "--filename", "-"], &report);
        let (status, stored) =
            control_plane.request("GET", &format!("/apis/{place}/prestop-audit"), None);
        assert_eq!(status, 200, "{stored}");
        let printed: Value = serde_saphyr::from_str(report.trim_start_matches("---\n")).unwrap();
        for field in ["apiVersion", "kind", "summary", "results", "source"] {
            assert_eq!(stored[field], printed[field], "{form}: {field}");
        }
        assert_eq!(stored["results"].as_array().unwrap().len(), 3, "{stored}");
    }
}
