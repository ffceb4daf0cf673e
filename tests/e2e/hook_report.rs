//! The reports of hooks in termination messages of a real kubelet: with read-only root file
//! systems, any user, and any file. The pods get no requests, so their hooks end at the lower
//! bound.

use serde_json::{Map, Value, json};

use super::cluster::{Cluster, wait_until};
use super::figures::Figures;
use super::installation::{self, is_ready};
use super::traffic::seen::{Ended, Watch};
use super::workloads::{Server, WITH_SHELL};

/// The lower bound of the delay, in seconds.
const DELAY: u64 = 10;
/// Seconds by which a single hook may be late on a machine that is busy with other work.
const SLOW: u64 = 4;
const LONGEST: usize = 512;
const HOLD: &str = "`hold: connections`";
/// Maximum size of a termination message that the kubelet reads, in bytes.
const KUBELET_READS: usize = 4096;

/// Returns the fields of all lines of a hook's report.
pub(crate) fn read(message: &str) -> Value {
    let mut fields = Map::new();
    for line in lines(message) {
        let line: Value = serde_json::from_str(line).unwrap();
        fields.extend(line["prestop"].as_object().unwrap().clone());
    }
    Value::Object(fields)
}

/// Returns the lines of a termination message that the hook wrote.
fn lines(message: &str) -> impl Iterator<Item = &str> {
    message.lines().filter(|line| line.starts_with("{\"prestop\":"))
}

struct Case {
    what: &'static str,
    container: Value,
    /// The hook's reported fields other than its delay, with the value if it is certain. A quit
    /// that ends the application ends the hook with it, so it reports nothing. `None`: there is no
    /// room for a report.
    reported: Option<&'static [(&'static str, Option<u64>)]>,
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn hooks_of_quiet_pods_report_that_they_ended_at_the_lower_bound() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("hook-report");
    let cases = cases();
    let items: Vec<_> =
        cases.iter().enumerate().map(|(number, case)| pod(number, case, &shop.name)).collect();
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
    wait_until("all pods", || {
        let pods = cluster.list(&["pods", "--namespace", &shop.name]);
        pods.len() == cases.len() && pods.iter().all(is_ready)
    });
    let watch = Watch::start(&cluster, &shop.name);
    cluster.kubectl(&["delete", "pods", "--all", "--namespace", &shop.name]);
    let ended = watch.ended();

    let mut figures =
        Figures::new("hook-report", &["container", "the hook's report", "bytes", "ended after"]);
    for (number, case) in cases.iter().enumerate() {
        let pod = ended.iter().find(|pod| pod.pod == name(number)).expect(case.what);
        let report = lines(&pod.message).map(|line| format!("`{line}`")).collect::<Vec<_>>();
        figures.add(&[
            case.what.to_owned(),
            if report.is_empty() { "none".to_owned() } else { report.join(" ") },
            bytes(&pod.message).to_string(),
            format!("{} s", pod.seconds.unwrap()),
        ]);
    }
    figures.save();
    for (number, case) in cases.iter().enumerate() {
        let pod = ended.iter().find(|pod| pod.pod == name(number)).unwrap();
        assert_report(case, pod);
    }
    let mut delays: Vec<_> =
        ended.iter().filter_map(|pod| read(&pod.message)["delay"].as_u64()).collect();
    delays.sort_unstable();
    assert!(delays[delays.len() / 2] <= DELAY + 1, "{delays:?}");
}

fn assert_report(case: &Case, pod: &Ended) {
    let what = case.what;
    assert_eq!(pod.how, "Completed (0)", "{what}");
    assert!(bytes(&pod.message) <= LONGEST, "{what}: {pod:#?}");
    // The kubelet counts whole seconds, on a machine that is busy with other work.
    let seconds = u64::try_from(pod.seconds.unwrap()).unwrap();
    assert!((DELAY - 1..DELAY + 3 * SLOW).contains(&seconds), "{what}: {pod:#?}");
    let mut report = read(&pod.message);
    if let Some(fields) = case.reported {
        let delay = report["delay"].as_u64().expect(what);
        assert!((DELAY..DELAY + SLOW).contains(&delay), "{what}: {pod:#?}");
        assert!(report["last"].is_null() && report["new"].is_u64(), "{what}: {pod:#?}");
        for (field, value) in fields {
            let found = report[field].as_u64().unwrap_or_else(|| panic!("{what}: {pod:#?}"));
            assert!(value.is_none_or(|value| value == found), "{what}: {field}: {pod:#?}");
        }
        let known = ["delay", "last", "new"];
        let fields = report.as_object_mut().unwrap();
        fields.retain(|field, _| !known.contains(&field.as_str()));
    }
    let fields = case.reported.unwrap_or_default();
    assert_eq!(report.as_object().unwrap().len(), fields.len(), "{what}: {pod:#?}");
    assert!(pod.message.len() <= KUBELET_READS, "{what}");
    let own = case.container["args"][1].as_str().is_some_and(|script| script.contains("printf"));
    assert_eq!(own, pod.message.starts_with("000"), "{what}: the application's message is kept");
}

fn bytes(message: &str) -> usize {
    lines(message).map(|line| line.len() + 1).sum()
}

fn name(number: usize) -> String {
    format!("pod-{number}")
}

fn pod(number: usize, case: &Case, namespace: &str) -> Value {
    let mut container = case.container.clone();
    container["name"] = json!("web");
    container["imagePullPolicy"] = json!("IfNotPresent");
    let hold = if case.what == HOLD { "connections" } else { "none" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name(number), "namespace": namespace,
            "annotations": {
                "prestop.dev/delay": format!("{DELAY}s-2m"), "prestop.dev/shell": "present",
                "prestop.dev/hook-report": "termination-message", "prestop.dev/own-hook": "extend",
                "prestop.dev/hold": hold,
            },
        },
        "spec": {"containers": [container]},
    })
}

fn cases() -> Vec<Case> {
    let server = |rest: Value| with(json!({"image": WITH_SHELL}), rest);
    let nginx = |rest: Value| with(json!({"image": Server::Nginx115.image()}), rest);
    let exec = |command: Value| json!({"preStop": {"exec": {"command": command}}});
    let own = |command: Value| nginx(json!({"lifecycle": exec(command)}));
    let writes = |length: usize| {
        let script = format!("printf %0{length}d 0 >/dev/termination-log; exec /workload serve");
        server(json!({"command": ["/bin/sh"], "args": ["-c", script]}))
    };
    let read_only = json!({"readOnlyRootFilesystem": true});
    let nobody = json!({
        "readOnlyRootFilesystem": true, "runAsUser": 65534, "runAsGroup": 65534,
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
    });
    let waited: &[_] = &[("waited", None)];
    let case = |(what, container, reported)| Case { what, container, reported };
    [
        ("read-only root file system", server(json!({"securityContext": read_only})), Some(waited)),
        (
            "the same, user 65534, no capabilities",
            server(json!({"securityContext": nobody})),
            Some(waited),
        ),
        (
            "the same, `terminationMessagePath: /run/last words`",
            server(json!({"securityContext": nobody, "terminationMessagePath": "/run/last words"})),
            Some(waited),
        ),
        ("the application has written 100 bytes", writes(100), Some(waited)),
        ("the application has written 4,090 bytes", writes(4090), None),
        (
            "`sh -c \"exit 3\"` extended",
            server(json!({"lifecycle": exec(json!(["sh", "-c", "exit 3"]))})),
            Some(&[("quit", Some(3)), ("waited", None)]),
        ),
        (HOLD, server(json!({})), Some(&[("left", Some(0)), ("waited", None)])),
        ("nginx with the quit of its profile", nginx(json!({})), Some(&[])),
        ("nginx, `nginx -s quit` extended", own(json!(["nginx", "-s", "quit"])), Some(&[])),
        (
            "nginx, `sh -c \"sleep 3; nginx -s quit\"` extended",
            own(json!(["sh", "-c", "sleep 3; nginx -s quit"])),
            Some(&[]),
        ),
        ("nginx, `sleep 3` extended", own(json!(["sleep", "3"])), Some(&[])),
    ]
    .map(case)
    .into()
}

/// Returns one object with the fields of both.
fn with(mut object: Value, rest: Value) -> Value {
    object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    object
}
