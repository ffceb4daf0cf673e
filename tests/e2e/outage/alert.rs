//! The API server's metrics during an outage, and whether the chart's alert fires.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cluster::Cluster;

const SERIES: &str = "apiserver_admission_webhook_fail_open_count";

/// Returns how often the API server admitted a pod because the webhook did not answer.
pub(crate) fn fail_open_count(cluster: &Cluster) -> f64 {
    let text = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let is_ours =
        |line: &&str| line.starts_with(SERIES) && line.contains("name=\"pods.prestop.dev\"");
    text.lines()
        .filter(is_ours)
        .filter_map(|line| line.rsplit(' ').next())
        .map(|value| value.parse::<f64>().unwrap())
        .sum()
}

/// Whether `PrestopFailsOpen` fires on these samples, one scraped every half minute. Before the
/// first sample there is none: an API server has the series from its first failure on.
pub(crate) fn fires(samples: &[f64]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/prestop/files/alerts.yaml");
    fs::copy(rules, folder.path().join("alerts.yaml")).unwrap();
    let mut values = "_x10".to_owned();
    for sample in samples {
        write!(values, " {sample}").unwrap();
    }
    let repository = env!("CARGO_PKG_REPOSITORY");
    let test = format!(
        "rule_files: [alerts.yaml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - series: '{SERIES}{{name=\"pods.prestop.dev\", type=\"admit\"}}'
        values: '{values}'
      - series: 'prestop_build_info{{version=\"1\"}}'
        values: '1x60'
    alert_rule_test:
      - alertname: PrestopFailsOpen
        eval_time: 5m
      - alertname: PrestopFailsOpen
        eval_time: 11m
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations:
              summary: Pods are created without hooks
              description: >-
                API servers call prestop and get no usable answer; because of failurePolicy Ignore, pods are created without hooks.
              runbook_url: {repository}/blob/main/docs/operations.md#prestopfailsopen
"
    );
    fs::write(folder.path().join("test.yaml"), test).unwrap();
    let output = Command::new("promtool")
        .args(["test", "rules", "test.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    output.status.success()
}
