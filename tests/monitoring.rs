//! Alerts and dashboard use only exported series, and each alert fires when it should.

mod scraped;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use prestop::webhook::events::Certificate;
use prestop::webhook::metrics::{ByNamespace, Format, Metrics};
use serde_json::Value;

use prestop_test_support::helm::documents;

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(root(file)).unwrap()
}

fn rules() -> Vec<Value> {
    let alerts = documents(&read("charts/prestop/files/alerts.yaml")).remove(0);
    alerts["groups"][0]["rules"].as_array().unwrap().clone()
}

/// Returns the names of all series, as Prometheus stores them.
fn exported() -> BTreeSet<String> {
    let metrics = Metrics::new(ByNamespace::Counted, ["nginx"].into_iter());
    metrics.certificate_expires(Certificate::Serving, std::time::UNIX_EPOCH);
    let text = metrics.encode(Format::Prometheus);
    let mut names: BTreeSet<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    // This family gets its first series with the first pod.
    names.insert("prestop_namespace_decisions_total".to_owned());
    assert!(names.len() > 20, "{names:?}");
    names
}

fn words(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_word(c)).filter(|word| word.starts_with("prestop_"));
    words.map(str::to_owned).collect()
}

/// Returns the queries of the dashboard's panels. Each panel has to have one.
fn expressions() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&read("charts/prestop/files/dashboard.json")).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        all.extend(targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    all
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let exported = exported();
    let alerts: BTreeSet<_> =
        rules().iter().flat_map(|rule| words(rule["expr"].as_str().unwrap())).collect();
    let shown: BTreeSet<_> =
        expressions().iter().flat_map(|expression| words(expression)).collect();
    for name in alerts.iter().chain(&shown) {
        assert!(exported.contains(name), "{name} is asked for, but not exported");
    }
    // Everything that is exported is on a panel; for a histogram, one series is enough.
    for name in &exported {
        // Every process exports these, and there are common dashboards for them.
        let is_of_process = name.starts_with("process_");
        let is_part = ["_sum", "_count"].iter().any(|end| name.ends_with(end));
        assert!(is_part || is_of_process || shown.contains(name), "{name} is on no panel");
    }
}

#[test]
fn each_alert_has_its_page_and_its_test() {
    let operations = read("docs/operations.md").to_lowercase();
    let tests = read("tests/monitoring/alerts-test.yaml");
    let rules = rules();
    assert!(rules.len() >= 8);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        let runbook = rule["annotations"]["runbook_url"].as_str().unwrap();
        let anchor = format!("docs/operations.md#{}", name.to_lowercase());
        assert!(runbook.ends_with(&anchor), "{name}: {runbook}");
        assert!(operations.contains(&format!("### {}\n", name.to_lowercase())), "{name}");
        assert!(tests.contains(&format!("name: {name} fires")), "{name}");
        assert!(
            ["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap())
        );
    }
}

#[test]
#[ignore = "needs prometheus and promtool; run: just test-tools"]
fn alerts_fire_when_they_should() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["charts/prestop/files/alerts.yaml", "tests/monitoring/alerts-test.yaml"] {
        let name = Path::new(file).file_name().unwrap();
        fs::copy(root(file), folder.path().join(name)).unwrap();
    }
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts-test.yaml"]] {
        let output =
            Command::new("promtool").args(arguments).current_dir(folder.path()).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    }
}
