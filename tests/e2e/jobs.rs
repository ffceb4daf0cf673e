//! Jobs end at the same time as without prestop.

use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{Cluster, Namespace};
use super::figures::Figures;
use super::installation;
use super::workloads::WORKLOAD;

const TIMES: u32 = 3;

/// The same Job with and without prestop, one after the other, several times.
#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn jobs_end_as_fast_as_without_us() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let (shop, other) = (cluster.enabled_namespace("jobs"), cluster.namespace("other", &json!({})));
    let mut took = [Duration::ZERO; 2];
    for _ in 0..TIMES {
        for (sum, namespace) in took.iter_mut().zip([&shop, &other]) {
            *sum += job(&cluster, namespace) / TIMES;
        }
    }
    let mut figures = Figures::new(
        "jobs",
        &["a Job that works for 2 s", "from its creation to `Complete`, mean of 3"],
    );
    for (name, took) in ["namespace with the label", "namespace without"].iter().zip(took) {
        figures.note(name, format!("{:.1} s", took.as_secs_f64()));
    }
    figures.save();
    // A hook would take ten seconds.
    assert!(took[0] < took[1] + Duration::from_secs(4), "{took:?}");
}

/// Returns the duration of a Job from its creation on.
fn job(cluster: &Cluster, namespace: &Namespace) -> Duration {
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "work-", "namespace": namespace.name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{
            "name": "work", "image": WORKLOAD, "imagePullPolicy": "IfNotPresent", "args": ["wait", "-duration=2s"],
        }]}}},
    });
    let start = Instant::now();
    let (is_done, told) = cluster.feed_kubectl(&["create", "--output=name", "--filename=-"], &job);
    assert!(is_done, "{told}");
    cluster.kubectl(&[
        "wait",
        "--for=condition=Complete",
        told.trim(),
        "--namespace",
        &namespace.name,
        "--timeout=120s",
    ]);
    start.elapsed()
}
