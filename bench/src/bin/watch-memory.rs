//! Memory use of `prestop watch` with a namespace of many pods, all of which it keeps:
//!
//! ```sh
//! cargo run --release -p prestop-bench --bin watch-memory -- PROGRAM [PODS]
//! ```
//!
//! This program contains its own API server on the loopback interface. PROGRAM is a release build
//! of prestop. Prints the program's resident memory after the lists, and its peak.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use prestop_test_support::fake_api::FakeApi;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
/// Number of endpoints in a slice, as in Kubernetes, and number of pods of one Deployment.
const OF_ONE: usize = 100;

/// Returns a realistic pod of about 4 KiB.
fn pod(number: usize) -> Value {
    let web = number / OF_ONE;
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-{web}-7d9c5b8f6d-{number:05}"), "namespace": "shop",
            "uid": format!("5f6c1e0a-7d2b-4c3e-9a1f-{number:012}"), "creationTimestamp": "2026-11-28T12:00:00Z",
            "labels": {"app": format!("web-{web}"), "pod-template-hash": "7d9c5b8f6d", "team": "shop"},
            "annotations": {"prestop.dev/status": "x".repeat(600)},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("web-{web}-7d9c5b8f6d"), "controller": true}],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:conditions": {"x": "y".repeat(1500)}}}}]},
        "spec": {"nodeName": format!("node-{}", number % 500), "terminationGracePeriodSeconds": 45,
            "containers": [{"name": "web", "image": "registry.example/shop/web:1.2.3", "ports": [{"containerPort": 8080}],
                "env": [{"name": "SETTINGS", "value": "z".repeat(800)}],
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 10; nginx -s quit"]}}}}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "web", "state": {"running": {}}}]},
    })
}

fn slice(number: usize) -> Value {
    let endpoints: Vec<_> = (number * OF_ONE..(number + 1) * OF_ONE)
        .map(|pod| {
            json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "name": format!("web-{number}-7d9c5b8f6d-{pod:05}"),
                    "uid": format!("5f6c1e0a-7d2b-4c3e-9a1f-{pod:012}")}})
        })
        .collect();
    json!({"metadata": {"name": format!("web-{number}-abcde"), "namespace": "shop"}, "endpoints": endpoints,
        "ports": [{"port": 8080}]})
}

/// Returns a field of the process' memory status, in KiB.
fn memory(id: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

fn main() {
    let mut arguments = env::args().skip(1);
    let program = arguments.next().expect("the program: a release build of prestop");
    let pods: usize = arguments.next().map_or(50_000, |number| number.parse().unwrap());
    let api = FakeApi::start();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = api.kubeconfig(folder.path());
    let measure = |pods: usize| {
        let start = Instant::now();
        let mut child = Command::new(&program)
            .arg("watch")
            .env("KUBECONFIG", &kubeconfig)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = api.requests().len();
        while api.requests().iter().skip(before).filter(|it| it.contains("watch=")).count() < 3 {
            thread::sleep(Duration::from_millis(20));
        }
        let took = start.elapsed();
        // The data that was read last still has to be processed.
        thread::sleep(Duration::from_secs(2));
        let (now, most) = (memory(child.id(), "VmRSS"), memory(child.id(), "VmHWM"));
        child.kill().unwrap();
        child.wait().unwrap();
        println!(
            "{pods} pods: {} MiB resident, {} MiB at most; read in {:.1} s",
            now / 1024,
            most / 1024,
            took.as_secs_f64()
        );
    };
    measure(0);
    api.fill(PODS, (0..pods).map(pod));
    api.fill(SLICES, (0..pods / OF_ONE).map(slice));
    measure(pods);
}
