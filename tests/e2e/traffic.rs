//! The central measurement: how many requests are dropped while pods are replaced, with and without
//! prestop.
//!
//! Three replicas behind a Service, under four streams of requests at the same time, are restarted,
//! drained and scaled down: seven pods end. Each row sends at least 20,000 requests.

pub(crate) mod load;
pub(crate) mod seen;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace, wait_until};
use super::figures::{Figures, save_raw};
use super::installation::{self, is_ready};
use super::workloads::{Server, content, deployment, disruption_budget, service, template};
use load::{Load, Rates};
use seen::Watch;

const REPLICAS: u32 = 3;
pub(crate) const LEAST_REQUESTS: u64 = 20_000;

/// The measure against dropped requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Treatment {
    /// The namespace has not opted in.
    Nothing,
    /// The usual recipe on the web: `nginx -s quit` as the hook.
    QuitByHand,
    /// The namespace has opted in.
    Prestop,
}

impl Treatment {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no hook",
            Self::QuitByHand => "`nginx -s quit` by hand",
            Self::Prestop => "**prestop**",
        }
    }

    fn lifecycle(self) -> Value {
        match self {
            Self::QuitByHand => json!({"preStop": {"exec": {"command": ["nginx", "-s", "quit"]}}}),
            Self::Nothing | Self::Prestop => Value::Null,
        }
    }

    fn labels(self) -> Value {
        if self == Self::Prestop { json!({"prestop.dev/inject": "enabled"}) } else { json!({}) }
    }
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn nginx_that_is_stopped_by_term_drops_nothing() {
    compare(
        "traffic-term",
        Server::Nginx115,
        &[Treatment::Nothing, Treatment::QuitByHand, Treatment::Prestop],
    );
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn nginx_that_is_stopped_by_quit_drops_nothing() {
    compare("traffic-quit", Server::Nginx127, &[Treatment::Nothing, Treatment::Prestop]);
}

/// The server's stop is not improved, but no request is left when it comes, unless it takes longer
/// than the delay. So the long downloads (8 s) fit into the delay (10 s).
#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn a_server_that_ends_at_once_drops_nothing() {
    compare("traffic-naive", Server::Naive, &[Treatment::Nothing, Treatment::Prestop]);
}

const COLUMNS: [&str; 8] = [
    "what is done",
    "requests",
    "dropped",
    "new",
    "kept",
    "2 s",
    "8 s",
    "how they ended, and what people see",
];

fn compare(name: &'static str, server: Server, treatments: &[Treatment]) {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let mut figures = Figures::new(name, &COLUMNS);
    let mut raw = json!({});
    let mut rows = Vec::new();
    for &treatment in treatments {
        let row = measure_in_peace(&cluster, server, treatment);
        figures.add(&row.cells(treatment));
        raw[format!("{treatment:?}")] = json!({"load": row.load, "seen": row.seen});
        rows.push(row);
    }
    figures.save();
    save_raw(name, &raw);
    for (row, &treatment) in rows.iter().zip(treatments) {
        let requests = row.load["requests"].as_u64().unwrap();
        assert!(requests >= LEAST_REQUESTS, "{treatment:?}: only {requests} requests");
        let failed = row.load["failed"].as_u64().unwrap();
        // Without a loss in the other rows, a 0 would prove nothing.
        assert_eq!(
            failed == 0,
            treatment == Treatment::Prestop,
            "{server:?} {treatment:?}: {:#}",
            row.load
        );
    }
}

struct Row {
    /// The client's counts.
    load: Value,
    /// Observations in the cluster.
    seen: seen::Seen,
}

impl Row {
    fn cells(&self, treatment: Treatment) -> [String; 8] {
        let stream = |name: &str| {
            let stream = &self.load["streams"][name];
            format!("{} / {}", stream["failed"], stream["requests"])
        };
        let causes = load::causes(&self.load);
        let seen = self.seen.in_words();
        let how = if causes.is_empty() { seen } else { format!("{causes}; {seen}") };
        [
            treatment.name().to_owned(),
            self.load["requests"].to_string(),
            self.load["failed"].to_string(),
            stream("new"),
            stream("kept"),
            stream("short"),
            stream("long"),
            how,
        ]
    }
}

/// Losses while the client got no processor for a second are not meaningful: measures again, at
/// most twice.
fn measure_in_peace(cluster: &Cluster, server: Server, treatment: Treatment) -> Row {
    let mut row = measure(cluster, server, treatment);
    for _ in 0..2 {
        let late = row.load["late_seconds"].as_f64().unwrap();
        if row.load["failed"] == 0 || late < 1.0 {
            break;
        }
        println!("again: the machine had no time for the client for {late:.1} s");
        row = measure(cluster, server, treatment);
    }
    row
}

fn measure(cluster: &Cluster, server: Server, treatment: Treatment) -> Row {
    println!("{}: {}", server.name(), treatment.name());
    let shop = cluster.namespace("traffic", &treatment.labels());
    cluster.apply(&content(&shop.name));
    cluster.apply(&deployment(&shop.name, REPLICAS, &template(server, &treatment.lifecycle())));
    cluster.apply(&service(&shop.name));
    cluster.apply(&disruption_budget(&shop.name, REPLICAS - 1));
    settled(cluster, &shop, REPLICAS);
    let injected = cluster.list(&["pods", "--namespace", &shop.name, "--selector", "app=web"]);
    let has_status = |pod: &Value| !pod["metadata"]["annotations"]["prestop.dev/status"].is_null();
    assert_eq!(injected.iter().all(has_status), treatment == Treatment::Prestop);

    let watch = Watch::start(cluster, &shop.name);
    let load = Load::start(cluster, &shop.name, server);
    let start = Instant::now();
    cluster.kubectl(&["rollout", "restart", "deployment/web", "--namespace", &shop.name]);
    rolled(cluster, &shop);
    drain(cluster, &shop);
    let replicas = format!("--replicas={}", REPLICAS - 1);
    cluster.kubectl(&["scale", "deployment/web", "--namespace", &shop.name, &replicas]);
    settled(cluster, &shop, REPLICAS - 1);
    // Until there are enough requests for a result.
    let least = Duration::from_secs_f64(
        1.1 * f64::from(u32::try_from(LEAST_REQUESTS).unwrap()) / Rates::FULL.per_second(),
    );
    thread::sleep(least.saturating_sub(start.elapsed()));
    let load = load.finish();
    Row { load, seen: watch.finish() }
}

/// Waits until the replicas are ready, and no other pod is left.
fn settled(cluster: &Cluster, namespace: &Namespace, replicas: u32) {
    rolled(cluster, namespace);
    wait_until("the end of all old pods", || {
        let pods = cluster.list(&["pods", "--namespace", &namespace.name, "--selector", "app=web"]);
        pods.len() == replicas as usize && pods.iter().all(is_ready)
    });
}

fn rolled(cluster: &Cluster, namespace: &Namespace) {
    cluster.kubectl(&[
        "rollout",
        "status",
        "deployment/web",
        "--namespace",
        &namespace.name,
        "--timeout=180s",
    ]);
}

/// Evicts every pod as soon as the disruption budget allows, like `kubectl drain`; but pods may
/// return to the same node, as there may be no other.
fn drain(cluster: &Cluster, namespace: &Namespace) {
    let pods = cluster.list(&["pods", "--namespace", &namespace.name, "--selector", "app=web"]);
    let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    for pod in pods.iter().filter(stays) {
        evict(cluster, &namespace.name, pod["metadata"]["name"].as_str().unwrap());
    }
    rolled(cluster, namespace);
}

/// Evicts a pod as soon as the disruption budget allows.
pub(crate) fn evict(cluster: &Cluster, namespace: &str, pod: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace},
    });
    wait_until("an eviction that the budget allows", || {
        let (is_done, told) =
            cluster.feed_kubectl(&["create", "--raw", &path, "--filename=-"], &eviction);
        assert!(is_done || told.contains("disruption budget"), "{told}");
        is_done
    });
}
