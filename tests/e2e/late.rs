//! Ranges and holds behind a load balancer that learns of endpoints late, like load balancers
//! outside of a cluster.
//!
//! Each server with each treatment is a cell: a Deployment, its load balancer and its client. All
//! cells run side by side and are restarted, drained and scaled down in step. Each sends at least
//! 20,000 requests.
//!
//! `PRESTOP_E2E_LAGS=0,20,45` are the delays of the load balancers in seconds, one run each; 20 by
//! default.

pub(crate) mod cells;
mod row;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace, wait_at_most};
use super::figures::{Figures, save_raw};
use super::installation::{self, is_ready};
use super::traffic::load::Load;
use super::traffic::seen::Watch;
use super::traffic::{LEAST_REQUESTS, evict};
use super::workloads::content;
use cells::{CELLS, Cell, RATES, REPLICAS};
use row::{COLUMNS, Row};

/// Time within which all terminating pods end: the upper bound of the range, the wait, and time for
/// a busy machine.
const UNTIL_OLD_PODS_ARE_GONE: Duration = Duration::from_secs(270);

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn ranges_and_holds_drop_nothing_behind_late_load_balancers() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let mut faults = Vec::new();
    for lag in lags() {
        let rows = measure_in_peace(&cluster, lag);
        let name = format!("late-{lag}");
        let mut figures = Figures::new(&name, &COLUMNS);
        for row in &rows {
            figures.add(&row.cells());
        }
        figures.save();
        save_raw(&name, &rows.iter().map(Row::raw).collect());
        faults.extend(rows.iter().flat_map(|row| row.faults(lag)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn lags() -> Vec<u64> {
    let asked = std::env::var("PRESTOP_E2E_LAGS").unwrap_or_else(|_| "20".to_owned());
    asked.split(',').map(|lag| lag.trim().parse().expect("PRESTOP_E2E_LAGS: seconds")).collect()
}

/// Losses while a client got no processor for a second are not meaningful: measures again.
fn measure_in_peace(cluster: &Cluster, lag: u64) -> Vec<Row> {
    let rows = measure(cluster, lag);
    if !rows.iter().any(|row| row.had_no_time() && !row.faults(lag).is_empty()) {
        return rows;
    }
    println!("again: the machine had no time for the clients");
    measure(cluster, lag)
}

fn measure(cluster: &Cluster, lag: u64) -> Vec<Row> {
    println!("{} cells behind load balancers that are {lag} s late", CELLS.len());
    let shop = cluster.enabled_namespace("late");
    let clients = cluster.namespace("late-clients", &json!({}));
    let mut objects = vec![content(&shop.name)];
    objects.extend(cells::may_read_endpoints(&shop.name, &clients.name));
    objects.extend(CELLS.iter().flat_map(|cell| cell.objects(&shop.name)));
    cluster.apply(&list(objects));
    settled(cluster, &shop, REPLICAS, &BTreeSet::new());
    for pod in pods(cluster, &shop) {
        assert!(!pod["metadata"]["annotations"]["prestop.dev/status"].is_null(), "{pod:#}");
    }

    let watch = Watch::start(cluster, &shop.name);
    cluster.apply(&list(
        CELLS.iter().map(|cell| cell.client(&clients.name, &shop.name, lag)).collect(),
    ));
    let loads = CELLS.each_ref().map(|cell| Load::of_pod(cluster, &clients.name, &cell.name()));
    loads.iter().for_each(Load::wait);
    let start = Instant::now();
    restart(cluster, &shop, lag);
    drain(cluster, &shop, lag);
    scale_down(cluster, &shop, lag);
    // Until there are enough requests for a result.
    let least = f64::from(u32::try_from(LEAST_REQUESTS).unwrap()) * 1.05 / RATES.per_second();
    thread::sleep(Duration::from_secs_f64(least).saturating_sub(start.elapsed()));
    loads.iter().for_each(Load::stop);
    let reports = loads.map(Load::report);
    let mut ended = watch.ended();
    CELLS
        .into_iter()
        .zip(reports)
        .map(|(cell, load)| {
            let name = cell.name();
            let own = ended.extract_if(.., |pod| pod.app == name).collect();
            Row::new(cell, load, own)
        })
        .collect()
}

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn pods(cluster: &Cluster, namespace: &Namespace) -> Vec<Value> {
    cluster.list(&["pods", "--namespace", &namespace.name])
}

fn names(pods: &[Value]) -> BTreeSet<String> {
    pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn restart(cluster: &Cluster, shop: &Namespace, lag: u64) {
    let start = Instant::now();
    let old = names(&pods(cluster, shop));
    cluster.kubectl(&["rollout", "restart", "deployment", "--namespace", &shop.name]);
    settled(cluster, shop, REPLICAS, &old);
    heard_of(lag, start);
}

/// Drains the pods of each cell, one after the other, as soon as the budget allows.
fn drain(cluster: &Cluster, shop: &Namespace, lag: u64) {
    let start = Instant::now();
    let pods = pods(cluster, shop);
    let old = names(&pods);
    let app = |pod: &Value| pod["metadata"]["labels"]["app"].as_str().unwrap().to_owned();
    let of_cell = |cell: &Cell| {
        let own: Vec<_> = pods.iter().filter(|pod| app(pod) == cell.name()).cloned().collect();
        names(&own).into_iter().collect::<Vec<_>>()
    };
    let pods_of_cells = CELLS.each_ref().map(of_cell);
    for number in 0..REPLICAS as usize {
        for pods in &pods_of_cells {
            evict(cluster, &shop.name, &pods[number]);
        }
    }
    settled(cluster, shop, REPLICAS, &old);
    heard_of(lag, start);
}

fn scale_down(cluster: &Cluster, shop: &Namespace, lag: u64) {
    let start = Instant::now();
    let replicas = format!("--replicas={}", REPLICAS - 1);
    cluster.kubectl(&["scale", "deployment", "--all", "--namespace", &shop.name, &replicas]);
    settled(cluster, shop, REPLICAS - 1, &BTreeSet::new());
    heard_of(lag, start);
}

/// Waits until all pods are ready, none is terminating, and none of the old ones is left.
fn settled(cluster: &Cluster, shop: &Namespace, replicas: u32, old: &BTreeSet<String>) {
    let wanted = CELLS.len() * replicas as usize;
    wait_at_most(UNTIL_OLD_PODS_ARE_GONE, "the end of all old pods", || {
        let pods = pods(cluster, shop);
        let is_so =
            pods.len() == wanted && pods.iter().all(is_ready) && names(&pods).is_disjoint(old);
        if !is_so {
            // Listing all pods takes processor time that the clients need.
            thread::sleep(Duration::from_millis(800));
        }
        is_so
    });
}

/// Waits until the load balancers have learned of the pods. A pod that is deleted before that is
/// quiet at first and gets its requests later. That can't be prevented, so it is not tested.
fn heard_of(lag: u64, start: Instant) {
    thread::sleep(Duration::from_secs(lag + 5).saturating_sub(start.elapsed()));
}
