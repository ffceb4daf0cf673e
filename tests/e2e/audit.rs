//! `prestop audit --cluster` in a real cluster: all of the known faults are found, and nothing
//! else.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::cluster::{Cluster, wait_until};
use super::installation;
use super::workloads::{DISTROLESS, Server, content, template};

/// A workload with one fault; its name is that of the rule.
struct Fault {
    rule: &'static str,
    kind: &'static str,
    template: Value,
    /// Fields of the workload's spec.
    spec: Value,
    /// The spec of its disruption budget, except for the selector; null if there is none.
    budget: Value,
}

/// Returns workload and rule of the findings, except those of the severity `info`.
fn found(namespace: &str) -> BTreeSet<(String, String)> {
    let arguments = ["audit", "--cluster", "--namespace", namespace, "--output", "json"];
    let output = Command::new(env!("CARGO_BIN_EXE_prestop")).args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    assert_eq!(told, "", "nothing is left out");
    let mut found = BTreeSet::new();
    for item in report["items"].as_array().unwrap() {
        for finding in item["findings"].as_array().unwrap() {
            if finding["severity"] != "info" {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                found.insert((text(&item["name"]), text(&finding["rule"])));
            }
        }
    }
    found
}

fn faults() -> Vec<Fault> {
    let sleep = json!({"preStop": {"sleep": {"seconds": 15}}});
    let naive = |lifecycle: &Value| template(Server::Naive, lifecycle);
    let nginx = |lifecycle: &Value| template(Server::Nginx115, lifecycle);
    let quit = json!({"preStop": {"exec": {"command": ["/usr/sbin/nginx", "-s", "quit"]}}});
    let mut distroless = naive(&json!({"preStop": {"exec": {"command": ["sleep", "15"]}}}));
    distroless["spec"]["containers"][0]["image"] = json!(DISTROLESS);
    let mut unchecked = naive(&sleep);
    unchecked["spec"]["containers"][0].as_object_mut().unwrap().shift_remove("readinessProbe");
    let fault = |rule, template| Fault {
        rule,
        kind: "Deployment",
        template,
        spec: json!({"replicas": 2, "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}),
        budget: json!({"maxUnavailable": 1}),
    };
    vec![
        fault("stops-at-once", naive(&Value::Null)),
        fault("quit-without-wait", nginx(&quit)),
        fault("hard-stop-signal", nginx(&sleep)),
        fault("tcp-socket-hook", naive(&json!({"preStop": {"tcpSocket": {"port": 8080}}}))),
        fault("hook-cannot-start", distroless),
        Fault { kind: "DaemonSet", spec: json!({}), ..fault("not-ready-checked", unchecked) },
        Fault {
            spec: json!({"replicas": 2, "strategy": {"type": "Recreate"}}),
            ..fault("recreate", naive(&sleep))
        },
        Fault { spec: json!({"replicas": 1}), ..fault("single-replica", naive(&sleep)) },
        Fault { budget: Value::Null, ..fault("no-budget", naive(&sleep)) },
        Fault {
            kind: "StatefulSet",
            spec: json!({"replicas": 2, "serviceName": "budget-blocks"}),
            budget: json!({"minAvailable": 2}),
            ..fault("budget-blocks", naive(&sleep))
        },
    ]
}

/// Returns the workload, its Service and its disruption budget.
fn objects(fault: &Fault, namespace: &str) -> Vec<Value> {
    let name = fault.rule;
    let metadata = json!({"name": name, "namespace": namespace});
    let labels = json!({"app": name});
    let mut template = fault.template.clone();
    template["metadata"]["labels"] = labels.clone();
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": fault.kind, "metadata": metadata,
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    });
    workload["spec"].as_object_mut().unwrap().extend(fault.spec.as_object().unwrap().clone());
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let mut objects = vec![workload, service];
    if !fault.budget.is_null() {
        let mut budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
            "spec": fault.budget,
        });
        budget["spec"]["selector"] = json!({"matchLabels": labels});
        objects.push(budget);
    }
    objects
}

/// Waits until all pods of a namespace are as their controllers want them.
fn settled(cluster: &Cluster, namespace: &str, count: usize) {
    wait_until("the pods", || {
        let pods = cluster.list(&["pods", "--namespace", namespace]);
        pods.len() == count && pods.iter().all(installation::is_ready)
    });
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn ten_known_faults_are_found_and_nothing_else() {
    let cluster = Cluster::connect();
    let shop = cluster.namespace("audit", &json!({}));
    cluster.apply(&content(&shop.name));
    let faults = faults();
    let items: Vec<_> = faults.iter().flat_map(|fault| objects(fault, &shop.name)).collect();
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
    // Two pods each, one of the workload with a single replica, one on each node.
    settled(&cluster, &shop.name, 8 * 2 + 1 + cluster.schedulable_nodes());
    let name = |rule: &str| (rule.to_owned(), rule.to_owned());
    let expected: BTreeSet<_> = faults.iter().map(|fault| name(fault.rule)).collect();
    assert_eq!(expected.len(), 10);
    assert_eq!(found(&shop.name), expected);
}
