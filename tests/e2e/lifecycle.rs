//! Upgrade, rollback and uninstallation while pods are created, and the objects that remain.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{Cluster, wait_at_most, wait_until};
use super::creation::Stream;
use super::figures::{Figures, seconds};
use super::installation::{self, NAMESPACE, is_ready};
use super::traffic::load::Load;
use super::traffic::seen::Watch;
use super::workloads::{Server, content, deployment, service, template};

/// Everything that causes new pods of the webhook, and more.
const CHANGED: [&str; 6] = [
    "replicaCount=3",
    "webhook.timeoutSeconds=5",
    "config.defaults.delay=4s",
    "config.log.level=debug",
    "config.server.workers=2",
    "podAnnotations.changed=yes",
];

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn upgrades_and_rollbacks_cost_no_hook() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("upgrade");
    let stream = Stream::start(&shop.name, 20);
    let mut figures = Figures::new("upgrade", &["what", "figure"]);
    let start = Instant::now();
    installation::helm(&cluster, &["upgrade"], &CHANGED);
    figures.note("`helm upgrade --wait` to other values", seconds(start.elapsed()));
    installation::settled(&cluster);
    assert_eq!(installation::pods(&cluster).len(), 3);
    assert_eq!(delay(&cluster, &shop.name), 4);
    let start = Instant::now();
    cluster.helm(&["rollback", "prestop", "--namespace", NAMESPACE, "--wait", "--timeout=180s"]);
    figures.note("`helm rollback --wait`", seconds(start.elapsed()));
    installation::settled(&cluster);
    wait_until("the old delay", || delay(&cluster, &shop.name) == 10);
    let outcome = stream.finish(500);
    figures.note("pods created meanwhile", outcome.created);
    figures.note("refused", outcome.refused.len());
    figures.note("without a hook", outcome.without_hook);
    figures.save();
    outcome.assert_whole(500);
}

/// Returns the delay of a pod that is created now, in seconds.
fn delay(cluster: &Cluster, namespace: &str) -> i64 {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": namespace},
        "spec": {"containers": [{"name": "web", "image": "registry.example.com/unknown:1"}]},
    });
    let arguments = ["create", "--dry-run=server", "--output=json", "--filename=-"];
    let (is_done, told) = cluster.feed_kubectl(&arguments, &pod);
    assert!(is_done, "{told}");
    let pod: Value = serde_json::from_str(&told).unwrap();
    pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap()
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn uninstalling_leaves_nothing_and_hooks_go_on() {
    let cluster = Cluster::connect();
    installation::remove(&cluster);
    installation::namespace(&cluster);
    let shop = cluster.enabled_namespace("uninstall");
    let before = objects(&cluster);
    installation::ensure(&cluster, &[]);
    cluster.apply(&content(&shop.name));
    cluster.apply(&deployment(&shop.name, 2, &template(Server::Nginx115, &Value::Null)));
    cluster.apply(&service(&shop.name));
    let pods = || cluster.list(&["pods", "--namespace", &shop.name, "--selector", "app=web"]);
    wait_until("two pods", || pods().len() == 2 && pods().iter().all(is_ready));
    let old: BTreeSet<_> =
        pods().iter().map(|pod| pod["metadata"]["name"].clone().to_string()).collect();
    assert!(
        pods().iter().all(|pod| !pod["metadata"]["annotations"]["prestop.dev/status"].is_null())
    );

    let mut figures = Figures::new("uninstall", &["what", "figure"]);
    let start = Instant::now();
    cluster.helm(&["uninstall", "prestop", "--namespace", NAMESPACE]);
    figures.note("`helm uninstall`", seconds(start.elapsed()));
    let took = wait_at_most(Duration::from_secs(120), "nothing is left", || {
        objects(&cluster).difference(&before).next().is_none()
    });
    figures.note("until no object of it is left (its own pods end gracefully)", seconds(took));

    // After the uninstallation, pods with hooks end as they should.
    let watch = Watch::start(&cluster, &shop.name);
    let load = Load::start(&cluster, &shop.name, Server::Nginx115);
    cluster.kubectl(&["rollout", "restart", "deployment/web", "--namespace", &shop.name]);
    wait_until("new pods, and no old ones", || {
        let pods = pods();
        pods.len() == 2
            && pods.iter().all(is_ready)
            && pods.iter().all(|pod| !old.contains(&pod["metadata"]["name"].to_string()))
    });
    let report = load.finish();
    figures.note(
        "requests while pods with hooks are replaced afterwards, dropped",
        format!("{}, {}", report["requests"], report["failed"]),
    );
    figures.note("what people see", watch.finish().in_words());
    figures.save();
    assert_eq!(report["failed"], 0, "{report:#}");
    assert!(
        pods().iter().all(|pod| pod["metadata"]["annotations"]["prestop.dev/status"].is_null())
    );
}

/// Returns every object that could belong to the chart: kind, namespace, name. Without objects that
/// clusters create by themselves, and those that other tests leave for a while.
fn objects(cluster: &Cluster) -> BTreeSet<String> {
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list", "--output=name"]);
    let by_itself =
        ["events", "leases", "componentstatuses", "endpoints", "ipaddresses", "apiservices"];
    let kinds: Vec<_> =
        kinds.lines().filter(|kind| !by_itself.iter().any(|own| kind.starts_with(own))).collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    let names = cluster.kubectl(&[
        "get",
        &kinds.join(","),
        "--all-namespaces",
        "--ignore-not-found",
        "--output=jsonpath={range .items[*]}{.kind} {.metadata.namespace} {.metadata.name}{\"\\n\"}{end}",
    ]);
    names.lines().filter(|line| !line.contains("e2e-")).map(str::to_owned).collect()
}
