//! The policies of `prestop policy` in a real API server: golden pods get the engine's result, or
//! are on the list of differences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use prestop::config::Config;
use prestop_core::admission_policy::Difference;
use prestop_core::engine::hook;
use prestop_core::engine::pod::Pod;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::{self, Outcome, template};
use prestop_core::policy::{KubernetesVersion, Policy};
use serde_json::{Value, json};

use prestop_test_support::cases::{self, cases};
use prestop_test_support::command::feed;
use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::helm::{Tools, documents, text};
use prestop_test_support::process::wait_until;

use super::admission::{can_be_created, pod_of};

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
/// Case, number of the pod in it, and the reason why policy and engine differ.
const DIFFERENCES: &str = "tests/control_plane/policy-differences.txt";

/// Returns the documents that `prestop policy` writes.
fn policies(arguments: &[&str]) -> Vec<Value> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_prestop")).arg("policy").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&text(&output.stdout))
}

fn collection(document: &Value) -> String {
    let plural = match document["kind"].as_str().unwrap() {
        "MutatingAdmissionPolicy" => "mutatingadmissionpolicies",
        "MutatingAdmissionPolicyBinding" => "mutatingadmissionpolicybindings",
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding" => "validatingadmissionpolicybindings",
        other => panic!("{other}"),
    };
    format!("{ADMISSION}/{plural}")
}

fn apply(control_plane: &ControlPlane, documents: &[Value]) {
    for document in documents {
        control_plane.create(&collection(document), document);
    }
}

fn delete(control_plane: &ControlPlane, documents: &[Value]) {
    for document in documents.iter().rev() {
        let name = document["metadata"]["name"].as_str().unwrap();
        let path = format!("{}/{name}", collection(document));
        let (status, answer) = control_plane.request("DELETE", &path, None);
        assert_eq!(status, 200, "{answer}");
    }
}

/// Returns the pod as it would be created.
fn dry_run(control_plane: &ControlPlane, namespace: &str, pod: &Value) -> (u16, Value) {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    control_plane.request("POST", &path, Some(pod))
}

/// Returns a pod that gets a hook under every configuration.
fn marker() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "marker", "annotations": {"prestop.dev/delay": "7s"}},
        "spec": {"containers": [{"name": "web", "image": "registry.example/marker:1"}]},
    })
}

/// Waits until the policies are in effect, which takes the API server a moment.
fn wait_for(control_plane: &ControlPlane, is_in_effect: bool) {
    wait_until("the policy's effect", || {
        let (_, pod) = dry_run(control_plane, "enabled", &marker());
        pod["spec"]["containers"][0]["lifecycle"].is_object() == is_in_effect
    });
}

fn create_namespace(control_plane: &ControlPlane, name: &str, metadata: &Value) {
    let mut metadata = metadata.clone();
    metadata["name"] = json!(name);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    control_plane.create("/api/v1/namespaces", &namespace);
}

/// A golden pod with the labels and annotations of its namespace.
struct GoldenPod {
    id: String,
    pod: Value,
    namespace: Value,
}

/// Returns the golden pods that a server of version 1.37 could receive, by the configuration that
/// they need.
fn golden_pods() -> BTreeMap<Option<PathBuf>, Vec<GoldenPod>> {
    let mut pods: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in cases() {
        let kind = if case.join("input.json").exists() { "json" } else { "yaml" };
        let input = case.join(format!("input.{kind}"));
        let config = Some(case.join("config.yaml")).filter(|config| config.exists());
        let arguments = cases::arguments(&case);
        let is_new = arguments.is_some_and(|arguments| arguments[1] == "1.37");
        if case.join("exit").exists() || !is_new {
            continue;
        }
        let documents = cases::documents(&input);
        let namespaces: Vec<_> =
            documents.iter().filter(|document| document["kind"] == "Namespace").collect();
        let group = pods.entry(config).or_default();
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let mut count = 0;
        for document in &documents {
            let workloads = template::workloads(document, &[]).into_iter();
            for workload in workloads.filter(|workload| workload.aside.is_none()) {
                let place = format!("{}{}", workload.pointer, workload.template);
                let Some(template) = document.pointer(&place) else { continue };
                if !can_be_created(template) {
                    continue;
                }
                let owner = workload.owner().map(|owner| owner.kind);
                let of = workload.namespace.unwrap_or("default");
                let namespace =
                    namespaces.iter().find(|namespace| namespace["metadata"]["name"] == of);
                let enabled = json!({"labels": {"prestop.dev/inject": "enabled"}});
                group.push(GoldenPod {
                    id: format!("{name} {count}"),
                    pod: pod_of(template, "golden", owner),
                    namespace: namespace.map_or(enabled, |it| {
                        json!({
                            "labels": it["metadata"]["labels"], "annotations": it["metadata"]["annotations"],
                        })
                    }),
                });
                count += 1;
            }
        }
    }
    pods
}

/// Returns the hooks of all containers and the grace period.
fn outcome(pod: &Value) -> Value {
    let containers = pod["spec"]["containers"].as_array().unwrap().iter();
    let hooks: Vec<_> =
        containers.map(|container| container["lifecycle"]["preStop"].clone()).collect();
    json!({"hooks": hooks, "grace": pod["spec"]["terminationGracePeriodSeconds"]})
}

/// Returns a pod as it is at admission. Without its feature gate, a stop signal is dropped after
/// that.
fn as_at_admission(created: &Value, written: &Value) -> Value {
    let mut pod = created.clone();
    for (index, container) in written["spec"]["containers"].as_array().unwrap().iter().enumerate() {
        let signal = &container["lifecycle"]["stopSignal"];
        if signal.is_string() {
            pod["spec"]["containers"][index]["lifecycle"]["stopSignal"] = signal.clone();
        }
    }
    pod
}

/// Formats an outcome for people.
fn without_scripts(outcome: &Value) -> String {
    let scripts = [(hook::script(), "QUIT"), (hook::drain_script(), "DRAIN")];
    scripts.iter().fold(outcome.to_string(), |text, (script, name)| {
        text.replace(&Value::from(*script).to_string(), name)
    })
}

/// Returns the pod's outcome according to the engine.
fn by_engine(pod: &Value, namespace: &Value, policy: &Policy) -> Value {
    let pairs = |field: &str| -> Vec<(String, String)> {
        let entries = namespace[field].as_object().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
            .collect()
    };
    let (labels, annotations) = (pairs("labels"), pairs("annotations"));
    let settings = NamespaceSettings::read(
        labels.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())),
    );
    let text = pod.to_string();
    let read = Pod::from_json(&text).unwrap();
    let decision = engine::decide(&read, &settings, policy);
    let mut expected = outcome(pod);
    if let Outcome::Injected(injection) = decision.outcome {
        expected["grace"] = json!(injection.grace.after_seconds);
    }
    for container in &decision.containers {
        if let Some(injected) = container.injected() {
            expected["hooks"][container.index] = serde_json::to_value(&injected.hook).unwrap();
        }
    }
    expected
}

fn listed_differences() -> BTreeSet<String> {
    let text = fs::read_to_string(prestop_test_support::root().join(DIFFERENCES)).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut ids = BTreeSet::new();
    for line in lines {
        let (id, code) = line.split_once(": ").expect(line);
        let is_known = Difference::ALL.iter().any(|difference| difference.code() == code);
        assert!(is_known, "{line}: no such difference");
        assert!(ids.insert(id.to_owned()), "{id} is listed twice");
    }
    ids
}

fn engine_policy(config: Option<&Path>) -> Policy {
    let policy = config.map_or_else(Policy::built_in, |config| {
        Config::parse(&fs::read_to_string(config).unwrap()).unwrap().into_policy()
    });
    Policy { kubernetes_version: Some(KubernetesVersion::NEWEST), ..policy }
}

/// Returns the arguments: unknown profile names are refused, and a configuration may have no
/// profile with a quit.
fn arguments(config: Option<&Path>, policy: &Policy) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(config) = config {
        arguments.extend(["--config".to_owned(), config.display().to_string()]);
    }
    let mut profiles = policy.catalogue.profiles().iter();
    if profiles.any(|profile| matches!(profile.hook, prestop_core::catalogue::ProfileHook::Quit(_)))
    {
        arguments.extend(["--profiles".to_owned(), "*".to_owned()]);
    }
    arguments
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn golden_pods_get_what_the_engine_gives_them_or_are_on_the_list() {
    let control_plane = ControlPlane::start();
    control_plane.namespace("enabled", &json!({"prestop.dev/inject": "enabled"}));
    control_plane.namespace("plain", &json!({}));
    let (mut equal, mut namespaces) = (0, 0);
    let (mut differing, mut told) = (BTreeSet::new(), String::new());
    for (config, pods) in golden_pods() {
        let policy = engine_policy(config.as_deref());
        let arguments = arguments(config.as_deref(), &policy);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let documents = policies(&arguments);
        wait_for(&control_plane, false);
        apply(&control_plane, &documents);
        wait_for(&control_plane, true);
        for GoldenPod { id, pod, namespace } in pods {
            let name = format!("golden-{namespaces}");
            namespaces += 1;
            create_namespace(&control_plane, &name, &namespace);
            let (status, plain) = dry_run(&control_plane, "plain", &pod);
            let (status_with_policy, got) = dry_run(&control_plane, &name, &pod);
            assert_eq!(status, status_with_policy, "{id}: {plain} {got}");
            if status != 201 {
                continue;
            }
            let expected = by_engine(&as_at_admission(&plain, &pod), &namespace, &policy);
            if outcome(&got) == expected {
                equal += 1;
            } else {
                let [got, expected] =
                    [outcome(&got), expected].map(|outcome| without_scripts(&outcome));
                writeln!(told, "{id}\n  policy {got}\n  engine {expected}").unwrap();
                differing.insert(id);
            }
        }
        delete(&control_plane, &documents);
    }
    let listed = listed_differences();
    let new: Vec<_> = differing.difference(&listed).collect();
    assert!(new.is_empty(), "{new:#?} are not in {DIFFERENCES}:\n{told}");
    let stale: Vec<_> = listed.difference(&differing).collect();
    assert!(stale.is_empty(), "{stale:#?} are in {DIFFERENCES} and do not differ");
    println!("{equal} pods are equal, {} differ", differing.len());
    assert!(equal >= 200, "only {equal} pods are equal");
}

/// Returns a pod with the slowest expressions: images that many patterns are compared with,
/// settings for each container.
fn large_pod(containers: usize) -> Value {
    let (mut annotations, mut list) = (json!({}), Vec::new());
    for number in 0..containers {
        annotations[format!("delay.prestop.dev/c{number}")] = json!("1m30s");
        annotations[format!("quit-timeout.prestop.dev/c{number}")] = json!("1m30s500ms");
        annotations[format!("shell.prestop.dev/c{number}")] = json!("present");
        // The maximum length of a repository's name.
        let image = format!("registry.example.com/{}/ubi8/nginx-116:1.18-x", "a".repeat(225));
        list.push(json!({"name": format!("c{number}"), "image": image}));
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "large", "annotations": annotations},
        "spec": {"containers": list},
    })
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_pod_of_fifty_containers_keeps_the_limits_of_cel() {
    let control_plane = ControlPlane::start();
    control_plane.namespace("enabled", &json!({"prestop.dev/inject": "Enabled"}));
    apply(&control_plane, &policies(&["--profiles", "*"]));
    wait_for(&control_plane, true);
    let (status, pod) = dry_run(&control_plane, "enabled", &large_pod(50));
    assert_eq!(status, 201, "{pod}");
    let outcome = outcome(&pod);
    assert_eq!(outcome["grace"], 90 + 91);
    for hook in outcome["hooks"].as_array().unwrap() {
        assert_eq!(hook["exec"]["command"][4], "90", "{hook}");
    }
    // Beyond the limits, the policy fails, and the pod is created unchanged.
    let errors = |control_plane: &ControlPlane| {
        let name = "apiserver_mutating_admission_policy_check_total";
        control_plane.metric(name, &["policy=\"prestop.dev\""])
            - control_plane.metric(name, &["policy=\"prestop.dev\"", "no_error"])
    };
    assert_eq!(errors(&control_plane), 0);
    let mut larger = large_pod(2500);
    larger["metadata"] = json!({"name": "larger"});
    let (status, pod) = dry_run(&control_plane, "enabled", &larger);
    assert_eq!(status, 201, "{pod}");
    assert!(errors(&control_plane) > 0 && pod["spec"]["containers"][0].get("lifecycle").is_none());
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_validation_warns_and_refuses_nothing() {
    let control_plane = ControlPlane::start();
    control_plane.namespace("enabled", &json!({"prestop.dev/inject": "enabled"}));
    let tools = Tools::find();
    let documents = policies(&["--validate"]);
    let validation: Vec<_> = documents
        .into_iter()
        .filter(|document| document["kind"].as_str().unwrap().starts_with("Validating"))
        .collect();
    assert_eq!(validation.len(), 2);
    apply(&control_plane, &validation);
    let kubectl = |pod: &Value| {
        let mut command = tools.command("kubectl");
        command
            .args(["create", "--namespace", "enabled", "--dry-run=server", "--filename", "-"])
            .env("KUBECONFIG", control_plane.administrator());
        let output = feed(&mut command, pod.to_string());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    };
    let pod = |image: &str, annotations: &Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": annotations},
            "spec": {"containers": [{"name": "shop", "image": image}]},
        })
    };
    wait_until("the warning", || {
        let told = kubectl(&pod("registry.example/shop:1", &json!({})));
        told.contains("Warning: ") && told.contains("no preStop hook") && told.contains("shop")
    });
    for quiet in [
        pod("registry.k8s.io/pause:3.10", &json!({})),
        pod("registry.example/shop:1", &json!({"prestop.dev/delay": "0s"})),
    ] {
        let told = kubectl(&quiet);
        assert!(!told.contains("Warning"), "{told}");
    }
}
