//! Admission reviews: whatever the body is, an answer allows the review with its uid; its patch
//! applies and changes only what prestop may change; no grace period is lowered; hooks of authors
//! are treated as requested; and a second pass gives no patch.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use prestop_core::admission::{
    ClusterView, Fronts, Namespaces, Unchanged, Verdict, allow_unchanged, review, warn,
};
use prestop_core::duration::{AskedDelay, Delay};
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::fronts::{FrontDelay, FrontTable, PodShape};
use prestop_core::policy::{NamespaceRule, OwnHookRule, Policy};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::generators::{Case, Namespace, any_pod, case};
use crate::has_unique_names;
use crate::structured::{Generator, edit, generated};

const STATUS: &str = "/metadata/annotations/prestop.dev~1status";
/// Grace period of a pod that sets none.
const DEFAULT_GRACE_SECONDS: i64 = 30;

thread_local! {
    static CASE: Generator<Case> = case(any_pod()).boxed();
    static POLICIES: [Policy; 4] = policies();
}

/// Surroundings in which every namespace has the same settings, and every pod the same front.
struct Around {
    namespace: Arc<NamespaceSettings>,
    front: Option<FrontDelay>,
}

impl Namespaces for Around {
    fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
        Some(self.namespace.clone())
    }
}

impl Fronts for Around {
    fn of(&self, _: &PodShape) -> Option<FrontDelay> {
        self.front.clone()
    }
}

fn policies() -> [Policy; 4] {
    let all = || Policy { namespaces: NamespaceRule::NotDisabled, ..Policy::built_in() };
    [
        all(),
        Policy { default_own_hook: OwnHookRule::Extend, ..all() },
        Policy { default_delay: AskedDelay::Auto, ..all() },
        Policy { maximum_grace_period_seconds: 40, maximum_delay_seconds: 30, ..all() },
    ]
}

/// The first byte selects the kind of input: the other bytes are a body, or the choices for a pod,
/// a namespace and a policy.
pub fn target(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let front = (first & 2 != 0).then(|| FrontDelay {
        delay: Delay::between(i64::from(first >> 4), 70),
        kind: &FrontTable::built_in().kinds()[0],
        path: Vec::new(),
    });
    if first & 1 == 0 {
        let namespace = Namespace::default();
        let around = Around { namespace: Arc::new(namespace.settings()), front };
        let index = usize::from(first >> 2) % 4;
        POLICIES.with(|policies| holds(rest, &namespace, &around, &policies[index]));
    } else if let Some((Case { mut pod, namespace, policy }, mut choices)) = generated(&CASE, rest)
    {
        edit(&mut pod, &mut choices);
        let around = Around { namespace: Arc::new(namespace.settings()), front };
        holds(review_of(&pod).to_string().as_bytes(), &namespace, &around, &policy);
    }
}

fn review_of(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": "shop",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod,
        },
    })
}

/// Checks every promise for one body.
fn holds(body: &[u8], namespace: &Namespace, around: &Around, policy: &Policy) {
    let sent: Option<Value> = serde_json::from_slice(body).ok();
    let uid = sent.as_ref().and_then(|sent| sent.pointer("/request/uid")?.as_str());
    let in_part = allow_unchanged(body, Unchanged::Deadline);
    if let (Some(uid), Some(answer)) = (uid, in_part) {
        assert_eq!(allowed(&answer, uid).get("patch"), None);
    }
    let warned = warn(body, around, policy, &mut |_| {});
    assert_eq!(warned.is_ok(), uid.is_some_and(|uid| !uid.is_empty()), "{:?}", warned.err());
    if let (Some(uid), Ok(warned)) = (uid, warned) {
        assert_eq!(allowed(&warned, uid).get("patch"), None);
    }
    let answer = answer(body, around, policy);
    assert_eq!(answer.is_some(), uid.is_some_and(|uid| !uid.is_empty()));
    let (Some(answer), Some(mut sent)) = (answer, sent) else { return };
    let uid = sent["request"]["uid"].as_str().unwrap_or_default();
    let Some(patch) = patch_of(&allowed(&answer, uid)) else { return };

    let before = sent["request"]["object"].clone();
    let mut after = before.clone();
    json_patch::patch(&mut after, &patch).expect("the patch applies");
    is_confined(&before, &after);
    hooks_are_as_asked_for(&before, &after, namespace, policy);
    if !has_unique_names(&after) {
        return;
    }
    sent["request"]["object"] = after;
    let again = self::answer(sent.to_string().as_bytes(), around, policy).unwrap();
    let uid = sent["request"]["uid"].as_str().unwrap_or_default();
    assert_eq!(patch_of(&allowed(&again, uid)), None, "a second pass");
}

/// Returns the answer, if the body gets one, and checks that no patch was withheld.
fn answer(body: &[u8], around: &Around, policy: &Policy) -> Option<Vec<u8>> {
    let cluster = ClusterView { namespaces: around, fronts: around };
    let answer = review(body, cluster, policy, &mut |event| {
        assert!(matches!(event.verdict, Verdict::Decided(_)), "{:?}", event.verdict);
    });
    answer.ok()
}

/// Returns the response, after checking that it allows the review with this uid.
fn allowed(answer: &[u8], uid: &str) -> Map<String, Value> {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let response = answer["response"].as_object().unwrap();
    assert_eq!((&response["uid"], &response["allowed"]), (&json!(uid), &json!(true)));
    assert_eq!(response.contains_key("patch"), response.contains_key("patchType"));
    for warning in response.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        let warning = warning.as_str().unwrap();
        let is_printable = warning.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(is_printable && warning.len() <= 120, "{warning:?}");
    }
    response.clone()
}

fn patch_of(response: &Map<String, Value>) -> Option<Patch> {
    let patch = STANDARD.decode(response.get("patch")?.as_str()?).unwrap();
    Some(serde_json::from_slice(&patch).unwrap())
}

fn grace_seconds(pod: &Value) -> i64 {
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds");
    grace.and_then(Value::as_i64).unwrap_or(DEFAULT_GRACE_SECONDS)
}

fn containers(pod: &Value) -> &[Value] {
    pod.pointer("/spec/containers").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn hook(container: &Value) -> Option<&Value> {
    container.pointer("/lifecycle/preStop").filter(|hook| !hook.is_null())
}

/// Checks that only hooks, the grace period and the status differ, that the grace period is not
/// lower, and that no sleep is longer than it.
fn is_confined(before: &Value, after: &Value) {
    assert!(grace_seconds(after) >= grace_seconds(before), "the grace period falls");
    let mut restored = after.clone();
    let spec = restored["spec"].as_object_mut().unwrap();
    let grace = before["spec"].get("terminationGracePeriodSeconds");
    put_back(spec, "terminationGracePeriodSeconds", grace);
    for (index, container) in containers(before).iter().enumerate() {
        let Some(restored) = restored["spec"]["containers"][index].as_object_mut() else {
            continue;
        };
        let stood = container.get("lifecycle").filter(|lifecycle| !lifecycle.is_null());
        match (stood, restored.get_mut("lifecycle").and_then(Value::as_object_mut)) {
            (Some(stood), Some(lifecycle)) => put_back(lifecycle, "preStop", stood.get("preStop")),
            _ => put_back(restored, "lifecycle", container.get("lifecycle")),
        }
    }
    restore_status(before, &mut restored);
    assert_eq!(&restored, before, "something else was touched");
    for container in containers(after).iter().zip(containers(before)) {
        let (Some(new), old) = (hook(container.0), hook(container.1)) else { continue };
        let seconds = new.pointer("/sleep/seconds").and_then(Value::as_i64).unwrap_or(0);
        assert!(Some(new) == old || seconds <= grace_seconds(after), "{seconds}");
    }
}

fn restore_status(before: &Value, restored: &mut Value) {
    let is_there = |pointer: &str| before.pointer(pointer).is_some_and(|value| !value.is_null());
    let (parent, key) = if !is_there("/metadata") {
        ("", "metadata")
    } else if !is_there("/metadata/annotations") {
        ("/metadata", "annotations")
    } else {
        ("/metadata/annotations", "prestop.dev/status")
    };
    let stood = before.pointer(parent).and_then(|parent| parent.get(key));
    if let Some(Value::Object(parent)) = restored.pointer_mut(parent) {
        put_back(parent, key, stood);
    }
}

fn put_back(parent: &mut Map<String, Value>, key: &str, stood: Option<&Value>) {
    match stood {
        Some(stood) => drop(parent.insert(key.to_owned(), stood.clone())),
        None => drop(parent.remove(key)),
    }
}

/// Checks that a hook of the author is unchanged, or that its author asked for more and the status
/// keeps it.
fn hooks_are_as_asked_for(before: &Value, after: &Value, namespace: &Namespace, policy: &Policy) {
    let status = after.pointer(STATUS).and_then(Value::as_str);
    let status: Value = status.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    for (before_, after) in containers(before).iter().zip(containers(after)) {
        let Some(own) = hook(before_) else { continue };
        if hook(after).map(Value::to_string) == Some(own.to_string()) {
            continue;
        }
        let name = before_["name"].as_str().unwrap_or_default();
        assert_eq!(rule(before, name, namespace, policy), OwnHookRule::Extend, "{name:?}");
        let known = status["containers"].as_array().into_iter().flatten();
        let mut originals = known.filter(|it| it["name"] == name).map(|it| &it["original"]);
        assert!(originals.any(|original| !original.is_null()), "{name:?} is lost: {own}");
    }
}

/// Returns the rule for hooks of the author: that of the first level that sets one.
fn rule(pod: &Value, container: &str, namespace: &Namespace, policy: &Policy) -> OwnHookRule {
    let annotation = |key: &str| pod.pointer("/metadata/annotations")?.get(key)?.as_str();
    let levels = [
        annotation(&format!("own-hook.prestop.dev/{container}")),
        annotation("prestop.dev/own-hook"),
        namespace.annotations.get("prestop.dev/own-hook").map(String::as_str),
    ];
    let parsed = levels.into_iter().flatten().find_map(|text| match text {
        "keep" => Some(OwnHookRule::Keep),
        "extend" => Some(OwnHookRule::Extend),
        _ => None,
    });
    parsed.unwrap_or(policy.default_own_hook)
}
