//! The usual recipe for nginx, `nginx -s quit` as its author's hook: it drops requests, prestop
//! reports that, and with `own-hook: extend` on the namespace it drops none.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace, wait_until};
use super::figures::{Figures, save_raw};
use super::installation::{self, is_ready};
use super::traffic::load::{self, Load, Rates};
use super::traffic::seen::{Seen, Watch};
use super::traffic::{LEAST_REQUESTS, evict};
use super::workloads::Server;

/// The manifest as its author wrote it, without anything for prestop.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/own_hook/deployment.yaml");
const REPLICAS: usize = 2;
/// The reported problem.
const REASON: &str = "own-hook-does-not-wait";

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn a_hook_of_the_author_drops_requests_until_it_is_extended() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("own-hook");
    let (is_done, report) = cluster.prestop(&["inject", "--output=report", MANIFEST]);
    assert!(is_done && report.contains(REASON), "{report}");

    cluster.kubectl(&["apply", "--namespace", &shop.name, "--filename", MANIFEST]);
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": shop.name},
        "spec": {"selector": {"app": "nginx"}, "ports": [{"port": 80}]},
    }));
    let template = template(&cluster, &shop);
    let warnings = cluster.warnings(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nginx", "namespace": shop.name},
        "spec": template["spec"],
    }));
    assert!(warnings.contains("Warning: ") && warnings.contains("nginx -s quit"), "{warnings}");
    println!("{report}{warnings}");

    let mut figures = Figures::new("own-hook", &COLUMNS);
    settled(&cluster, &shop, REPLICAS);
    let (kept, seen) = measure(&cluster, &shop);
    figures.add(&cells("as written", &kept, &seen));
    cluster.kubectl(&["annotate", "namespace", &shop.name, "prestop.dev/own-hook=extend"]);
    cluster.kubectl(&["rollout", "restart", "deployment/nginx", "--namespace", &shop.name]);
    settled(&cluster, &shop, REPLICAS);
    for pod in pods(&cluster, &shop) {
        let status = pod["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap();
        let status: Value = serde_json::from_str(status).unwrap();
        let original = &template["spec"]["containers"][0]["lifecycle"]["preStop"];
        assert_eq!(&status["containers"][0]["original"], original);
    }
    let (extended, seen) = measure_in_peace(&cluster, &shop);
    figures.add(&cells("`own-hook: extend` on the namespace", &extended, &seen));
    figures.save();
    save_raw("own-hook", &json!({"kept": kept, "extended": extended}));
    for report in [&kept, &extended] {
        assert!(report["requests"].as_u64().unwrap() >= LEAST_REQUESTS, "{report:#}");
    }
    // Without a loss here, a 0 in the other row would prove nothing.
    assert!(kept["failed"].as_u64().unwrap() > 0, "{kept:#}");
    assert_eq!(extended["failed"], 0, "{extended:#}");
    // Only the namespace was changed.
    assert_eq!(self::template(&cluster, &shop)["spec"], template["spec"]);
}

const COLUMNS: [&str; 6] =
    ["the manifest", "requests", "dropped", "new", "kept", "how they ended, and what people see"];

fn cells(what: &str, load: &Value, seen: &Seen) -> [String; 6] {
    let stream = |name: &str| {
        let stream = &load["streams"][name];
        format!("{} / {}", stream["failed"], stream["requests"])
    };
    let causes = load::causes(load);
    let seen = seen.in_words();
    [
        what.to_owned(),
        load["requests"].to_string(),
        load["failed"].to_string(),
        stream("new"),
        stream("kept"),
        if causes.is_empty() { seen } else { format!("{causes}; {seen}") },
    ]
}

fn template(cluster: &Cluster, shop: &Namespace) -> Value {
    let deployment = cluster.get(&["deployment", "nginx", "--namespace", &shop.name]);
    deployment["spec"]["template"].clone()
}

/// Losses while the client got no processor for a second are not meaningful: measures again, at
/// most twice.
fn measure_in_peace(cluster: &Cluster, shop: &Namespace) -> (Value, Seen) {
    let mut measured = measure(cluster, shop);
    for _ in 0..2 {
        let late = measured.0["late_seconds"].as_f64().unwrap();
        if measured.0["failed"] == 0 || late < 1.0 {
            break;
        }
        println!("again: the machine had no time for the client for {late:.1} s");
        measured = measure(cluster, shop);
    }
    measured
}

/// A rollout, a drain and a scale-down under load, and back.
fn measure(cluster: &Cluster, shop: &Namespace) -> (Value, Seen) {
    // Events of an earlier measurement.
    cluster.kubectl(&["delete", "events", "--all", "--namespace", &shop.name]);
    let watch = Watch::start(cluster, &shop.name);
    let load = Load::start_with(cluster, &shop.name, Server::Nginx115, Rates::WITHOUT_DOWNLOADS);
    let start = Instant::now();
    cluster.kubectl(&["rollout", "restart", "deployment/nginx", "--namespace", &shop.name]);
    settled(cluster, shop, REPLICAS);
    for pod in pods(cluster, shop) {
        // There is no disruption budget that would wait for the new pod.
        evict(cluster, &shop.name, pod["metadata"]["name"].as_str().unwrap());
        settled(cluster, shop, REPLICAS);
    }
    scale(cluster, shop, REPLICAS - 1);
    let least = f64::from(u32::try_from(LEAST_REQUESTS).unwrap()) * 1.1
        / Rates::WITHOUT_DOWNLOADS.per_second();
    thread::sleep(Duration::from_secs_f64(least).saturating_sub(start.elapsed()));
    let report = load.finish();
    let seen = watch.finish();
    scale(cluster, shop, REPLICAS);
    (report, seen)
}

fn scale(cluster: &Cluster, shop: &Namespace, replicas: usize) {
    let wanted = format!("--replicas={replicas}");
    cluster.kubectl(&["scale", "deployment/nginx", "--namespace", &shop.name, &wanted]);
    settled(cluster, shop, replicas);
}

fn pods(cluster: &Cluster, shop: &Namespace) -> Vec<Value> {
    cluster.list(&["pods", "--namespace", &shop.name, "--selector", "app=nginx"])
}

/// Waits until the rollout is over, and no old pod is left.
fn settled(cluster: &Cluster, shop: &Namespace, replicas: usize) {
    let status = ["rollout", "status", "deployment/nginx", "--timeout=180s", "--namespace"];
    cluster.kubectl(&[&status[..], &[&shop.name]].concat());
    wait_until("the end of all old pods", || {
        let pods = pods(cluster, shop);
        pods.len() == replicas && pods.iter().all(is_ready)
    });
}
