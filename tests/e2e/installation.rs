//! prestop in the cluster, installed by Helm.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, PATIENCE, wait_at_most, wait_until};

pub(crate) const NAMESPACE: &str = "prestop-system";
const CHART: [&str; 2] = ["prestop", "charts/prestop"];
/// Time within which old pods finish their delay, drain and end.
const UNTIL_OLD_PODS_ARE_GONE: Duration = Duration::from_secs(180);

/// Creates the namespace of the release, in which only restricted pods may run.
pub(crate) fn namespace(cluster: &Cluster) {
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }));
}

/// Installs with only these `--set` values, whatever was installed before; two or more replicas are
/// ready, and pods get hooks.
pub(crate) fn ensure(cluster: &Cluster, values: &[&str]) {
    namespace(cluster);
    if is_half_done(cluster) {
        remove(cluster);
    }
    helm(cluster, &["upgrade", "--install"], values);
    settled(cluster);
}

/// Whether an interrupted run left an unfinished release: helm does not upgrade a release that is
/// not deployed.
fn is_half_done(cluster: &Cluster) -> bool {
    let arguments = ["list", "--output=json", "--uninstalling", "--pending", "--failed"];
    let releases = cluster.helm(&[&arguments[..], &["--namespace", NAMESPACE]].concat());
    serde_json::from_str::<Value>(&releases).unwrap() != json!([])
}

/// Runs `helm install` or a similar command, with `--wait`.
pub(crate) fn helm(cluster: &Cluster, verb: &[&str], values: &[&str]) -> String {
    let mut arguments =
        [verb, &CHART, &["--namespace", NAMESPACE, "--wait", "--timeout=180s"]].concat();
    if verb[0] == "upgrade" {
        arguments.push("--reset-values");
    }
    for value in values {
        arguments.extend(["--set", value]);
    }
    cluster.helm(&arguments)
}

/// Waits until every replica has the newest version; old ones may still be terminating.
pub(crate) fn rolled_out(cluster: &Cluster) {
    cluster.kubectl(&[
        "rollout",
        "status",
        "deployment/prestop",
        "--namespace",
        NAMESPACE,
        "--timeout=180s",
    ]);
}

/// Waits until no pod of an earlier version is left, and the API server's calls succeed.
pub(crate) fn settled(cluster: &Cluster) {
    rolled_out(cluster);
    wait_at_most(UNTIL_OLD_PODS_ARE_GONE, "the end of old replicas", || {
        let pods = pods(cluster);
        let wanted =
            cluster.get(&["deployment", "prestop", "--namespace", NAMESPACE])["spec"]["replicas"]
                .as_u64()
                .unwrap();
        u64::try_from(pods.len()).unwrap() == wanted && pods.iter().all(is_ready)
    });
    let probe = cluster.enabled_namespace("settled");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "probe-", "namespace": probe.name},
        "spec": {"containers": [{"name": "web", "image": "prestop-workload:1"}]},
    });
    let arguments = ["create", "--dry-run=server", "--output=json", "--filename=-"];
    wait_until("the webhook's first call", || {
        let (is_done, told) = cluster.feed_kubectl(&arguments, &pod);
        is_done && told.contains("prestop.dev/status")
    });
}

/// Returns the replicas, including terminating ones.
pub(crate) fn pods(cluster: &Cluster) -> Vec<Value> {
    cluster.list(&[
        "pods",
        "--namespace",
        NAMESPACE,
        "--selector",
        "app.kubernetes.io/name=prestop",
    ])
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let is_ready =
        |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.is_some_and(|conditions| conditions.iter().any(is_ready))
}

/// Removes the installation with its pods.
pub(crate) fn remove(cluster: &Cluster) {
    let arguments = ["uninstall", "prestop", "--ignore-not-found", "--wait", "--timeout=180s"];
    cluster.helm(&[&arguments[..], &["--namespace", NAMESPACE]].concat());
    wait_at_most(PATIENCE, "the end of all replicas", || pods(cluster).is_empty());
}
