//! The metrics: events are counted correctly, and the reference and Prometheus agree with the
//! output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use prestop::cluster::certificates::rotation::Change;
use prestop::cluster::certificates::store::Problem;
use prestop::webhook::events::{Certificate, ConnectionEnd, HandshakeError, Reload, ReloadResult};
use prestop::webhook::metrics::{ByNamespace, Format, Metrics};
use prestop_core::admission::{self, ClusterView, Namespaces, NoFronts, Unchanged};
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy};
use prestop_test_support::command::{feed, stderr};
use serde_json::{Value, json};

struct Unknown;

impl Namespaces for Unknown {
    fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
        None
    }
}

fn metrics() -> Metrics {
    Metrics::new(ByNamespace::Counted, ["nginx"].into_iter())
}

/// Returns a review that creates a pod with these containers.
fn review(containers: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "object": {
                "metadata": {"name": "web"},
                "spec": {"containers": containers},
            },
        }
    })
}

/// Answers a review and counts it, as the server does.
fn answer(review: &Value, metrics: &Metrics) {
    let policy = Policy {
        kubernetes_version: Some(KubernetesVersion::NEWEST),
        namespaces: NamespaceRule::NotDisabled,
        ..Policy::built_in()
    };
    let body = review.to_string();
    let cluster = ClusterView { namespaces: &Unknown, fronts: &NoFronts };
    admission::review(body.as_bytes(), cluster, &policy, &mut |event| {
        metrics.answered(event, Duration::from_micros(60));
    })
    .unwrap();
}

/// Returns the value of each series.
fn values(metrics: &Metrics) -> BTreeMap<String, String> {
    let all = metrics.encode(Format::Prometheus);
    let samples = all.lines().filter(|line| !line.starts_with('#'));
    let mut values = BTreeMap::new();
    for line in samples {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let earlier = values.insert(series.to_owned(), value.to_owned());
        assert_eq!(earlier, None, "{series} is there twice");
    }
    values
}

/// Returns the series that are not zero, without the buckets of the histogram, build information,
/// process metrics and reloads.
fn counted(metrics: &Metrics) -> Vec<String> {
    let is_shown = |(series, value): &(String, String)| {
        !matches!(value.as_str(), "0" | "0.0")
            && !series.contains("_bucket{")
            && !series.contains("build_info")
            && !series.starts_with("process_")
    };
    let values = values(metrics).into_iter().filter(is_shown);
    let shown = values.map(|(series, value)| format!("{series} {value}"));
    shown.filter(|series| !series.starts_with("prestop_last_reload_successful")).collect()
}

#[test]
fn each_review_counts_what_was_decided() {
    let metrics = metrics();
    assert_eq!(counted(&metrics), [""; 0]);
    let own_hook = json!({"preStop": {"sleep": {"seconds": 1}}});
    let mut injected = review(&json!([
        {"name": "web", "image": "nginx:1.27"},
        {"name": "app", "image": "registry.example/app:1"},
        {"name": "own", "image": "registry.example/own:1", "lifecycle": own_hook},
    ]));
    injected["request"]["object"]["metadata"]["annotations"] = json!({"prestop.dev/delay": "soon"});
    answer(&injected, &metrics);
    let mut skipped = review(&json!([{"name": "web", "image": "nginx:1.27"}]));
    skipped["request"]["object"]["metadata"]["labels"] = json!({"prestop.dev/inject": "disabled"});
    answer(&skipped, &metrics);
    let mut update = review(&json!([]));
    update["request"]["operation"] = json!("UPDATE");
    answer(&update, &metrics);
    assert_eq!(
        counted(&metrics),
        [
            "prestop_admission_duration_seconds_count 3",
            "prestop_admission_duration_seconds_sum 0.00018",
            r#"prestop_admission_requests_total{operation="create",result="injected"} 1"#,
            r#"prestop_admission_requests_total{operation="create",result="skipped"} 1"#,
            r#"prestop_admission_requests_total{operation="update",result="skipped"} 1"#,
            r#"prestop_injected_containers_total{form="quit",profile="nginx"} 1"#,
            r#"prestop_injected_containers_total{form="sleep",profile="none"} 1"#,
            r#"prestop_namespace_decisions_total{resource_namespace="shop",decision="injected"} 1"#,
            r#"prestop_namespace_decisions_total{resource_namespace="shop",decision="skipped"} 1"#,
            r#"prestop_problems_total{code="invalid-value"} 1"#,
            r#"prestop_problems_total{code="own-hook-too-short"} 1"#,
            r#"prestop_skipped_containers_total{reason="own-hook"} 1"#,
            r#"prestop_skipped_pods_total{reason="not-a-pod-creation"} 1"#,
            r#"prestop_skipped_pods_total{reason="opted-out"} 1"#,
        ]
    );
    let values = values(&metrics);
    assert_eq!(values[r#"prestop_admission_duration_seconds_bucket{le="0.00005"}"#], "0");
    assert_eq!(values[r#"prestop_admission_duration_seconds_bucket{le="0.0001"}"#], "3");
}

#[test]
fn profiles_of_later_configurations_are_other() {
    let metrics = Metrics::new(ByNamespace::NotCounted, std::iter::empty());
    answer(&review(&json!([{"name": "web", "image": "nginx:1.27"}])), &metrics);
    let values = values(&metrics);
    assert_eq!(values[r#"prestop_injected_containers_total{form="quit",profile="other"}"#], "1");
    assert!(!values.keys().any(|series| series.contains("namespace_decisions")));
}

#[test]
fn pods_without_evaluation_are_counted_by_reason() {
    let metrics = metrics();
    metrics.unchanged(Unchanged::Overloaded, Duration::ZERO);
    metrics.unchanged(Unchanged::Deadline, Duration::ZERO);
    metrics.unchanged(Unchanged::Panic, Duration::ZERO);
    assert_eq!(
        counted(&metrics),
        [
            "prestop_admission_duration_seconds_count 3",
            r#"prestop_admission_requests_total{operation="unknown",result="deadline"} 1"#,
            r#"prestop_admission_requests_total{operation="unknown",result="overloaded"} 1"#,
            r#"prestop_admission_requests_total{operation="unknown",result="panic"} 1"#,
            "prestop_panics_total 1",
            "prestop_shed_total 2",
        ]
    );
}

#[test]
fn connections_requests_and_refusals_are_counted() {
    let metrics = metrics();
    metrics.connection_opened();
    metrics.connection_opened();
    metrics.connection_closed(ConnectionEnd::Evicted);
    metrics.handshake_failed(HandshakeError::NotTls);
    metrics.refused(404);
    metrics.refused(418);
    metrics.certificate_expires(Certificate::Serving, UNIX_EPOCH + Duration::from_secs(7));
    let in_flight = metrics.request_begins();
    assert_eq!(
        counted(&metrics),
        [
            "prestop_admission_in_flight 1",
            r#"prestop_certificate_expiry_timestamp_seconds{certificate="serving"} 7"#,
            "prestop_connections 1",
            r#"prestop_connections_closed_total{reason="evicted"} 1"#,
            r#"prestop_refused_requests_total{status="404"} 1"#,
            r#"prestop_refused_requests_total{status="other"} 1"#,
            r#"prestop_tls_handshake_errors_total{reason="not_tls"} 1"#,
        ]
    );
    drop(in_flight);
    assert_eq!(values(&metrics)["prestop_admission_in_flight"], "0");
}

#[test]
fn a_file_that_is_not_used_shows_until_it_is_repaired() {
    let metrics = metrics();
    let is_in_use =
        || values(&metrics)[r#"prestop_last_reload_successful{what="configuration"}"#].clone();
    assert_eq!(is_in_use(), "1");
    metrics.reloaded(Reload::Configuration, ReloadResult::Failed);
    metrics.reloaded(Reload::Certificate, ReloadResult::Changed);
    assert_eq!(is_in_use(), "0");
    metrics.reloaded(Reload::Configuration, ReloadResult::Changed);
    assert_eq!(is_in_use(), "1");
    let counted = counted(&metrics);
    for series in [
        r#"prestop_reloads_total{what="certificate",result="changed"} 1"#,
        r#"prestop_reloads_total{what="configuration",result="changed"} 1"#,
        r#"prestop_reloads_total{what="configuration",result="failed"} 1"#,
    ] {
        assert!(counted.iter().any(|known| known == series), "{series}");
    }
}

#[test]
fn names_that_no_namespace_has_are_not_labels() {
    let metrics = metrics();
    let mut review = review(&json!([{"name": "web", "image": "registry.example/web:1"}]));
    let long = "n".repeat(64);
    let hostile =
        ["", "other", "\"} 1\n", "# EOF\n", "a\\", "\u{0}", "\u{1f980}", "Shop", "a.b", &long];
    for name in hostile {
        review["request"]["namespace"] = json!(name);
        answer(&review, &metrics);
    }
    review["request"]["namespace"] = json!(&long[1..]);
    answer(&review, &metrics);
    let values = values(&metrics);
    let namespaces: BTreeSet<_> = values
        .keys()
        .filter_map(|series| {
            series.strip_prefix("prestop_namespace_decisions_total{resource_namespace=\"")
        })
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(namespaces, BTreeSet::from(["other", &long[1..]]));
    let other =
        r#"prestop_namespace_decisions_total{resource_namespace="other",decision="injected"}"#;
    assert_eq!(values[other], "10");
}

#[test]
fn namespaces_are_bounded_also_when_they_come_at_once() {
    let metrics = metrics();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let metrics = &metrics;
            scope.spawn(move || {
                let mut review =
                    review(&json!([{"name": "web", "image": "registry.example/web:1"}]));
                for index in 0..500 {
                    review["request"]["namespace"] = json!(format!("n{}", thread * 250 + index));
                    answer(&review, metrics);
                    if index % 100 == 0 {
                        assert!(metrics.encode(Format::OpenMetrics).ends_with("# EOF\n"));
                    }
                }
            });
        }
    });
    let values = values(&metrics);
    let decisions: Vec<_> = values
        .iter()
        .filter(|(series, _)| series.starts_with("prestop_namespace_decisions_total{"))
        .collect();
    assert_eq!(decisions.len(), 2 * 1_001);
    let total: u32 = decisions.iter().map(|(_, value)| value.parse::<u32>().unwrap()).sum();
    assert_eq!(total, 2_000);
}

/// Returns metrics in which each family has at least one series.
fn with_every_family() -> Metrics {
    let metrics = metrics();
    for which in Certificate::ALL {
        metrics.certificate_expires(which, UNIX_EPOCH + Duration::from_secs(1));
    }
    answer(&review(&json!([{"name": "web", "image": "nginx:1.27"}])), &metrics);
    metrics
}

/// Returns name, type and labels of each family.
fn exported() -> BTreeMap<String, (String, String)> {
    let mut families = BTreeMap::new();
    for line in with_every_family().encode(Format::Prometheus).lines() {
        if let Some(metric) = line.strip_prefix("# TYPE ") {
            let (name, kind) = metric.split_once(' ').unwrap();
            families.insert(name.to_owned(), (kind.to_owned(), String::new()));
        } else if let Some((series, labels)) = line.split_once('{') {
            let labels: Vec<_> = labels
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

fn reference() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap()
}

/// The names are those that dashboards for any program use.
#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured_when_it_is_asked_for() {
    let metrics = metrics();
    let read = |name: &str| values(&metrics)[name].parse::<f64>().unwrap();
    let before = read("process_open_fds");
    let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
    // Other tests of this process open and close files too.
    assert!(read("process_open_fds") > before + 10.0);
    drop(files);
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - read("process_start_time_seconds");
    assert!((-2.0..86_400.0).contains(&age), "{age} s old");
    assert!(read("process_resident_memory_bytes") > 1_000_000.0);
    assert!(read("process_virtual_memory_bytes") > read("process_resident_memory_bytes"));
    assert!(read("process_max_fds") >= before);
    assert!(read("process_threads") >= 1.0 && read("process_cpu_seconds_total") >= 0.0);
    let text = metrics.encode(Format::OpenMetrics);
    assert!(text.contains("# TYPE process_cpu_seconds counter\n"), "{text}");
}

#[test]
fn the_reference_lists_what_is_exported() {
    let mut listed = BTreeMap::new();
    for row in reference().lines().filter(|line| line.starts_with("| `pr")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let kind_and_labels = (cells[2].to_owned(), cells[3].to_owned());
        listed.insert(cells[1].trim_matches('`').to_owned(), kind_and_labels);
    }
    assert_eq!(listed, exported());
}

#[test]
fn the_reference_names_each_value_of_its_labels() {
    let page = reference();
    let names = [
        &ConnectionEnd::ALL.map(ConnectionEnd::name)[..],
        &HandshakeError::ALL.map(HandshakeError::name),
        &Certificate::ALL.map(Certificate::name),
        &Reload::ALL.map(Reload::name),
        &ReloadResult::ALL.map(ReloadResult::name),
        &Unchanged::ALL.map(Unchanged::code),
        &Change::ALL.map(Change::name),
        &Problem::ALL.map(Problem::name),
    ]
    .concat();
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

/// Runs promtool and returns its messages.
fn promtool(arguments: &[&str], input: &str) -> String {
    let output = feed(Command::new("promtool").args(arguments), input);
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    told
}

#[test]
#[ignore = "needs promtool; run: just test-tools"]
fn promtool_has_nothing_to_say_to_the_metrics() {
    let text = with_every_family().encode(Format::Prometheus);
    assert_eq!(promtool(&["check", "metrics"], &text), "");
}

#[test]
fn scrapers_get_the_format_that_they_ask_for() {
    assert_eq!(Format::accepted(None), Format::Prometheus);
    assert_eq!(Format::accepted(Some("text/plain")), Format::Prometheus);
    let prometheus = "application/openmetrics-text;version=1.0;q=0.5,text/plain;q=0.2";
    assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
    let metrics = Metrics::new(ByNamespace::NotCounted, std::iter::empty());
    let open_metrics = metrics.encode(Format::OpenMetrics);
    assert!(open_metrics.ends_with("# EOF\n"));
    assert!(open_metrics.contains("\n# TYPE prestop_shed counter\n"));
    let text = metrics.encode(Format::Prometheus);
    assert!(!text.contains("# EOF"));
    assert!(text.contains("\n# TYPE prestop_shed_total counter\n"));
    let samples = |text: &str| -> Vec<String> {
        // Those of the process change in the meantime.
        let is_kept = |line: &&str| !line.starts_with('#') && !line.starts_with("process_");
        text.lines().filter(is_kept).map(str::to_owned).collect()
    };
    assert_eq!(samples(&open_metrics), samples(&text));
}
