//! Properties of every review: the answer allows the request and has its UID, and its patch is that
//! of the engine and applies. Damaged bytes are refused or answered.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use prestop::webhook::metrics::{ByNamespace, Format, Metrics};
use prestop_core::admission::{
    self, ClusterView, Event, Namespaces, NoFronts, Operation, Unchanged, Verdict,
};
use prestop_core::engine::pod::Pod;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::{Decision, decide};
use prestop_core::policy::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};

use prestop_fuzz::generators::{any_pod, case, config};
use prestop_test_support::wire::{pod, review};

struct One(Arc<NamespaceSettings>);

impl Namespaces for One {
    fn settings(&self, namespace: &str) -> Option<Arc<NamespaceSettings>> {
        (namespace == "shop").then(|| self.0.clone())
    }
}

fn answer(body: &[u8], namespaces: &One, policy: &Policy) -> Option<Value> {
    let cluster = ClusterView { namespaces, fronts: &NoFronts };
    let answer = admission::review(body, cluster, policy, &mut |event| {
        assert!(matches!(event.verdict, Verdict::Decided(_)), "{:?}", event.verdict);
    });
    answer.ok().map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Asserts what the API server checks (`VerifyAdmissionResponse` of k8s.io/apiserver), and that the
/// request is allowed, with short warnings.
fn is_proper(answer: &Value, uid: &Value) {
    assert_eq!(answer["kind"], "AdmissionReview");
    assert!(
        ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]
            .iter()
            .any(|version| answer["apiVersion"] == *version)
    );
    let response = &answer["response"];
    assert_eq!(&response["uid"], uid);
    assert_eq!(response["allowed"], true);
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some());
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().unwrap();
        assert!(warning.len() <= 120 && warning.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    }
}

fn patch(answer: &Value) -> Option<Value> {
    let text = answer["response"]["patch"].as_str()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    Some(serde_json::from_slice(&bytes).unwrap())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_pod_is_allowed_and_its_patch_is_the_engines(case in case(any_pod()), dry_run: bool) {
        let settings = NamespaceSettings::read(
            case.namespace.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())),
            case.namespace.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        );
        let namespaces = One(Arc::new(settings.clone()));
        let mut review = review(&case.pod);
        review["request"]["dryRun"] = json!(dry_run);
        let body = review.to_string();
        let answer = answer(body.as_bytes(), &namespaces, &case.policy).unwrap();
        is_proper(&answer, &review["request"]["uid"]);
        let text = case.pod.to_string();
        let view = Pod::from_json(&text).unwrap();
        let decision = decide(&view, &settings, &case.policy);
        let expected = admission::patch::to_json(&decision, "");
        let expected = expected.map(|patch| serde_json::from_slice::<Value>(&patch).unwrap());
        prop_assert_eq!(patch(&answer), expected.clone());
        if let Some(operations) = expected {
            let mut after = case.pod.clone();
            let operations: json_patch::Patch = serde_json::from_value(operations).unwrap();
            prop_assert!(json_patch::patch(&mut after, &operations).is_ok());
            // Room for the script, its arguments and the status of each container, and for base64.
            let containers = case.pod["spec"]["containers"].as_array().map_or(0, Vec::len);
            prop_assert!(answer.to_string().len() <= 4096 + containers * 4096 + body.len() * 4);
        }
    }

    /// Bytes are changed, removed or inserted, or the end is cut off: an answer still allows the
    /// request, and nothing panics.
    #[test]
    fn damaged_reviews_are_refused_or_allowed(
        pod in any_pod(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut body = review(&pod).to_string().into_bytes();
        for (place, byte, kind) in damages {
            let place = place.index(body.len());
            match kind {
                0 => body[place] = byte,
                1 if body.len() > 1 => { body.remove(place); }
                2 => body.insert(place, byte),
                _ => body.truncate(place.max(1)),
            }
        }
        let namespaces = One(Arc::default());
        let policy = Policy::built_in();
        if let Some(answer) = answer(&body, &namespaces, &policy) {
            let whole: Value = serde_json::from_slice(&body).unwrap_or_default();
            let uid = whole["request"]["uid"].clone();
            // Parts that the reader skips may be invalid JSON, from which `serde_json` gets no UID.
            let uid = if uid.is_string() { uid } else { answer["response"]["uid"].clone() };
            is_proper(&answer, &uid);
        }
        // As a review of a workload: whatever the body is, the request is allowed without a patch.
        if let Ok(answer) = admission::warn(&body, &namespaces, &policy, &mut |_| {}) {
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            is_proper(&answer, &answer["response"]["uid"]);
            prop_assert_eq!(answer["response"].get("patch"), None);
        }
        for why in Unchanged::ALL {
            if let Some(answer) = admission::allow_unchanged(&body, why) {
                let answer: Value = serde_json::from_slice(&answer).unwrap();
                is_proper(&answer, &answer["response"]["uid"]);
                assert_eq!(answer["response"].get("patch"), None);
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Workloads of any pod, with any kind and odd fields, are always allowed, with at most five
    /// short warnings.
    #[test]
    fn workloads_are_always_allowed_with_few_short_warnings(
        pod in any_pod(),
        kind in prop::sample::select(vec!["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout", "Other"]),
        strategy in prop::sample::select(vec![json!(null), json!("Recreate"), json!({"type": "Recreate"}), json!(7)]),
        operation in prop::sample::select(vec!["CREATE", "UPDATE", "DELETE", "CONNECT", ""]),
    ) {
        let group = if kind == "Rollout" { "argoproj.io/v1alpha1" } else { "apps/v1" };
        let mut review = review(&pod);
        review["request"]["operation"] = json!(operation);
        review["request"]["object"] = json!({
            "apiVersion": group, "kind": kind, "metadata": {"name": "web"},
            "spec": {"selector": {}, "strategy": strategy, "template": pod},
        });
        let body = review.to_string();
        let namespaces = One(Arc::default());
        let mut observed = 0;
        let answer = admission::warn(body.as_bytes(), &namespaces, &Policy::built_in(), &mut |_| observed += 1);
        let answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        is_proper(&answer, &review["request"]["uid"]);
        prop_assert_eq!(observed, 1);
        prop_assert_eq!(answer["response"].get("patch"), None);
        let warnings = answer["response"]["warnings"].as_array().cloned().unwrap_or_default();
        prop_assert!(warnings.len() <= 5);
        for warning in warnings {
            let warning = warning.as_str().unwrap();
            prop_assert!(warning.len() <= 120 && warning.is_ascii(), "{}", warning);
        }
    }
}

#[test]
fn a_patch_that_was_held_back_is_counted() {
    let metrics = Metrics::new(ByNamespace::Counted, std::iter::empty());
    let event = |verdict| Event {
        uid: "u",
        operation: Operation::Create,
        namespace: "shop",
        name: "web",
        owner_kind: None,
        is_dry_run: false,
        verdict,
    };
    metrics.answered(&event(Verdict::SelfCheckFailed("odd")), Duration::ZERO);
    let text = pod().to_string();
    let view = Pod::from_json(&text).unwrap();
    let (settings, policy) = (NamespaceSettings::default(), Policy::built_in());
    let decision: Decision<'_> = decide(&view, &settings, &policy);
    metrics.answered(&event(Verdict::Decided(&decision)), Duration::ZERO);
    let all = metrics.encode(Format::Prometheus);
    for line in [
        "prestop_selfcheck_failures_total 1",
        "prestop_admission_requests_total{operation=\"create\",result=\"selfcheck_failed\"} 1",
        "prestop_skipped_pods_total{reason=\"namespace-not-enabled\"} 1",
        "prestop_admission_duration_seconds_count 2",
    ] {
        assert!(all.lines().any(|known| known == line), "{line} in\n{all}");
    }
}
