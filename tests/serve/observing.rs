//! Log lines and metrics.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use prestop::version::Version;
use serde_json::{Value, json};
use tempfile::TempDir;

use prestop_test_support::process::{PATIENCE, Serve, wait_until};
use prestop_test_support::wire::{Connection, body, head, pod, review};

#[test]
fn each_changed_pod_has_one_line() {
    let mut serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let mut pod = pod();
    pod["metadata"] = json!({
        "generateName": "web-\u{1b}[31m\n",
        "ownerReferences": [{"kind": "ReplicaSet", "controller": true}],
        "annotations": {"prestop.dev/delay": "soon"},
    });
    pod["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": "secret"}]);
    let mut review = review(&pod);
    review["request"].as_object_mut().unwrap().shift_remove("name");
    Connection::open(&serve).post(review.to_string()).response();
    let line = serve.wait_for_line("pod");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["pod"], "shop/web-\\u{1b}[31m\\n");
    assert_eq!(line["owner"], "ReplicaSet");
    assert_eq!(line["decision"], "injected");
    assert_eq!(line["containers"], "web sleep 10s");
    assert_eq!(
        (&line["grace_before_seconds"], &line["grace_after_seconds"]),
        (&json!(30), &json!(40))
    );
    assert!(line["problems"].as_str().unwrap().contains("pod annotation prestop.dev/delay"));
    assert!(line["duration_microseconds"].is_u64());
    assert!(!serve.log().contains("secret") && !serve.log().contains("PASSWORD"));
}

/// The warnings: a workload is always allowed, and has its own log line and counters.
#[test]
fn each_workload_with_warnings_has_one_line() {
    let mut serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let mut connection = Connection::open(&serve);
    let mut post = |object: &Value| {
        let mut review = review(&pod());
        review["request"]["name"] = json!("web");
        review["request"]["object"] = object.clone();
        let body = review.to_string();
        connection.send(head("/warn", body.len()) + &body).unwrap();
        connection.answer().unwrap().response()
    };
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"selector": {}, "strategy": {"type": "Recreate"}, "template": pod()},
    });
    deployment["spec"]["template"]["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 80}]);
    let warned = post(&deployment);
    let warnings = warned["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|it| it.as_str().unwrap().starts_with("prestop: recreate: ")));
    assert_eq!(warned["auditAnnotations"]["decision"], "warned");
    for quiet in [json!({"kind": "Shop"}), json!([1]), Value::Null, pod()] {
        assert_eq!(post(&quiet)["auditAnnotations"]["decision"], "quiet", "{quiet}");
    }
    let line = serve.wait_for_line("workload");
    assert_eq!(
        (&line["level"], &line["workload"]),
        (&json!("INFO"), &json!("Deployment shop/web"))
    );
    assert!(line["warnings"].as_str().unwrap().contains("recreate"), "{line}");
    assert_eq!(serve.metric("prestop_workload_reviews_total{result=\"warned\"}"), 1);
    assert_eq!(serve.metric("prestop_workload_reviews_total{result=\"quiet\"}"), 4);
    assert_eq!(serve.metric("prestop_warnings_total{rule=\"recreate\"}"), 1);
}

#[test]
fn no_request_waits_for_the_reader_of_the_log() {
    let mut serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let unread = serve.stop_reading();
    let mut connection = Connection::open(&serve);
    let mut sent = 0;
    // A pipe of any size is full at some point.
    while serve.metric("prestop_log_lines_dropped_total") == 0 {
        for _ in 0..200 {
            assert_eq!(connection.post(body()).response()["allowed"], true);
            sent += 1;
        }
        assert!(sent < 100_000, "no line was dropped");
    }
    drop(unread);
    let told = serve.wait_for_line("log lines were dropped because they were not read in time");
    assert_eq!(told["level"], "WARN");
    let dropped = serve.metric("prestop_log_lines_dropped_total");
    assert_eq!(told["lines"], dropped);
    let whole = serve.log().lines().filter(|line| line.contains("injected")).count();
    assert_eq!(u64::try_from(whole).unwrap(), sent - dropped);
    serve.signal("INT");
    assert!(serve.ended().success());
    serve.wait_for_line("ended");
}

#[test]
fn what_is_skipped_is_silent_unless_asked_for() {
    let serve = Serve::configured("log: {level: info, format: json}\n");
    let mut connection = Connection::open(&serve);
    let mut skipped = pod();
    skipped["metadata"]["labels"] = json!({"prestop.dev/inject": "disabled"});
    connection.post(review(&skipped).to_string());
    connection.post(body());
    wait_until("the second pod's line", || serve.log().contains("injected"));
    assert!(!serve.log().contains("opted-out"), "{}", serve.log());
    let chatty = Serve::configured("log: {level: debug, format: text}\n");
    assert!(chatty.log().contains(" INFO serving address=127.0.0.1:"), "{}", chatty.log());
}

#[test]
fn requests_are_counted() {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let mut connection = Connection::open(&serve);
    let mut odd = pod();
    odd["metadata"]["annotations"] = json!({"prestop.dev/delay": "soon"});
    odd["spec"]["containers"] = json!([
        {"name": "web", "image": "nginx:1.15"},
        {"name": "own", "image": "x", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
    ]);
    connection.post(review(&odd).to_string()).response();
    let mut update = review(&pod());
    update["request"]["operation"] = json!("UPDATE");
    connection.post(update.to_string()).response();
    for (series, value) in [
        ("prestop_admission_requests_total{operation=\"create\",result=\"injected\"}", 1),
        ("prestop_admission_requests_total{operation=\"update\",result=\"skipped\"}", 1),
        ("prestop_admission_duration_seconds_count", 2),
        ("prestop_injected_containers_total{form=\"quit\",profile=\"nginx\"}", 1),
        ("prestop_skipped_containers_total{reason=\"own-hook\"}", 1),
        ("prestop_skipped_pods_total{reason=\"not-a-pod-creation\"}", 1),
        ("prestop_problems_total{code=\"invalid-value\"}", 1),
        ("prestop_namespace_decisions_total{resource_namespace=\"shop\",decision=\"injected\"}", 1),
        ("prestop_connections", 1),
        ("prestop_admission_in_flight", 0),
        ("prestop_selfcheck_failures_total", 0),
    ] {
        assert_eq!(serve.metric(series), value, "{series}");
    }
    let silent = Serve::configured("metrics: {byNamespace: false}\n");
    Connection::open(&silent).post(body()).response();
    assert!(!silent.get("/metrics").1.contains("prestop_namespace_decisions"));
}

#[test]
fn namespaces_are_bounded() {
    let serve = Serve::start(&[]);
    let mut connection = Connection::open(&serve);
    for index in 0..1_010 {
        let mut review = review(&pod());
        review["request"]["namespace"] = json!(format!("n{index}"));
        connection.post(review.to_string());
    }
    let (_, all) = serve.get("/metrics");
    assert_eq!(all.matches("prestop_namespace_decisions_total{").count(), 2 * 1_001);
    assert_eq!(
        serve.metric(
            "prestop_namespace_decisions_total{resource_namespace=\"other\",decision=\"injected\"}"
        ),
        10
    );
}

/// If namespaces are known, clients can't invent others.
#[test]
fn only_known_namespaces_are_counted_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    fs::write(folder.path().join("namespaces.yaml"), file).unwrap();
    let serve = Serve::start_in(folder, &["--namespaces-file", "{folder}/namespaces.yaml"]);
    let mut connection = Connection::open(&serve);
    for namespace in ["shop", "made-up-1", "made-up-2"] {
        let mut review = review(&pod());
        review["request"]["namespace"] = json!(namespace);
        connection.post(review.to_string()).response();
    }
    let (_, all) = serve.get("/metrics");
    assert!(!all.contains("made-up"));
    for (namespace, count) in [("shop", 1), ("other", 2)] {
        let labels = format!("resource_namespace=\"{namespace}\",decision=\"injected\"");
        assert_eq!(serve.metric(&format!("prestop_namespace_decisions_total{{{labels}}}")), count);
    }
}

/// A Prometheus server on a free port of this machine, with one target.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scrape = json!({"job_name": "prestop", "scrape_interval": "1s",
            "static_configs": [{"targets": [target.to_string()]}]});
        // JSON is valid YAML.
        let configuration = json!({"scrape_configs": [scrape]});
        fs::write(folder.path().join("prometheus.yml"), configuration.to_string()).unwrap();
        let (process, address) = Self::spawn(folder.path());
        let mut prometheus = Self { process, address, folder };
        wait_until("Prometheus", || {
            // Prometheus does not report the port it chose, and another test may have taken this
            // one.
            if prometheus.process.try_wait().unwrap().is_some() {
                (prometheus.process, prometheus.address) = Self::spawn(prometheus.folder.path());
            }
            prometheus.get("/api/v1/status/buildinfo").is_some()
        });
        prometheus
    }

    fn spawn(folder: &Path) -> (Child, SocketAddr) {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (process, address)
    }

    /// Returns the response of Prometheus; `None` while it does not answer.
    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Prometheus requests `OpenMetrics`; the tests in `metrics` check the other format with
/// `promtool`.
#[test]
#[ignore = "needs prometheus; run: just test-tools"]
fn prometheus_scrapes_the_server() {
    let serve = Serve::start(&[]);
    Connection::open(&serve).post(body()).response();
    let prometheus = Prometheus::start(serve.administration);
    let query =
        "/api/v1/query?query=prestop_admission_requests_total%7Bresult%3D%22injected%22%7D%3E0";
    let mut result = Value::Null;
    wait_until("a scrape", || {
        result = prometheus.get(query).map_or(Value::Null, |mut all| all["data"]["result"].take());
        result.as_array().is_some_and(|series| !series.is_empty())
    });
    assert_eq!(result[0]["metric"]["operation"], "create");
    assert_eq!(result[0]["value"][1], "1");
    let targets = prometheus.get("/api/v1/targets").unwrap();
    assert_eq!(targets["data"]["activeTargets"][0]["lastError"], "");
    let known = prometheus.get("/api/v1/metadata?metric=prestop_shed").unwrap();
    assert_eq!(known["data"]["prestop_shed"][0]["type"], "counter", "not read as OpenMetrics");
}

#[test]
fn readiness_names_each_check() {
    let serve = Serve::start(&[]);
    assert_eq!(serve.get("/readyz"), (200, "ok\n".to_owned()));
    let verbose = "[+]certificate ok\n[+]shutdown ok\nreadyz check passed\n";
    assert_eq!(serve.get("/readyz?verbose"), (200, verbose.to_owned()));
    assert_eq!(serve.get("/livez"), (200, "ok\n".to_owned()));
    let (status, version) = serve.get("/version");
    let version: Version = serde_json::from_str(&version).unwrap();
    assert_eq!((status, &version), (200, Version::this()));
    assert_eq!(version.version, env!("CARGO_PKG_VERSION"));
}
