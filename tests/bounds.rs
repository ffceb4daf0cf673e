//! Pods that are built to cost time or memory: no request takes long, and a pod that is larger than
//! any real one is skipped. The time limits are a thousand times what the engine needs, and a tenth
//! of what a cost that grows with the square of the input would take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prestop_core::admission::{ClusterView, Namespaces, NoFronts, review};
use prestop_core::engine::pod::Pod;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::{Decision, decide};
use prestop_core::policy::{NamespaceRule, Policy};
use serde_json::{Map, Value, json};

/// Time limit for one pod, in a debug build on a busy machine.
const LONG: Duration = Duration::from_secs(10);

struct Everywhere(Arc<NamespaceSettings>);

impl Namespaces for Everywhere {
    fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
        Some(self.0.clone())
    }
}

fn policy() -> Policy {
    Policy { namespaces: NamespaceRule::NotDisabled, ..Policy::built_in() }
}

fn containers(count: usize) -> Vec<Value> {
    (0..count).map(|index| json!({"name": format!("c{index}"), "image": "nginx:1.15"})).collect()
}

fn annotated(annotations: impl IntoIterator<Item = (String, String)>, count: usize) -> Value {
    let annotations: Map<String, Value> =
        annotations.into_iter().map(|(key, value)| (key, value.into())).collect();
    json!({"metadata": {"annotations": annotations}, "spec": {"containers": containers(count)}})
}

/// Returns the reason code of the pod, or `injected`, with the number of problems.
fn decided(pod: &Value, namespace: &NamespaceSettings) -> (String, usize) {
    let text = pod.to_string();
    let began = Instant::now();
    let pod = Pod::from_json(&text).unwrap();
    let policy = policy();
    let decision = decide(&pod, namespace, &policy);
    let took = began.elapsed();
    assert!(took < LONG, "{took:?} for {} bytes", text.len());
    (code(&decision), decision.problems.len())
}

fn code(decision: &Decision<'_>) -> String {
    match decision.outcome {
        prestop_core::engine::Outcome::Injected(_) => "injected".to_owned(),
        prestop_core::engine::Outcome::Skipped(reason) => reason.code().to_owned(),
    }
}

fn outcome(pod: &Value) -> (String, usize) {
    decided(pod, &NamespaceSettings::default())
}

/// Returns the `response` to the creation of a pod.
fn answered(pod: &Value, namespace: NamespaceSettings) -> Value {
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "shop",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod,
        },
    });
    let body = body.to_string();
    let namespaces = Everywhere(Arc::new(namespace));
    let cluster = ClusterView { namespaces: &namespaces, fronts: &NoFronts };
    let began = Instant::now();
    let answer = review(body.as_bytes(), cluster, &policy(), &mut |_| ()).unwrap();
    let took = began.elapsed();
    assert!(took < LONG, "{took:?} for {} bytes", body.len());
    serde_json::from_slice::<Value>(&answer).unwrap()["response"].take()
}

#[test]
fn long_keys_and_values_take_no_time() {
    let long = "a".repeat(100_000);
    for (key, value) in [
        (format!("x.prestop.dev/{long}"), "1".to_owned()),
        (format!("{long}.prestop.dev/web"), "1".to_owned()),
        (format!("prestop.dev/{long}"), "1".to_owned()),
        ("prestop.dev/profile".to_owned(), long.clone()),
        ("profile.prestop.dev/c0".to_owned(), long.clone()),
        ("prestop.dev/delay".to_owned(), long.clone()),
        ("prestop.dev/quit-command".to_owned(), format!("[\"{long}\"]")),
        ("prestop.dev/quit-signal".to_owned(), long.clone()),
        ("prestop.dev/status".to_owned(), long.clone()),
    ] {
        let (code, problems) = outcome(&annotated([(key.clone(), value)], 1));
        assert_eq!(code, "injected", "{key:.40}");
        assert!(problems <= 1, "{key:.40}");
    }
    let mut labelled = annotated([], 1);
    labelled["metadata"]["labels"][format!("prestop.dev/{long}")] = json!("x");
    assert_eq!(outcome(&labelled).0, "injected");
}

#[test]
fn many_keys_for_many_containers_cost_what_they_weigh() {
    let keys = |count: usize| {
        (0..count).map(|index| (format!("delay.prestop.dev/c{index}"), "5s".to_owned()))
    };
    assert_eq!(outcome(&annotated(keys(1000), 1000)), ("injected".to_owned(), 0));
    assert_eq!(outcome(&annotated(keys(1000), 1)), ("injected".to_owned(), 999));
    assert_eq!(outcome(&annotated(keys(1001), 1)), ("too-large".to_owned(), 0));
    assert_eq!(outcome(&annotated(keys(80_000), 1)), ("too-large".to_owned(), 0));
    let unknown =
        (0..1000).map(|index| (format!("profile.prestop.dev/c{index}"), "nginxx".repeat(10)));
    assert_eq!(outcome(&annotated(unknown, 1000)), ("injected".to_owned(), 1000));
    let strangers = (0..1000).map(|index| (format!("prestop.dev/dealy{index}"), String::new()));
    assert_eq!(outcome(&annotated(strangers, 1)), ("injected".to_owned(), 1000));
    let mut labelled = annotated([], 1);
    for index in 0..1001 {
        labelled["metadata"]["labels"][format!("prestop.dev/x{index}")] = json!("x");
    }
    assert_eq!(outcome(&labelled), ("too-large".to_owned(), 0));
}

#[test]
fn the_same_key_many_times_is_one_key() {
    let twice = r#""prestop.dev/delay":"7s","#.repeat(5_000);
    let pod = format!(
        r#"{{"metadata":{{"annotations":{{{twice}"prestop.dev/delay":"8s"}}}},"spec":{{"containers":[{{"name":"a"}}]}}}}"#
    );
    let began = Instant::now();
    let pod = Pod::from_json(&pod).unwrap();
    assert!(began.elapsed() < LONG);
    let (namespace, policy) = (NamespaceSettings::default(), policy());
    let decision = decide(&pod, &namespace, &policy);
    assert_eq!(decision.containers[0].injected().unwrap().hook.delay_seconds(), 8);
}

#[test]
fn a_status_of_a_thousand_containers_is_read_once() {
    let first = answered(&annotated([], 1000), NamespaceSettings::default());
    let patch = first["patch"].as_str().unwrap();
    let patch = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, patch).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut pod = annotated([], 1000);
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(outcome(&pod), ("own-hooks".to_owned(), 0));
    let status: Value = serde_json::from_str(
        pod["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(status["containers"].as_array().unwrap().len(), 1000);
}

#[test]
fn a_status_that_names_no_container_or_one_twice_is_not_believed() {
    let hook = json!({"exec": {"command": ["sleep", "10"]}});
    for (names, is_believed) in
        [(&["a"][..], true), (&[], false), (&["a", "a"], false), (&["b"], false)]
    {
        let recorded: Vec<_> = names
            .iter()
            .map(|name| json!({"name": name, "hook": "exec-sleep", "delay": 10, "delayFrom": "default"}))
            .collect();
        let status =
            json!({"version": 1, "grace": {"before": 5, "after": 40}, "containers": recorded});
        let pod = json!({
            "metadata": {"annotations": {"prestop.dev/status": status.to_string()}},
            "spec": {"terminationGracePeriodSeconds": 40, "containers": [
                {"name": "a", "lifecycle": {"preStop": hook}}, {"name": "new"},
            ]},
        });
        let (_, problems) = outcome(&pod);
        assert_eq!(problems == 0, is_believed, "{names:?}");
    }
}

#[test]
fn long_scripts_of_hooks_are_read_once() {
    for part in [
        "sleep 1;",
        "sleep 1&&",
        "a;",
        "a&&",
        "a||[ x ];",
        "exec sleep 1||:;",
        "if a;then ",
        "command ",
        ">1",
        "2>&1",
        "1",
        "$(",
        "\"$(",
        "${X:-\"",
        "'",
        "\\\n",
        "\n",
        "(",
        "{ ",
    ] {
        for end in ["a", "a &"] {
            let script = part.repeat(300_000 / part.len()) + end;
            let mut pod = annotated([("prestop.dev/own-hook".to_owned(), "extend".to_owned())], 1);
            pod["spec"]["containers"][0]["lifecycle"] =
                json!({"preStop": {"exec": {"command": ["sh", "-c", script]}}});
            assert_ne!(outcome(&pod).0, "too-large", "{part}");
            // The script of the container itself.
            pod["spec"]["containers"][0] =
                json!({"name": "c0", "image": "debian", "command": ["sh", "-c", script]});
            assert_ne!(outcome(&pod).0, "too-large", "{part}");
        }
    }
}

#[test]
fn more_containers_than_any_pod_has_are_not_read() {
    let named = |count: usize| json!({"spec": {"containers": containers(count)}});
    assert_eq!(outcome(&named(1000)).0, "injected");
    assert_eq!(outcome(&named(1001)), ("too-large".to_owned(), 0));
    assert_eq!(outcome(&named(19_000)), ("too-large".to_owned(), 0));
    assert_eq!(
        outcome(&json!({"spec": {"containers": vec![1; 400_000]}})),
        ("too-large".to_owned(), 0)
    );
    // Lists in containers use memory as well.
    let busy: Vec<_> = (0..900)
        .map(|index| json!({"name": format!("c{index}"), "command": vec![""; 1000]}))
        .collect();
    assert_eq!(outcome(&json!({"spec": {"containers": busy}})), ("too-large".to_owned(), 0));
}

#[test]
fn longer_lists_are_not_understood() {
    let hook = |items: usize| {
        let mut command = vec!["sleep".to_owned(), "10".to_owned()];
        command.resize(items, String::new());
        json!({"spec": {"containers": [
            {"name": "a", "lifecycle": {"preStop": {"exec": {"command": command}}}},
            {"name": "b", "command": vec!["x"; 5000]},
        ]}})
    };
    for items in [2, 1024, 1025, 300_000] {
        assert_eq!(outcome(&hook(items)).0, "injected", "{items}");
    }
    let owners = vec![json!({"kind": "Job", "controller": true}); 3000];
    let mut owned = annotated([], 1);
    owned["metadata"]["ownerReferences"] = owners.into();
    assert_eq!(outcome(&owned).0, "injected");
}

#[test]
fn a_namespace_of_many_mistakes_costs_its_pods_little() {
    let keys: Vec<String> = (0..80_000).map(|index| format!("prestop.dev/dealy{index}")).collect();
    let long = "nginx".repeat(50_000);
    let annotations = keys.iter().map(|key| (key.as_str(), "1s"));
    let annotations = annotations.chain([("prestop.dev/profile", long.as_str())]);
    let began = Instant::now();
    let namespace = NamespaceSettings::read([], annotations);
    assert!(began.elapsed() < LONG);
    let began = Instant::now();
    for _ in 0..100 {
        let (code, problems) = decided(&annotated([], 1), &namespace);
        assert_eq!((code.as_str(), problems), ("injected", 33));
    }
    assert!(began.elapsed() < LONG);
}

#[test]
fn a_quit_command_has_a_longest_length() {
    let list = |bytes: usize| format!("[\"x\",\"{}\"]", "y".repeat(bytes - 8));
    let key = || "prestop.dev/quit-command".to_owned();
    assert_eq!(outcome(&annotated([(key(), list(16_384))], 1)), ("injected".to_owned(), 0));
    assert_eq!(outcome(&annotated([(key(), list(16_385))], 1)), ("injected".to_owned(), 1));
}

#[test]
fn a_pod_that_the_patch_would_make_too_large_for_etcd_stays_as_it_is() {
    let filled = |bytes: usize| {
        let mut pod = annotated([], 1);
        pod["spec"]["containers"][0]["env"] = json!([{"name": "x", "value": "y".repeat(bytes)}]);
        answered(&pod, NamespaceSettings::default())
    };
    let fits = filled(1_500_000);
    assert!(fits["patch"].is_string(), "{fits}");
    for bytes in [1_572_400, 3_000_000] {
        let too_large = filled(bytes);
        assert_eq!(too_large["allowed"], true);
        assert_eq!(too_large.get("patch"), None);
        assert_eq!(too_large["auditAnnotations"]["reason"], "too-large");
    }
}

#[test]
fn the_status_lists_a_few_problems() {
    let strangers = (0..50).map(|index| (format!("prestop.dev/stranger-{index}"), String::new()));
    let answer = answered(&annotated(strangers, 1), NamespaceSettings::default());
    let patch = answer["patch"].as_str().unwrap();
    let patch = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, patch).unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    let last = patch.as_array().unwrap().last().unwrap();
    let status: Value = serde_json::from_str(last["value"].as_str().unwrap()).unwrap();
    let problems = status["problems"].as_array().unwrap();
    assert_eq!((problems.len(), problems[20].as_str()), (21, Some("30 more")));
}
