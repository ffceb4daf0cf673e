//! Installation as documented: `helm install` with defaults.

use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{Cluster, wait_at_most};
use super::figures::{Figures, seconds};
use super::installation::{self, NAMESPACE};

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn helm_installs_it_and_everything_is_well() {
    let cluster = Cluster::connect();
    installation::remove(&cluster);
    installation::namespace(&cluster);
    // A namespace that has opted in, so that there is something to check.
    let shop = cluster.enabled_namespace("shop");
    let mut figures = Figures::new("install", &["what", "figure"]);

    let start = Instant::now();
    let notes = installation::helm(&cluster, &["install"], &[]);
    figures.note("`helm install --wait`, until both replicas are ready", seconds(start.elapsed()));
    assert!(notes.contains("helm test prestop --namespace prestop-system"), "{notes}");
    let pods = installation::pods(&cluster);
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(installation::is_ready));

    replicas_are_spread(&cluster);
    nothing_but_restricted_pods_run_there(&cluster);

    let start = Instant::now();
    let check = || cluster.prestop(&["check", "--namespace", &shop.name]);
    let (mut is_well, mut report) = check();
    // kube-proxy writes the rules of a Service a moment after its pods are ready: until then it
    // can't be reached.
    if !is_well {
        wait_at_most(Duration::from_secs(10), "the Service", || {
            (is_well, report) = check();
            is_well
        });
    }
    figures.note("`prestop check`", format!("{}, exit status 0", seconds(start.elapsed())));
    assert!(is_well, "{report}");
    assert!(report.contains("0 warning(s), 0 failure(s)"), "{report}");
    println!("{report}");

    let start = Instant::now();
    let told = cluster.helm(&["test", "prestop", "--namespace", NAMESPACE, "--timeout=120s"]);
    figures.note("`helm test`", format!("{}, {}", seconds(start.elapsed()), phase(&told)));
    assert_eq!(phase(&told), "Succeeded", "{told}");
    figures.save();
}

fn phase(told: &str) -> &str {
    let line = told.lines().find_map(|line| line.trim().strip_prefix("Phase:"));
    line.unwrap_or(told).trim()
}

/// On several nodes, the replicas are on different ones; on a single node, only the constraint can
/// be checked.
fn replicas_are_spread(cluster: &Cluster) {
    let pods = installation::pods(cluster);
    let constraint = &pods[0]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(constraint["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/name"], "prestop");
    if cluster.schedulable_nodes() > 1 {
        assert_ne!(pods[0]["spec"]["nodeName"], pods[1]["spec"]["nodeName"]);
    }
}

/// The namespace enforces `restricted`, and other pods are really refused.
fn nothing_but_restricted_pods_run_there(cluster: &Cluster) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "root", "image": "prestop-workload:1"}]},
    });
    let (is_done, told) =
        cluster.feed_kubectl(&["create", "--dry-run=server", "--filename=-"], &pod);
    assert!(!is_done && told.contains("violates PodSecurity \"restricted"), "{told}");
}
