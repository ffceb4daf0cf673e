//! Manifests as text: `inject` returns the values of the input with the patches applied, and
//! changes nothing in a second pass; `inject --renew` finds nothing to renew; and `uninject`
//! returns the input byte for byte, or reports why it can't.

mod style;

use std::collections::HashMap;

use arbitrary::Unstructured;
use json_patch::Patch;
use prestop::{Mode, Rewritten, rewrite};
use prestop_core::admission::patch;
use prestop_core::engine::offline;
use prestop_core::engine::settings::{NamespaceSettings, STATUS_ANNOTATION};
use prestop_core::engine::template::objects;
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy};
use prestop_manifest::Documents;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::generators::any_pod;
use crate::has_unique_names;
use crate::structured::{Generator, edit, generated};

/// Length limit for inputs: larger ones take longer and reveal nothing new.
const LONGEST_TEXT: usize = 16 * 1024;
/// Parts of the notes of `uninject` for a text that is not restored byte for byte.
const TOLD: [&str; 4] = ["written anew", "layout", "original-not-kept", "status-not-trusted"];

thread_local! {
    static POD: Generator<Value> = any_pod().boxed();
    static POLICY: Policy = Policy {
        namespaces: NamespaceRule::NotDisabled,
        kubernetes_version: Some(KubernetesVersion { major: 1, minor: 33 }),
        ..Policy::built_in()
    };
}

/// The first byte selects the kind of input: the other bytes are a text, or the choices for a pod
/// and the style of its text.
pub fn target(bytes: &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) if first & 1 == 0 => {
            if let Ok(text) = str::from_utf8(rest) {
                holds(text);
            }
        }
        Some((first, rest)) => {
            let (of_style, of_pod) = rest.split_at(rest.len() / 2);
            let Some((mut pod, mut choices)) = generated(&POD, of_pod) else { return };
            edit(&mut pod, &mut choices);
            let manifest = if first & 2 == 0 { pod } else { deployment(&pod) };
            holds(&style::written(&manifest, &mut Unstructured::new(of_style)));
        }
        None => {}
    }
}

fn deployment(pod: &Value) -> Value {
    let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    })
}

/// Checks all promises for a text.
///
/// # Panics
/// Panics if a promise is broken.
pub fn holds(text: &str) {
    if text.len() > LONGEST_TEXT {
        return;
    }
    POLICY.with(|policy| {
        let made = |text: &str, mode| rewrite(text, mode, policy);
        let (Ok(injected), Ok(undone)) = (made(text, Mode::Inject), made(text, Mode::Uninject))
        else {
            return;
        };
        let is_first_pass = undone.text == text;
        values_are_those_of_the_patches(text, &injected.text, policy);
        if !has_unique_containers(text) {
            comes_back(
                text,
                &made(&injected.text, Mode::Uninject).expect("the result is understood"),
            );
            return;
        }
        let again = made(&injected.text, Mode::Inject).expect("the result is understood");
        assert_eq!(again.text, injected.text, "a second pass changes something: {text}");
        if is_first_pass {
            let back = made(&injected.text, Mode::Uninject).expect("the result is understood");
            let renewed = made(&injected.text, Mode::Renew).expect("the result is understood");
            // A renewal is based on the result of an uninjection, which may contain less than the
            // original.
            if back.text == text {
                assert_eq!(renewed.text, injected.text, "something is renewed: {text}");
            }
            let twice = made(&renewed.text, Mode::Renew).expect("the result is understood");
            assert_eq!(twice.text, renewed.text, "something is renewed again: {text}");
            comes_back(text, &back);
        }
    });
}

/// Returns whether all workloads have containers with different names.
fn has_unique_containers(text: &str) -> bool {
    let values = values(text).unwrap_or_default();
    values.iter().all(|value| {
        let objects = objects(value);
        let mut workloads = objects.iter().filter_map(|object| object.workload(&[]));
        workloads.all(|workload| has_unique_names(workload.pod_value()))
    })
}

/// Checks that the bytes are restored, or that the values are and a note reports the difference.
fn comes_back(text: &str, back: &Rewritten) {
    if back.text != text {
        let is_told = back.notes.iter().any(|note| TOLD.iter().any(|told| note.contains(told)));
        assert!(is_told, "{:?}\n{text}\n--- comes back as\n{}", back.notes, back.text);
        if !back.notes.iter().any(|note| note.contains("not-")) {
            let values = |text: &str| {
                values(text).map(|all| all.iter().map(without_nothing).collect::<Vec<_>>())
            };
            assert_eq!(values(&back.text), values(text), "{text}");
        }
    }
}

/// Removes `null` from mappings, because Kubernetes treats it as absent; items of lists keep their
/// position. Removes the status as well, because another tool's status of more than 4 KiB is not
/// restored.
fn without_nothing(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members
                .iter()
                .filter(|(key, value)| !value.is_null() && !has_only_status(key, value));
            members.map(|(key, value)| (key.clone(), without_nothing(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nothing).collect(),
        other => other.clone(),
    }
}

/// Returns whether a member contains nothing but the status, and is removed with it.
fn has_only_status(key: &str, value: &Value) -> bool {
    let inner = match key {
        "annotations" => STATUS_ANNOTATION,
        "metadata" => "annotations",
        _ => return key == STATUS_ANNOTATION,
    };
    let only = value.as_object().filter(|all| all.len() == 1).and_then(|all| all.get(inner));
    only.is_some_and(|only| has_only_status(inner, only))
}

/// Returns the value of each document, if all of them can be parsed.
fn values(text: &str) -> Option<Vec<Value>> {
    let documents: Result<Vec<_>, _> = Documents::new(text.as_bytes()).collect();
    let readings = documents.ok()?.into_iter().map(|document| document.read());
    let readings: Result<Vec<_>, _> = readings.collect();
    Some(readings.ok()?.into_iter().flatten().map(|reading| reading.value).collect())
}

/// Checks that the values of the result are those of the input with the engine's patches applied.
fn values_are_those_of_the_patches(text: &str, injected: &str, policy: &Policy) {
    // Delays of fronts depend on other objects.
    if text.contains("auto") {
        return;
    }
    let before = values(text).unwrap_or_default();
    let after = values(injected).expect("the result is understood");
    let namespaces: HashMap<String, NamespaceSettings> =
        before.iter().flat_map(objects).filter_map(|object| object.namespace_settings()).collect();
    let mut wanted = before.clone();
    for (value, wanted) in before.iter().zip(&mut wanted) {
        for workload in objects(value).iter().filter_map(|object| object.workload(&[])) {
            if workload.aside.is_some() {
                continue;
            }
            let of = workload.namespace.unwrap_or("default");
            let settings = namespaces.get(of).cloned().unwrap_or_default();
            let decision = offline::decide(&workload, &settings, policy);
            let prefix = format!("{}{}", workload.pointer, workload.template);
            if let Some(patch) = patch::to_json(&decision, &prefix) {
                let patch: Patch = serde_json::from_slice(&patch).unwrap();
                json_patch::patch(wanted, &patch).expect("the patch applies");
            }
        }
    }
    let masked = |all: Vec<Value>| all.iter().map(without_status).collect::<Vec<_>>();
    assert_eq!(masked(after), masked(wanted), "{text}\n--- gives\n{injected}");
}

/// Replaces every status with the same value: a status contains texts of the manifest, which
/// patches do not know.
fn without_status(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| match key.as_str() {
                STATUS_ANNOTATION => (key.clone(), Value::Null),
                _ => (key.clone(), without_status(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(without_status).collect(),
        other => other.clone(),
    }
}
