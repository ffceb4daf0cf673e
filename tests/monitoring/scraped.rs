//! A real Prometheus scrapes a real server, with the labels that the Prometheus operator sets for a
//! `ServiceMonitor`, and answers the dashboard's queries.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::expressions;
use prestop_test_support::process::{Serve, wait_until};
use prestop_test_support::wire::{Connection, body};

/// Relabelling that the operator generates for a `ServiceMonitor`: without `honor_labels`, labels
/// of the target take precedence, and those of the sample become `exported_…`.
const RELABELLING: &str = r#"
    relabel_configs:
      - {action: keep, source_labels: [__meta_kubernetes_endpoint_port_name], regex: metrics}
      - {source_labels: [__meta_kubernetes_endpoint_address_target_kind, __meta_kubernetes_endpoint_address_target_name],
         separator: ;, regex: Pod;(.*), replacement: "${1}", target_label: pod}
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_service_name], target_label: service}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
      - {source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
      - {source_labels: [__meta_kubernetes_service_name], target_label: job, replacement: "${1}"}
      - {target_label: endpoint, replacement: metrics}
    static_configs:
      - labels:
          __meta_kubernetes_namespace: prestop-system
          __meta_kubernetes_service_name: prestop-metrics
          __meta_kubernetes_endpoint_port_name: metrics
          __meta_kubernetes_endpoint_address_target_kind: Pod
          __meta_kubernetes_endpoint_address_target_name: prestop-6f7d-x2x4k
          __meta_kubernetes_pod_name: prestop-6f7d-x2x4k
          __meta_kubernetes_pod_container_name: prestop
"#;

/// A Prometheus process of a test.
struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("prometheus.yaml");
        let text = format!(
            "scrape_configs:\n  - job_name: serviceMonitor/prestop-system/prestop/0\n    \
             scrape_interval: 200ms\n    scrape_timeout: 200ms{RELABELLING}        targets: [\"{target}\"]\n"
        );
        fs::write(&configuration, text).unwrap();
        let mut child = Command::new("prometheus")
            .arg(argument("config.file", &configuration))
            .arg(argument("storage.tsdb.path", &folder.path().join("data")))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            told.push_str(&line);
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            let is_there = line["msg"] == "Listening on";
            is_there.then(|| line["address"].as_str().unwrap().to_owned())
        });
        // Reads the log to the end, so that Prometheus is never blocked by a full pipe.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        Self { child, address: address.expect(&told), _folder: folder }
    }

    /// Returns the result, one series per line; empty if there is none, or if Prometheus is not
    /// ready.
    fn query(&self, expression: &str) -> String {
        let address = format!("http://{}", self.address);
        let output = Command::new("promtool")
            .args(["query", "instant", &address, expression])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn argument(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[test]
#[ignore = "needs prometheus and promtool; run: just test-tools"]
fn labels_survive_the_relabelling_of_the_operator() {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    Connection::open(&serve).post(body()).response();
    let prometheus = Prometheus::start(serve.administration);
    // `increase` needs two samples.
    let samples = "count_over_time(prestop_build_info[1h]) > 1";
    wait_until("two samples", || !prometheus.query(samples).is_empty());
    let series = prometheus.query("prestop_namespace_decisions_total{decision=\"injected\"}");
    for label in [
        "resource_namespace=\"shop\"",
        "namespace=\"prestop-system\"",
        "pod=\"prestop-6f7d-x2x4k\"",
        "job=\"prestop-metrics\"",
    ] {
        assert!(series.contains(label), "{label}: {series}");
    }
    let renamed = prometheus.query("count by (__name__) ({__name__=~\"prestop_.*\"})");
    assert!(renamed.contains("prestop_admission_requests_total"), "{renamed}");
    // No metric of ours has any of the labels that the operator sets.
    for label in ["namespace", "service", "pod", "container", "endpoint", "job", "instance", "node"]
    {
        let renamed = prometheus.query(&format!("{{exported_{label}!=\"\"}}"));
        assert!(renamed.is_empty(), "{label} is taken: {renamed}");
    }
    let mut by_namespace = 0;
    for expression in expressions() {
        let expression = expression.replace("$job", ".*").replace("$__rate_interval", "1m");
        if expression.contains("prestop_namespace_decisions_total") {
            by_namespace += 1;
            let shown = prometheus.query(&expression);
            assert!(shown.contains("resource_namespace=\"shop\""), "{expression}: {shown}");
            assert!(!shown.contains("prestop-system"), "{expression}: {shown}");
        }
    }
    assert_eq!(by_namespace, 1);
}
