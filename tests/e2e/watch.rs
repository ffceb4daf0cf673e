//! `prestop watch` with a real kubelet: rollouts of servers with each kind of hook, a drain, many
//! pods that end at the same time, and an API server that stalls.

mod cell;
mod counted;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use prestop_test_support::process::signal;
use serde_json::{Value, json};

use cell::{Cell, apply, cells, many};
use counted::Counted;

use super::cluster::{Cluster, Namespace, state, wait_until};
use super::kubelet::Kubelet;
use super::traffic::evict;

/// All workloads roll at the same time, these two while requests are sent to them.
const LOADED: [&str; 2] = ["no-hook", "ours"];

/// `prestop watch` with its output in a file.
struct Watch {
    child: Child,
    out: PathBuf,
    _folder: tempfile::TempDir,
}

impl Watch {
    fn start(namespace: &Namespace, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let child = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(["watch", "--output=json", "--namespace", &namespace.name])
            .args(arguments)
            .stdout(fs::File::create(&out).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child, out, _folder: folder }
    }

    fn objects(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(&self.out).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let all = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|object| object["kind"] == kind).collect()
    }

    fn wait_for_ends(&self, count: usize) {
        wait_until(&format!("{count} ends"), || self.objects("Termination").len() >= count);
    }

    /// Returns the exit status; the output is kept.
    fn status(&mut self) -> i32 {
        let mut status = None;
        wait_until("the end of the watch", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code().unwrap()
    }

    fn interrupt(&mut self) -> i32 {
        signal(self.child.id(), "TERM");
        self.status()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rolled(cluster: &Cluster, namespace: &Namespace, name: &str) {
    let deployment = format!("deployment/{name}");
    cluster.kubectl(&[
        "rollout",
        "status",
        &deployment,
        "--namespace",
        &namespace.name,
        "--timeout=120s",
    ]);
}

fn address(cluster: &Cluster, namespace: &Namespace, name: &str) -> String {
    let service = cluster.get(&["service", name, "--namespace", &namespace.name]);
    format!("http://{}", service["spec"]["clusterIP"].as_str().unwrap())
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn each_kind_of_hook_gets_its_verdict_in_rollouts_and_a_drain() {
    let cluster = Cluster::connect();
    let shop = cluster.namespace("watch", &json!({}));
    let cells = cells();
    let kubelet = Kubelet::that_logs_more(&cluster);
    let counted = Counted::new(&cluster, &shop);
    for cell in &cells {
        let counted = counted.as_ref().filter(|_| LOADED.contains(&cell.name));
        apply(&cluster, &shop, cell, 2, counted);
    }
    for cell in &cells {
        rolled(&cluster, &shop, cell.name);
    }
    let mut all = Watch::start(&shop, &[]);
    roll_under_load(&cluster, &shop, counted.as_ref());
    all.wait_for_ends(10);
    let pods = cluster.list(&["pods", "--namespace", &shop.name, "--selector=app=ours"]);
    evict(&cluster, &shop.name, pods[0]["metadata"]["name"].as_str().unwrap());
    all.wait_for_ends(11);
    assert_eq!(all.interrupt(), 1);
    let ends = all.objects("Termination");
    let mut counts = BTreeMap::new();
    for end in &ends {
        let cell = cells.iter().find(|cell| cell.name == end["workload"]["name"]).unwrap();
        is_as_expected(end, cell);
        if let Some(kubelet) = &kubelet {
            let text = |field: &str| end[field].as_str().unwrap();
            let logged = kubelet.stop(&shop.name, text("pod"), text("uid"), text("container"));
            logged.agrees_with(end);
        }
        *counts.entry((cell.name, end["deletedBy"].as_str().unwrap())).or_insert(0) += 1;
    }
    for cell in &cells {
        assert_eq!(counts.get(&(cell.name, "rollout")), Some(&2), "{counts:?}");
    }
    assert_eq!(counts.get(&("ours", "eviction")), Some(&1), "{counts:?}");
    assert_eq!(all.objects("Summary")[0]["gaps"], 0);
    let measured = all.objects("MeasuredDelay");
    println!("{measured:?}");
    assert_eq!(measured.len(), 1, "{measured:#?}");
    assert_eq!(measured[0]["terminations"], 3, "{measured:#?}");
    assert_eq!(measured[0]["connectionsUntilTheEnd"], 0, "{measured:#?}");
}

/// Their counts agree with those of the servers, and only the one without a hook loses requests.
fn roll_under_load(cluster: &Cluster, shop: &Namespace, counted: Option<&Counted>) {
    let restart = |name: &str| {
        let workload = format!("deployment/{name}");
        cluster.kubectl(&["rollout", "restart", &workload, "--namespace", &shop.name]);
        workload
    };
    let path = |name: &str| format!("/?load={name}");
    let addresses = LOADED.map(|name| address(cluster, shop, name) + &path(name));
    let [mut bad, mut good] = [0, 1].map(|index| {
        // Each rolls when its watch has begun: otherwise the watch would end immediately.
        let workload = restart(LOADED[index]);
        let url = &addresses[index];
        Watch::start(shop, &["--until-rolled", &workload, "--url", url, "--rate=200"])
    });
    for name in ["quit", "deaf", "broken"] {
        restart(name);
    }
    let statuses = (bad.status(), good.status());
    let [summary, requests] = ["Summary", "Requests"].map(|kind| good.objects(kind));
    assert_eq!(statuses, (1, 0), "{summary:#?} {requests:#?}");
    assert_eq!(requests[0]["lost"], 0, "{requests:#?}");
    for (watch, name) in [bad, good].iter().zip(LOADED) {
        let requests = &watch.objects("Requests")[0];
        let [sent, lost] = ["sent", "lost"].map(|field| requests[field].as_u64().unwrap());
        println!("{name}: {sent} sent, {lost} lost");
        let Some(counted) = counted else { continue };
        let answered = counted.answered(&path(name));
        println!("{name}: the servers answered {answered}");
        // Including the request before the watch; an answer can be lost on its way.
        assert!((sent - lost + 1..=sent + 1).contains(&answered), "{answered}");
    }
}

fn is_as_expected(end: &Value, cell: &Cell) {
    println!("{end}");
    assert_eq!(end["verdict"], cell.verdict, "{end:#}");
    let after = end["exitedAfterSeconds"].as_f64().unwrap();
    assert!(cell.ended.contains(&after), "{end:#}");
    assert!(end["endpoint"]["withdrawnAfterSeconds"].as_f64().is_some(), "{end:#}");
    if cell.name == "ours" {
        // The kubelet probes once a second, and the load ends when the endpoint is removed.
        let report = &end["hook"]["report"];
        assert!(report["new"].as_u64() >= Some(3), "{end:#}");
        assert!(report["last"].as_u64().is_none_or(|last| last <= 3), "{end:#}");
    }
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn many_pods_that_end_at_once_while_the_api_server_stands_still_are_all_reported() {
    const PODS: usize = 40;
    let cluster = Cluster::connect();
    let shop = cluster.namespace("watch-many", &json!({}));
    let cell = many();
    apply(&cluster, &shop, &cell, PODS, None);
    rolled(&cluster, &shop, "many");
    let mut watch = Watch::start(&shop, &[]);
    // The watch is established once it reports a pod that ends.
    let probe = cluster.list(&["pods", "--namespace", &shop.name])[0]["metadata"]["name"].clone();
    cluster.kubectl(&[
        "delete",
        "pod",
        probe.as_str().unwrap(),
        "--namespace",
        &shop.name,
        "--wait=false",
    ]);
    watch.wait_for_ends(1);
    rolled(&cluster, &shop, "many");
    cluster.kubectl(&["delete", "deployment/many", "--namespace", &shop.name, "--wait=false"]);
    wait_until("the deletions", || {
        let pods = cluster.list(&["pods", "--namespace", &shop.name]);
        pods.iter().all(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
    });
    // If the cluster's processes are known, the API server stalls for 20 s.
    let server =
        state().and_then(|state| fs::read_to_string(state.join("run/kube-apiserver.pid")).ok());
    if let Some(server) = server.and_then(|server| server.trim().parse().ok()) {
        signal(server, "STOP");
        thread::sleep(Duration::from_secs(20));
        signal(server, "CONT");
        wait_until("the gap", || !watch.objects("Gap").is_empty());
        println!("{:?}", watch.objects("Gap"));
    }
    watch.wait_for_ends(PODS + 1);
    assert_eq!(watch.interrupt(), 0);
    let ends = watch.objects("Termination");
    assert_eq!(ends.len(), PODS + 1);
    // The server ends immediately on its stop signal, after its delay.
    for end in &ends {
        assert!(
            ["ended-by-itself", "obeyed-stop-signal"].contains(&end["verdict"].as_str().unwrap()),
            "{end:#}"
        );
        assert!((4.0..40.0).contains(&end["exitedAfterSeconds"].as_f64().unwrap()), "{end:#}");
    }
}
