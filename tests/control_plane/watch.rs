//! `prestop watch` with a real API server, and with only the rights in docs/watch.md. The tests
//! write the status of pods like a kubelet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::full_size::sized;
use prestop_test_support::process::{signal, wait_until};
use prestop_test_support::root;

const PODS: &str = "/api/v1/namespaces/shop/pods";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

/// Returns the rules in docs/watch.md.
fn rules() -> Value {
    let text = fs::read_to_string(root().join("docs/watch.md")).unwrap();
    let (_, yaml) = text.split_once("<!-- begin rights -->\n```yaml\n").unwrap();
    let (yaml, _) = yaml.split_once("```").unwrap();
    let role: Value = serde_saphyr::from_str(yaml).unwrap();
    role["rules"].clone()
}

/// Starts an API server with the namespace, and returns a kubeconfig with the documented rights.
fn shop() -> (ControlPlane, PathBuf) {
    let control_plane = ControlPlane::start();
    control_plane.namespace("shop", &json!({}));
    let kubeconfig = control_plane.kubeconfig("watch", &rules());
    (control_plane, kubeconfig)
}

struct Watch {
    child: Child,
    out: PathBuf,
    _folder: tempfile::TempDir,
}

impl Watch {
    fn start(kubeconfig: &Path, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let file = fs::File::create(&out).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(["watch", "-n", "shop"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdout(Stdio::from(file.try_clone().unwrap()))
            .stderr(Stdio::from(file))
            .spawn()
            .unwrap();
        Self { child, out, _folder: folder }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// Waits for the first line with all of these parts.
    fn wait_for(&self, parts: &[&str]) -> String {
        let mut found = None;
        wait_until(&format!("a line with {parts:?}"), || {
            let text = self.text();
            let mut lines = text.lines();
            found =
                lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned);
            assert!(found.is_some() || !text.contains("error: "), "{text}");
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until the watch reports a pod that is created and deleted.
    fn wait_until_it_watches(&self, control_plane: &ControlPlane) {
        let mut number = 0;
        wait_until("the watch", || {
            number += 1;
            let name = format!("probe-{number}");
            create(control_plane, &name);
            delete(control_plane, &name, 0);
            self.text().contains("shop/probe-")
        });
    }

    fn ended(mut self) -> (i32, String) {
        let mut status = None;
        wait_until("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap().code().unwrap(), self.text())
    }

    fn interrupt(self) -> (i32, String) {
        signal(self.child.id(), "INT");
        self.ended()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Creates a running pod on a node.
fn create(control_plane: &ControlPlane, name: &str) {
    let pod = json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {
        "nodeName": "n1", "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}],
            "lifecycle": {"preStop": {"sleep": {"seconds": 2}}}}]}});
    let (status, answer) = control_plane.request("POST", PODS, Some(&pod));
    assert_eq!(status, 201, "{answer}");
    set_state(control_plane, name, &json!({"running": {"startedAt": null}}));
}

/// Sets the state of the pod's container like a kubelet.
fn set_state(control_plane: &ControlPlane, name: &str, state: &Value) {
    let path = format!("{PODS}/{name}");
    let (_, mut pod) = control_plane.request("GET", &path, None);
    pod["status"]["phase"] = json!("Running");
    pod["status"]["containerStatuses"] = json!([{"name": "web", "state": state, "ready": false,
        "restartCount": 0, "image": "web:1", "imageID": ""}]);
    let (status, answer) = control_plane.request("PUT", &format!("{path}/status"), Some(&pod));
    assert_eq!(status, 200, "{answer}");
}

fn delete(control_plane: &ControlPlane, name: &str, grace_seconds: u32) {
    let path = format!("{PODS}/{name}?gracePeriodSeconds={grace_seconds}");
    assert_eq!(control_plane.request("DELETE", &path, None).0, 200);
}

/// Ends the container this many seconds after the deletion, and removes the pod.
fn end(control_plane: &ControlPlane, name: &str, code: i32, after: i64) {
    let (_, pod) = control_plane.request("GET", &format!("{PODS}/{name}"), None);
    let grace_end = pod["metadata"]["deletionTimestamp"].as_str().unwrap();
    let grace_end: jiff::Timestamp = grace_end.parse().unwrap();
    let finished = jiff::Timestamp::from_second(grace_end.as_second() - 30 + after).unwrap();
    let state = json!({"terminated": {"exitCode": code, "finishedAt": finished.to_string()}});
    set_state(control_plane, name, &state);
    delete(control_plane, name, 0);
}

/// Runs a task for each name, eight at a time: each request has its own connection.
fn for_each(names: &[String], task: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for part in names.chunks(names.len().div_ceil(8)) {
            scope.spawn(|| part.iter().for_each(|name| task(name)));
        }
    });
}

fn slice(control_plane: &ControlPlane, name: &str, pod: &str) {
    let (_, pod) = control_plane.request("GET", &format!("{PODS}/{pod}"), None);
    let slice = json!({"metadata": {"name": name}, "addressType": "IPv4", "ports": [{"port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef":
            {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}}]});
    control_plane.create(SLICES, &slice);
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_rights_of_the_documentation_suffice() {
    let (control_plane, kubeconfig) = shop();
    for name in ["well", "killed", "evicted"] {
        create(&control_plane, name);
    }
    slice(&control_plane, "web-1", "well");
    let watch = Watch::start(&kubeconfig, &[]);
    watch.wait_until_it_watches(&control_plane);
    delete(&control_plane, "well", 30);
    assert_eq!(control_plane.request("DELETE", &format!("{SLICES}/web-1"), None).0, 200);
    end(&control_plane, "well", 0, 3);
    let line = watch.wait_for(&["shop/well web"]);
    assert!(
        line.contains("endpoint withdrawn after") && line.contains("[ended-by-itself]"),
        "{line}"
    );
    delete(&control_plane, "killed", 30);
    end(&control_plane, "killed", 137, 31);
    watch.wait_for(&["shop/killed web", "exited after 31s", "[killed-at-grace-end]"]);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "evicted", "namespace": "shop"}});
    let (status, answer) =
        control_plane.request("POST", &format!("{PODS}/evicted/eviction"), Some(&eviction));
    assert_eq!(status, 201, "{answer}");
    end(&control_plane, "evicted", 0, 4);
    watch.wait_for(&["shop/evicted web: deleted at", "(drain)", "[ended-by-itself]"]);
    let (status, text) = watch.interrupt();
    assert_eq!(status, 1, "{text}");

    // Each right is necessary.
    for (account, resource) in [("no-pods", "pods"), ("no-slices", "endpointslices")] {
        let mut fewer = rules();
        let all = fewer.as_array_mut().unwrap();
        all.retain(|rule| !rule["resources"].as_array().unwrap().contains(&json!(resource)));
        let kubeconfig = control_plane.kubeconfig(account, &fewer);
        let (status, text) = Watch::start(&kubeconfig, &[]).ended();
        assert_eq!(status, 3, "{text}");
        assert!(text.contains("is forbidden"), "{text}");
    }
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_rollout_is_waited_for_with_the_rights_of_the_documentation() {
    let (control_plane, kubeconfig) = shop();
    let template = json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    control_plane.create(
        DEPLOYMENTS,
        &json!({"metadata": {"name": "web"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "web"}}, "template": template}}),
    );
    create(&control_plane, "old");
    let watch = Watch::start(&kubeconfig, &["--until-rolled", "deployment/web"]);
    watch.wait_for(&["waiting: the change to be seen"]);
    delete(&control_plane, "old", 30);
    let path = format!("{DEPLOYMENTS}/web");
    let (_, mut deployment) = control_plane.request("GET", &path, None);
    deployment["status"] = json!({"observedGeneration": deployment["metadata"]["generation"],
        "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
    assert_eq!(control_plane.request("PUT", &format!("{path}/status"), Some(&deployment)).0, 200);
    watch.wait_for(&["waiting: 1 old pods to end"]);
    end(&control_plane, "old", 0, 3);
    let (status, text) = watch.ended();
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("shop/old web") && text.contains("[ended-by-itself]"), "{text}");
}

/// The API server stalls for 20 s, with all its connections.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn an_api_server_that_stands_still_is_a_gap_in_which_nothing_is_missed() {
    let (control_plane, kubeconfig) = shop();
    create(&control_plane, "web-1");
    let watch = Watch::start(&kubeconfig, &[]);
    watch.wait_until_it_watches(&control_plane);
    delete(&control_plane, "web-1", 30);
    signal(control_plane.id(), "STOP");
    thread::sleep(Duration::from_secs(20));
    signal(control_plane.id(), "CONT");
    end(&control_plane, "web-1", 0, 25);
    watch.wait_for(&["shop/web-1 web", "exited after 25s", "[ended-by-itself]"]);
    let gap = watch.wait_for(&["no connection to the API server for", "[gap]"]);
    let seconds: f64 =
        gap.split(" for ").nth(1).unwrap().split('s').next().unwrap().parse().unwrap();
    assert!((10.0..60.0).contains(&seconds), "{gap}");
    assert!(
        gap.contains("nothing was missed") || gap.contains("no pod that ran before is missing"),
        "{gap}"
    );
    assert_eq!(watch.interrupt().0, 0);
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn pods_that_are_deleted_with_one_request_are_all_reported() {
    let (control_plane, kubeconfig) = shop();
    let names: Vec<_> = (0..sized(400, 2_000)).map(|number| format!("web-{number}")).collect();
    for_each(&names, |name| create(&control_plane, name));
    let watch = Watch::start(&kubeconfig, &["-l", "app=web"]);
    watch.wait_until_it_watches(&control_plane);
    let all = format!("{PODS}?labelSelector=app%3Dweb");
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 30});
    assert_eq!(control_plane.request("DELETE", &all, Some(&options)).0, 200);
    for_each(&names, |name| end(&control_plane, name, 0, 3));
    let with = |text: &str, part| text.lines().filter(|line| line.contains(part)).count();
    wait_until("all lines", || with(&watch.text(), "shop/web-") == names.len());
    let (status, text) = watch.interrupt();
    assert_eq!(status, 0, "{text}");
    assert_eq!(with(&text, "exited after 3s with code 0"), names.len(), "{text}");
    assert_eq!(with(&text, "[gap]"), 0, "{text}");
}
