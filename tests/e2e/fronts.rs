//! The chart's defaults behind a load balancer that is slower than any default: a Service that is
//! annotated as an AWS Network Load Balancer whose targets are pods, with a load balancer that
//! learns of endpoints 45 s late.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace, wait_at_most, wait_until};
use super::figures::Figures;
use super::installation::{self, is_ready};
use super::late::cells::{self, Cell, RATES, REPLICAS, Treatment};
use super::traffic::LEAST_REQUESTS;
use super::traffic::load::{self, Load};
use super::workloads::{Server, content};

const LAG_SECONDS: u64 = 45;
const CELL: Cell = Cell { server: Server::Nginx127, treatment: Treatment::Default };
/// The upper bound of the front's delay, the drain, and time for a busy machine.
const UNTIL_OLD_PODS_ARE_GONE: Duration = Duration::from_secs(270);

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn the_default_delay_outlasts_the_load_balancer_in_front() {
    let cluster = Cluster::connect();
    let mut figures =
        Figures::new("watched-fronts", &["`fronts.watch`", "front", "requests", "dropped"]);
    let mut dropped = |is_watched: bool| {
        installation::ensure(&cluster, &[&format!("fronts.watch={is_watched}")]);
        let front = is_watched.then_some("aws-nlb-ip");
        let report = rollout(&cluster, front);
        let count = |name: &str| report[name].as_u64().unwrap();
        let [requests, failed] = ["requests", "failed"].map(count);
        println!("watched: {is_watched}: {failed} of {requests}: {}", load::causes(&report));
        assert!(requests >= LEAST_REQUESTS, "only {requests} requests");
        let front = front.unwrap_or("none").to_owned();
        figures.add(&[is_watched.to_string(), front, requests.to_string(), failed.to_string()]);
        failed
    };
    let (with, without) = (dropped(true), dropped(false));
    figures.save();
    assert!(with == 0 && without > 0, "{with} dropped with fronts, {without} without");
}

/// Returns the client's counts while all pods were replaced.
fn rollout(cluster: &Cluster, front: Option<&str>) -> Value {
    let shop = cluster.enabled_namespace("nlb");
    let clients = cluster.namespace("nlb-clients", &json!({}));
    let [deployment, mut service, _] = CELL.objects(&shop.name);
    service["spec"]["type"] = json!("LoadBalancer");
    service["metadata"]["annotations"] = json!({
        "service.beta.kubernetes.io/aws-load-balancer-type": "external",
        "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
    });
    cluster.apply(&content(&shop.name));
    cluster.apply(&service);
    for object in cells::may_read_endpoints(&shop.name, &clients.name) {
        cluster.apply(&object);
    }
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("tried");
    let arguments =
        ["create", "--dry-run=server", "--output=json", "--filename=-", "--namespace", &shop.name];
    wait_until("the webhook to know the Service", || {
        let (is_created, answer) = cluster.feed_kubectl(&arguments, &pod);
        is_created && front_of(&serde_json::from_str(&answer).unwrap()).as_deref() == front
    });
    cluster.apply(&deployment);
    settled(cluster, &shop, &BTreeSet::new());
    let old: BTreeSet<_> = pods(cluster, &shop).iter().map(name).collect();
    for pod in pods(cluster, &shop) {
        assert_eq!(front_of(&pod).as_deref(), front, "{pod:#}");
    }
    cluster.apply(&CELL.client(&clients.name, &shop.name, LAG_SECONDS));
    let load = Load::of_pod(cluster, &clients.name, &CELL.name());
    load.wait();
    let start = Instant::now();
    cluster.kubectl(&["rollout", "restart", "deployment", "--namespace", &shop.name]);
    settled(cluster, &shop, &old);
    // Until there are enough requests for a result.
    let least = f64::from(u32::try_from(LEAST_REQUESTS).unwrap()) * 1.05 / RATES.per_second();
    thread::sleep(Duration::from_secs_f64(least).saturating_sub(start.elapsed()));
    load.stop();
    load.report()
}

fn pods(cluster: &Cluster, namespace: &Namespace) -> Vec<Value> {
    cluster.list(&["pods", "--namespace", &namespace.name])
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Returns the front in the pod's status.
fn front_of(pod: &Value) -> Option<String> {
    let status = pod["metadata"]["annotations"]["prestop.dev/status"].as_str()?;
    let status: Value = serde_json::from_str(status).unwrap();
    status["containers"][0]["front"].as_str().map(str::to_owned)
}

/// Waits until all pods are ready and none of the old ones is left.
fn settled(cluster: &Cluster, shop: &Namespace, old: &BTreeSet<String>) {
    wait_at_most(UNTIL_OLD_PODS_ARE_GONE, "the end of all old pods", || {
        let pods = pods(cluster, shop);
        let is_so = pods.len() == REPLICAS as usize
            && pods.iter().all(is_ready)
            && pods.iter().all(|pod| !old.contains(&name(pod)));
        if !is_so {
            // Listing all pods takes processor time that the client needs.
            thread::sleep(Duration::from_millis(800));
        }
        is_so
    });
}
