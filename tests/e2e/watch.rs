//! `prestop watch` beside a real kubelet: rollouts of servers with each kind of hook, a drain, many pods that end at once,
//! and an API server that stands still.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use prestop_test_support::process::signal;
use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace, wait_until};
use super::traffic::evict;
use super::workloads::{Server, WORKLOAD};

/// A workload, the verdict that each of its pods gets, and from when to when its containers end.
struct Cell {
    name: &'static str,
    image: String,
    command: Value,
    hook: Value,
    grace_seconds: u32,
    port: u32,
    verdict: &'static str,
    ended: std::ops::RangeInclusive<f64>,
}

fn cells() -> [Cell; 5] {
    let nginx = || Server::Nginx115.image();
    let exec = |command: &[&str]| json!({"preStop": {"exec": {"command": command}}});
    let deaf = "trap : TERM; nginx -g 'daemon off;' & while :; do sleep 1; done";
    [
        Cell {
            name: "no-hook",
            image: nginx(),
            command: Value::Null,
            hook: json!({}),
            grace_seconds: 30,
            port: 80,
            verdict: "no-hook",
            ended: 0.0..=5.0,
        },
        Cell {
            name: "quit",
            image: nginx(),
            command: Value::Null,
            hook: exec(&["nginx", "-s", "quit"]),
            grace_seconds: 30,
            port: 80,
            verdict: "ended-at-once",
            ended: 0.0..=1.0,
        },
        Cell {
            name: "deaf",
            image: nginx(),
            command: json!(["/bin/sh", "-c", deaf]),
            hook: json!({"preStop": {"sleep": {"seconds": 3}}}),
            grace_seconds: 8,
            port: 80,
            verdict: "killed-at-grace-end",
            ended: 7.0..=15.0,
        },
        Cell {
            name: "broken",
            image: WORKLOAD.to_owned(),
            command: Value::Null,
            hook: exec(&["sh", "-c", "sleep 10"]),
            grace_seconds: 30,
            port: 8080,
            verdict: "hook-failed",
            ended: 0.0..=5.0,
        },
        Cell {
            name: "ours",
            image: nginx(),
            command: Value::Null,
            hook: json!({}),
            grace_seconds: 30,
            port: 80,
            verdict: "ended-by-itself",
            ended: 4.0..=25.0,
        },
    ]
}

impl Cell {
    fn objects(&self, replicas: usize) -> Vec<Value> {
        let mut container = json!({
            "name": "web", "image": self.image, "imagePullPolicy": "IfNotPresent", "lifecycle": self.hook,
            "ports": [{"containerPort": self.port}],
            "readinessProbe": {"httpGet": {"path": "/", "port": self.port}, "periodSeconds": 1},
        });
        if !self.command.is_null() {
            container["command"] = self.command.clone();
        }
        let labels = json!({"app": self.name});
        // For the one that prestop injects.
        let annotations =
            json!({"prestop.dev/delay": "5s", "prestop.dev/hook-report": "termination-message"});
        vec![
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name},
                "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                    "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                    "template": {"metadata": {"labels": labels, "annotations": annotations},
                        "spec": {"terminationGracePeriodSeconds": self.grace_seconds, "containers": [container]}}}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name},
                "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": self.port}]}}),
        ]
    }
}

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

    /// The exit status; the output stays.
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

fn apply(cluster: &Cluster, namespace: &Namespace, cell: &Cell, replicas: usize) {
    let mut list = json!({"apiVersion": "v1", "kind": "List", "items": cell.objects(replicas)});
    if cell.name == "ours" {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("manifest.json");
        fs::write(&file, list.to_string()).unwrap();
        let (is_done, injected) = cluster.prestop(&["inject", file.to_str().unwrap()]);
        assert!(is_done, "{injected}");
        list = serde_json::from_str(&injected).unwrap();
    }
    for item in list["items"].as_array_mut().unwrap() {
        item["metadata"]["namespace"] = json!(namespace.name);
    }
    cluster.apply(&list);
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
    format!("http://{}/", service["spec"]["clusterIP"].as_str().unwrap())
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn each_kind_of_hook_gets_its_verdict_in_rollouts_and_a_drain() {
    let cluster = Cluster::connect();
    let shop = cluster.namespace("watch", &json!({}));
    let cells = cells();
    for cell in &cells {
        apply(&cluster, &shop, cell, 2);
    }
    for cell in &cells {
        rolled(&cluster, &shop, cell.name);
    }
    let mut all = Watch::start(&shop, &[]);
    let loads = ["no-hook", "ours"].map(|name| (name, address(&cluster, &shop, name)));
    let [mut bad, mut good] = loads.map(|(name, url)| {
        let workload = format!("deployment/{name}");
        // Each rolls when its watch has begun: else it would end at once.
        let restart = ["rollout", "restart", &workload, "--namespace", &shop.name];
        cluster.kubectl(&restart);
        Watch::start(&shop, &["--until-rolled", &workload, "--url", &url, "--rate=200"])
    });
    for name in ["quit", "deaf", "broken"] {
        let workload = format!("deployment/{name}");
        cluster.kubectl(&["rollout", "restart", &workload, "--namespace", &shop.name]);
    }
    let statuses = (bad.status(), good.status());
    let [summary, requests] = ["Summary", "Requests"].map(|kind| good.objects(kind));
    assert_eq!(statuses, (1, 0), "{summary:#?} {requests:#?}");
    let lost = |watch: &Watch| watch.objects("Requests")[0]["lost"].as_u64().unwrap();
    println!("lost: {} without a hook, {} with ours", lost(&bad), lost(&good));
    assert_eq!(lost(&good), 0);
    all.wait_for_ends(10);
    let pods = cluster.list(&["pods", "--namespace", &shop.name, "--selector=app=ours"]);
    evict(&cluster, &shop.name, pods[0]["metadata"]["name"].as_str().unwrap());
    all.wait_for_ends(11);
    assert_eq!(all.interrupt(), 1);
    let ends = all.objects("Termination");
    let mut counts = BTreeMap::new();
    for end in &ends {
        let name = end["workload"]["name"].as_str().unwrap();
        let cell = cells.iter().find(|cell| cell.name == name).unwrap();
        println!("{end}");
        assert_eq!(end["verdict"], cell.verdict, "{end:#}");
        let after = end["exitedAfterSeconds"].as_f64().unwrap();
        assert!(cell.ended.contains(&after), "{end:#}");
        assert!(end["endpoint"]["withdrawnAfterSeconds"].as_f64().is_some(), "{end:#}");
        if name == "ours" {
            // The kubelet probes once a second, and the load is gone when the endpoint is.
            let report = &end["hook"]["report"];
            assert!(report["new"].as_u64() >= Some(3), "{end:#}");
            assert!(report["last"].as_u64().is_none_or(|last| last <= 3), "{end:#}");
        }
        *counts.entry((name, end["deletedBy"].as_str().unwrap())).or_insert(0) += 1;
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

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn many_pods_that_end_at_once_while_the_api_server_stands_still_are_all_reported() {
    const PODS: usize = 40;
    let cluster = Cluster::connect();
    let shop = cluster.namespace("watch-many", &json!({}));
    let cell =
        Cell { name: "many", hook: json!({"preStop": {"sleep": {"seconds": 5}}}), ..server() };
    apply(&cluster, &shop, &cell, PODS);
    rolled(&cluster, &shop, "many");
    let mut watch = Watch::start(&shop, &[]);
    // It watches when it sees a pod that goes.
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
    // Where the cluster's processes are known, the API server stands still for 20 s.
    let state = std::env::var_os("STATE").map(PathBuf::from);
    let server =
        state.and_then(|state| fs::read_to_string(state.join("run/kube-apiserver.pid")).ok());
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
    // The server ends at once on its stop signal, after its delay.
    for end in &ends {
        assert!(
            ["ended-by-itself", "obeyed-stop-signal"].contains(&end["verdict"].as_str().unwrap()),
            "{end:#}"
        );
        assert!((4.0..40.0).contains(&end["exitedAfterSeconds"].as_f64().unwrap()), "{end:#}");
    }
}

fn server() -> Cell {
    let [.., broken, _] = cells();
    broken
}
