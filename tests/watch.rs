//! `prestop watch` as a process, with a fake API server: its output when pods end, and when the
//! watch is cut. The verdicts themselves are tested in `crates/watch`; with a real API server in
//! `tests/control_plane`, in a real cluster in `tests/e2e`.

mod connection;
mod ends;
mod forms;
mod requests;
mod rolled;
mod terminal;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use prestop_test_support::fake_api::FakeApi;
use prestop_test_support::process::{signal, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

const PODS: &str = "/api/v1/namespaces/shop/pods";
const EVENTS: &str = "/api/v1/namespaces/shop/events";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";

/// A running `prestop watch`, with its output so far.
struct Watch {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
}

/// Result of a `prestop watch` that has ended.
struct Ended {
    status: i32,
    out: Vec<String>,
    told: Vec<String>,
}

impl Watch {
    fn start(api: &FakeApi, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = api.kubeconfig(folder.path());
        let mut child = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .arg("watch")
            .args(arguments)
            .current_dir(folder.path())
            .env("KUBECONFIG", kubeconfig)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = lines(child.stdout.take().unwrap());
        let told = lines(child.stderr.take().unwrap());
        Self { child, out, told, folder }
    }

    /// Starts a watch and waits until it has listed everything.
    fn synced(api: &FakeApi, arguments: &[&str]) -> Self {
        let watch = Self::start(api, arguments);
        Self::wait_for_watches(api, 1);
        watch
    }

    /// Waits until each collection was watched this many times since the start of the server.
    fn wait_for_watches(api: &FakeApi, times: usize) {
        wait_until("the watches", || {
            let requests = api.requests();
            [PODS, EVENTS, SLICES].iter().all(|collection| {
                let of = format!("GET {collection}?");
                let is_watch = |it: &&String| it.starts_with(&of) && it.contains("watch=");
                requests.iter().filter(is_watch).count() >= times
            })
        });
    }

    /// Waits for a line with all of these parts.
    fn wait_for(&self, parts: &[&str]) -> String {
        let mut found = None;
        let is_it = |line: &&String| parts.iter().all(|part| line.contains(part));
        wait_until(&format!("a line with {parts:?}"), || {
            found = self.out.lock().unwrap().iter().find(is_it).cloned();
            found.is_some()
                || self.told.lock().unwrap().iter().any(|line| line.starts_with("error"))
        });
        found.unwrap_or_else(|| panic!("{:?}", self.told.lock().unwrap()))
    }

    /// Interrupts it, as Ctrl-C does.
    fn interrupt(self) -> Ended {
        signal(self.child.id(), "INT");
        self.ended()
    }

    fn ended(mut self) -> Ended {
        let mut status = None;
        wait_until("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        // The threads that read the output end when the pipes are closed.
        wait_until("all output", || {
            Arc::strong_count(&self.out) + Arc::strong_count(&self.told) == 2
        });
        let all = |lines: &Arc<Mutex<Vec<String>>>| lines.lock().unwrap().clone();
        Ended {
            status: status.unwrap().code().unwrap(),
            out: all(&self.out),
            told: all(&self.told),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let own = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            own.lock().unwrap().push(line);
        }
    });
    lines
}

/// Returns the time this many seconds from now, in the API's format.
fn time(from_now: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = i64::try_from(now).unwrap() + from_now;
    jiff::Timestamp::from_second(at).unwrap().to_string()
}

/// A running pod of Deployment `web`, whose hook delays for 2 s.
fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "creationTimestamp": time(-100), "labels": {"app": "web", "pod-template-hash": "a1"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-a1", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "web", "ports": [{"containerPort": 80}],
            "lifecycle": {"preStop": {"sleep": {"seconds": 2}}}}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "web", "state": {"running": {}}}]},
    })
}

/// Returns the pod as deleted just now, with a grace period of 30 s.
fn deleted(mut pod: Value) -> Value {
    pod["metadata"]["deletionTimestamp"] = json!(time(30));
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    pod
}

/// Returns the pod after its container exited this many seconds from now, by its node's clock.
fn exited(mut pod: Value, code: i32, from_now: i64) -> Value {
    pod["status"]["containerStatuses"][0]["state"] =
        json!({"terminated": {"exitCode": code, "finishedAt": time(from_now)}});
    pod
}

/// Returns a slice with these pods; the flag is whether the pod is ready.
fn slice(pods: &[(&str, bool)]) -> Value {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|(pod, ready)| {
            json!({"conditions": {"ready": ready, "terminating": !ready},
                "targetRef": {"kind": "Pod", "name": pod, "uid": format!("uid-{pod}")}})
        })
        .collect();
    json!({"metadata": {"name": "web-1", "namespace": "shop"}, "endpoints": endpoints, "ports": [{"port": 80}]})
}

/// Returns an event about a pod.
fn event(name: &str, pod: &str, reason: &str, container: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "reason": reason, "lastTimestamp": time(0),
        "involvedObject": {"kind": "Pod", "name": pod, "namespace": "shop",
            "fieldPath": format!("spec.containers{{{container}}}")}})
}

/// Deletes the pod, ends its container and removes the pod.
fn end(api: &FakeApi, name: &str, code: i32, ended_after: i64) {
    let gone = deleted(pod(name));
    api.apply(PODS, gone.clone());
    api.apply(SLICES, slice(&[(name, false)]));
    api.apply(PODS, exited(gone, code, ended_after));
    api.delete(PODS, name);
}

fn objects(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
