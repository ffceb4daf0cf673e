//! Workloads with each kind of hook, and their expected verdicts.

use std::fs;

use serde_json::{Value, json};

use super::super::cluster::{Cluster, Namespace};
use super::super::workloads::{Server, WORKLOAD};
use super::counted::Counted;

/// From when to when containers end, after the deletion.
type Seconds = std::ops::RangeInclusive<f64>;

/// A workload, the verdict for each of its pods, and the range of times in which its containers
/// end.
pub(super) struct Cell {
    pub(super) name: &'static str,
    image: String,
    command: Value,
    hook: Value,
    grace_seconds: u32,
    port: u32,
    pub(super) verdict: &'static str,
    pub(super) ended: Seconds,
}

pub(super) fn cells() -> [Cell; 5] {
    let exec = |command: &[&str]| json!({"preStop": {"exec": {"command": command}}});
    let deaf = "trap : TERM; nginx -g 'daemon off;' & while :; do sleep 1; done";
    [
        nginx("no-hook", json!({}), "no-hook", 0.0..=5.0),
        nginx("quit", exec(&["nginx", "-s", "quit"]), "ended-at-once", 0.0..=1.0),
        Cell {
            command: json!(["/bin/sh", "-c", deaf]),
            grace_seconds: 8,
            ..nginx("deaf", sleep(3), "killed-at-grace-end", 7.0..=15.0)
        },
        without_shell("broken", exec(&["sh", "-c", "sleep 10"]), "hook-failed", 0.0..=5.0),
        nginx("ours", json!({}), "ended-by-itself", 4.0..=25.0),
    ]
}

/// A server that ends when it is stopped, after a delay of 5 s.
pub(super) fn many() -> Cell {
    without_shell("many", sleep(5), "ended-by-itself", 4.0..=40.0)
}

fn sleep(seconds: u32) -> Value {
    json!({"preStop": {"sleep": {"seconds": seconds}}})
}

fn nginx(name: &'static str, hook: Value, verdict: &'static str, ended: Seconds) -> Cell {
    let image = Server::Nginx115.image();
    Cell { name, image, command: Value::Null, hook, grace_seconds: 30, port: 80, verdict, ended }
}

fn without_shell(name: &'static str, hook: Value, verdict: &'static str, ended: Seconds) -> Cell {
    Cell { image: WORKLOAD.to_owned(), port: 8080, ..nginx(name, hook, verdict, ended) }
}

impl Cell {
    pub(super) fn objects(&self, replicas: usize, counted: Option<&Counted>) -> Vec<Value> {
        let mut container = json!({
            "name": "web", "image": self.image, "imagePullPolicy": "IfNotPresent", "lifecycle": self.hook,
            "ports": [{"containerPort": self.port}],
            "readinessProbe": {"httpGet": {"path": "/", "port": self.port}, "periodSeconds": 1},
        });
        if !self.command.is_null() {
            container["command"] = self.command.clone();
        }
        let mut spec =
            json!({"terminationGracePeriodSeconds": self.grace_seconds, "containers": [container]});
        if let Some(counted) = counted {
            counted.mount(&mut spec);
        }
        let labels = json!({"app": self.name});
        // For the workload that prestop injects.
        let annotations =
            json!({"prestop.dev/delay": "5s", "prestop.dev/hook-report": "termination-message"});
        vec![
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name},
                "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                    "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                    "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name},
                "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": self.port}]}}),
        ]
    }
}

pub(super) fn apply(
    cluster: &Cluster,
    namespace: &Namespace,
    cell: &Cell,
    replicas: usize,
    counted: Option<&Counted>,
) {
    let objects = cell.objects(replicas, counted);
    let mut list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
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
