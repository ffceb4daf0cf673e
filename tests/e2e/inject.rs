//! Hooks of pods after a namespace has opted in: each kind as documented.

use serde_json::{Value, json};

use super::cluster::{Cluster, wait_until};
use super::figures::Figures;
use super::installation;
use super::workloads::{DISTROLESS, SIDECAR, Server, WORKLOAD, content, deployment, template};

const STATUS: &str = "prestop.dev/status";

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn a_labelled_namespace_gets_hooks_and_others_do_not() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let (shop, other) =
        (cluster.namespace("shop", &json!({})), cluster.namespace("other", &json!({})));
    for namespace in [&shop.name, &other.name] {
        cluster.apply(&content(namespace));
        cluster.apply(&deployment(namespace, 2, &template(Server::Nginx115, &Value::Null)));
    }
    for namespace in [&shop.name, &other.name] {
        rolled(&cluster, namespace);
        assert!(running(&cluster, namespace, "app=web").iter().all(|pod| !has_status(pod)));
    }
    cluster.kubectl(&["label", "namespace", &shop.name, "prestop.dev/inject=enabled"]);
    for namespace in [&shop.name, &other.name] {
        cluster.kubectl(&["rollout", "restart", "deployment/web", "--namespace", namespace]);
        rolled(&cluster, namespace);
    }
    let pods = running(&cluster, &shop.name, "app=web");
    assert_eq!(pods.len(), 2);
    for pod in pods {
        let container = &pod["spec"]["containers"][0];
        let command = &container["lifecycle"]["preStop"]["exec"]["command"];
        assert_eq!(
            (&command[0], &command[3], &command[4]),
            (&json!("/bin/sh"), &json!("prestop"), &json!("10"))
        );
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 40);
        let status = status(&pod);
        // The API server sets its default before the webhook sees the pod.
        assert_eq!(status["grace"], json!({"before": 30, "after": 40, "stated": true}));
        assert_eq!(
            (&status["containers"][0]["hook"], &status["containers"][0]["profile"]),
            (&json!("quit"), &json!("nginx"))
        );
    }
    for pod in running(&cluster, &other.name, "app=web") {
        assert!(!has_status(&pod) && pod["spec"]["containers"][0]["lifecycle"].is_null());
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);
    }
}

/// A workload, and the expected hooks per container and grace period of its pods.
struct Kind {
    what: &'static str,
    object: Value,
    /// The hook of each regular container, in short form.
    hooks: &'static [&'static str],
    grace_period_seconds: i64,
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn each_kind_of_pod_is_treated_as_documented() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("kinds");
    let mut figures = Figures::new("kinds", &["pod", "hooks", "grace period"]);
    let kinds = kinds();
    for (number, kind) in kinds.iter().enumerate() {
        let mut object = kind.object.clone();
        object["metadata"]["name"] = json!(format!("kind-{number}"));
        object["metadata"]["namespace"] = json!(shop.name);
        cluster.apply(&object);
    }
    for (number, kind) in kinds.iter().enumerate() {
        let selector = format!("kind={}", label(kind));
        wait_until(kind.what, || running(&cluster, &shop.name, &selector).len() == 1);
        let pod = running(&cluster, &shop.name, &selector).remove(0);
        let containers = pod["spec"]["containers"].as_array().unwrap();
        let hooks: Vec<_> = containers.iter().map(hook).collect();
        assert_eq!(hooks, kind.hooks, "{}, number {number}: {pod:#}", kind.what);
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap();
        assert_eq!(grace, kind.grace_period_seconds, "{}", kind.what);
        // Native sidecars are stopped by the kubelet after the application: not changed.
        for init in pod["spec"]["initContainers"].as_array().into_iter().flatten() {
            assert!(init["lifecycle"].is_null(), "{}", kind.what);
        }
        let shown =
            if hooks.iter().all(String::is_empty) { "none".to_owned() } else { hooks.join(", ") };
        figures.add(&[kind.what.to_owned(), shown, format!("{grace} s")]);
    }
    figures.save();
}

fn label(kind: &Kind) -> String {
    kind.what.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Returns a hook in a few words; empty if there is none.
fn hook(container: &Value) -> String {
    let hook = &container["lifecycle"]["preStop"];
    if let Some(seconds) = hook["sleep"]["seconds"].as_i64() {
        return format!("sleep {seconds} s");
    }
    match hook["exec"]["command"].as_array() {
        Some(command) if command.get(3) == Some(&json!("prestop")) => {
            format!("delay {} s, quit", command[4].as_str().unwrap())
        }
        Some(command) => format!("its own: {command:?}"),
        None => String::new(),
    }
}

fn kinds() -> Vec<Kind> {
    let serve = json!({"name": "web", "image": WORKLOAD, "imagePullPolicy": "IfNotPresent"});
    let of = |name: &str, image: &str| json!({"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "args": ["serve", format!("-listen=:{}", 8080 + name.len())]});
    let mut own = serve.clone();
    own["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 3}}});
    let native = json!([{"name": "mesh", "image": SIDECAR, "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always", "args": ["serve", "-listen=:9000"]}]);
    let rows: Vec<(&'static str, &'static str, Value, &'static [&'static str], i64)> = vec![
        ("Deployment", "Deployment", json!({"containers": [serve]}), &["sleep 10 s"], 40),
        (
            "Deployment without a shell",
            "Deployment",
            json!({"containers": [of("web", DISTROLESS)]}),
            &["sleep 10 s"],
            40,
        ),
        ("labelled disabled", "Deployment", json!({"containers": [serve]}), &[""], 30),
        ("with its own hook", "Deployment", json!({"containers": [own]}), &["sleep 3 s"], 30),
        (
            "with a classic sidecar",
            "Deployment",
            json!({"containers": [serve, of("shipper", SIDECAR)]}),
            &["sleep 10 s", "sleep 15 s"],
            45,
        ),
        (
            "with a native sidecar",
            "Deployment",
            json!({"containers": [serve], "initContainers": native}),
            &["sleep 10 s"],
            40,
        ),
        ("DaemonSet", "DaemonSet", json!({"containers": [serve]}), &[""], 30),
        (
            "Job",
            "Job",
            json!({"containers": [{"name": "work", "image": WORKLOAD, "imagePullPolicy": "IfNotPresent", "args": ["wait", "-duration=60s"]}], "restartPolicy": "Never"}),
            &[""],
            30,
        ),
        (
            "grace period 0",
            "Deployment",
            json!({"containers": [serve], "terminationGracePeriodSeconds": 0}),
            &[""],
            0,
        ),
    ];
    let kind = |(what, kind, spec, hooks, grace_period_seconds)| {
        workload(what, kind, spec, hooks, grace_period_seconds)
    };
    rows.into_iter().map(kind).collect()
}

fn workload(
    what: &'static str,
    kind: &str,
    spec: Value,
    hooks: &'static [&'static str],
    grace_period_seconds: i64,
) -> Kind {
    let mut made = Kind { what, object: Value::Null, hooks, grace_period_seconds };
    let name = label(&made);
    let mut labels = json!({"kind": name});
    if what == "labelled disabled" {
        labels["prestop.dev/inject"] = json!("disabled");
    }
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    made.object = json!({
        "apiVersion": version, "kind": kind, "metadata": {},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
    });
    if kind != "Job" {
        made.object["spec"]["selector"] = json!({"matchLabels": {"kind": name}});
    }
    made
}

fn rolled(cluster: &Cluster, namespace: &str) {
    cluster.kubectl(&[
        "rollout",
        "status",
        "deployment/web",
        "--namespace",
        namespace,
        "--timeout=180s",
    ]);
}

/// Returns the pods that run and are not terminating.
fn running(cluster: &Cluster, namespace: &str, selector: &str) -> Vec<Value> {
    let pods = cluster.list(&["pods", "--namespace", namespace, "--selector", selector]);
    let stays = |pod: &Value| {
        pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running"
    };
    pods.into_iter().filter(stays).collect()
}

fn has_status(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][STATUS].is_null()
}

fn status(pod: &Value) -> Value {
    serde_json::from_str(pod["metadata"]["annotations"][STATUS].as_str().unwrap()).unwrap()
}
