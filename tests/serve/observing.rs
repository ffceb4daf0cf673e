//! Log lines and metrics.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use prestop::metrics::{ByNamespace, Format, Metrics};
use serde_json::json;

use super::process::Serve;
use super::wire::{Connection, body, pod, review};

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

#[test]
fn what_is_skipped_is_silent_unless_asked_for() {
    let serve = Serve::configured("log: {level: info, format: json}\n");
    let mut connection = Connection::open(&serve);
    let mut skipped = pod();
    skipped["metadata"]["labels"] = json!({"prestop.dev/inject": "disabled"});
    connection.post(review(&skipped).to_string());
    connection.post(body());
    super::process::wait_until("the second pod's line", || serve.log().contains("injected"));
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
        ("prestop_namespace_decisions_total{namespace=\"shop\",decision=\"injected\"}", 1),
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
        serve
            .metric("prestop_namespace_decisions_total{namespace=\"other\",decision=\"injected\"}"),
        10
    );
}

/// Name, type and labels of each family.
fn exported() -> BTreeMap<String, (String, String)> {
    let metrics = Metrics::new(ByNamespace::Counted, std::iter::empty());
    let mut families = BTreeMap::new();
    let all = metrics.encode(Format::Prometheus);
    for line in all.lines() {
        if let Some(metric) = line.strip_prefix("# TYPE ") {
            let (name, kind) = metric.split_once(' ').unwrap();
            families.insert(name.to_owned(), (kind.to_owned(), String::new()));
        } else if let Some((series, _)) = line.split_once('{') {
            let labels: Vec<_> = line[series.len() + 1..]
                .split('}')
                .next()
                .unwrap()
                .split(',')
                .map(|label| label.split('=').next().unwrap())
                .filter(|label| *label != "le")
                .map(|label| format!("`{label}`"))
                .collect();
            let name = series.trim_end_matches("_bucket");
            families.get_mut(name).unwrap().1 = labels.join(", ");
        }
    }
    families
}

#[test]
fn the_reference_lists_what_is_exported() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let mut listed = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `prestop_")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        listed.insert(
            cells[1].trim_matches('`').to_owned(),
            (cells[2].to_owned(), cells[3].to_owned()),
        );
    }
    let mut exported = exported();
    // These have no series before something is known.
    for (name, kind, labels) in [
        ("prestop_namespace_decisions_total", "counter", "`namespace`, `decision`"),
        ("prestop_certificate_expiry_timestamp_seconds", "gauge", "`certificate`"),
    ] {
        exported.insert(name.to_owned(), (kind.to_owned(), labels.to_owned()));
    }
    assert_eq!(listed, exported);
}

#[test]
fn prometheus_accepts_both_formats() {
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(std::env::var_os("PRESTOP_REQUIRE_TOOLS").is_none(), "promtool is missing");
        println!("skipped: promtool is not installed");
        return;
    }
    let metrics = Metrics::new(ByNamespace::Counted, ["nginx"].into_iter());
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = metrics.encode(Format::Prometheus);
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn scrapers_get_the_format_that_they_ask_for() {
    assert_eq!(Format::accepted(None), Format::Prometheus);
    assert_eq!(Format::accepted(Some("text/plain")), Format::Prometheus);
    let prometheus = "application/openmetrics-text;version=1.0;q=0.5,text/plain;q=0.2";
    assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
    let metrics = Metrics::new(ByNamespace::NotCounted, std::iter::empty());
    assert!(metrics.encode(Format::OpenMetrics).ends_with("# EOF\n"));
    assert!(!metrics.encode(Format::Prometheus).contains("# EOF"));
}

#[test]
fn readiness_names_each_check() {
    let serve = Serve::start(&[]);
    assert_eq!(serve.get("/readyz"), (200, "ok\n".to_owned()));
    let verbose = "[+]certificate ok\n[+]shutdown ok\nreadyz check passed\n";
    assert_eq!(serve.get("/readyz?verbose"), (200, verbose.to_owned()));
    assert_eq!(serve.get("/livez"), (200, "ok\n".to_owned()));
    let (status, version) = serve.get("/version");
    assert_eq!(
        (status, version.trim()),
        (200, concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}"))
    );
}
