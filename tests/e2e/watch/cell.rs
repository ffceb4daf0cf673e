//! Workloads with each kind of hook, and their expected verdicts.

use std::fs;

use serde_json::{Value, json};

use super::super::cluster::{Cluster, Namespace};
use super::super::workloads::{Server, WORKLOAD};
use super::counted::Counted;

/// A workload, the verdict for each of its pods, and the range of times in which its containers
/// end.
pub(super) struct Cell {
    pub(super) name: &'static str,
    pub(super) image: String,
    pub(super) command: Value,
    pub(super) hook: Value,
    pub(super) grace_seconds: u32,
    pub(super) port: u32,
    pub(super) verdict: &'static str,
    pub(super) ended: std::ops::RangeInclusive<f64>,
}

pub(super) fn cells() -> [Cell; 5] {
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

pub(super) fn server() -> Cell {
    let [.., broken, _] = cells();
    broken
}
