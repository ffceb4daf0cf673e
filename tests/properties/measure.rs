//! Helper functions of the properties that read pods and patches.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation};
use prestop_core::engine::hook::drain_script;
use serde_json::Value;

use crate::model::{ContainerOutcome, DRAIN, INJECTED, SCRIPT, STATUS};

const STATUS_POINTER: &str = "/metadata/annotations/prestop.dev~1status";
const GRACE_POINTER: &str = "/spec/terminationGracePeriodSeconds";

/// Numbers in a hook of prestop.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) delay_seconds: i64,
    pub(super) wait_seconds: Option<i64>,
}

/// Returns the regular containers, or none if there is no list of them.
pub(super) fn containers(pod: &Value) -> &[Value] {
    let list = pod.pointer("/spec/containers").and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Returns a container's `preStop`, unless it is null.
pub(super) fn hook(container: &Value) -> Option<&Value> {
    let hook = container.pointer("/lifecycle/preStop");
    hook.filter(|hook| !hook.is_null())
}

/// Returns the numbers of the hooks that the model injects, with the indexes of the containers.
pub(super) fn injected(after: &Value, outcomes: &[ContainerOutcome]) -> Vec<(usize, Numbers)> {
    let pairs = containers(after).iter().zip(outcomes).enumerate();
    pairs
        .filter(|(_, (_, outcome))| outcome.code == INJECTED)
        .filter_map(|(index, (after, _))| Some((index, numbers(hook(after)?))))
        .collect()
}

/// Reads the numbers of a hook. Panics if the hook has none of the forms.
fn numbers(hook: &Value) -> Numbers {
    let number = |text: &Value| text.as_str().and_then(|text| text.parse().ok());
    let command = hook.pointer("/exec/command").and_then(Value::as_array);
    let found = match command.map(Vec::as_slice) {
        None => hook.pointer("/sleep/seconds").and_then(Value::as_i64).map(|delay| (delay, None)),
        Some([program, delay]) if program == "sleep" => number(delay).map(|delay| (delay, None)),
        Some([_, _, script, _, _, most, _, _, extra, wait, ..]) if script == drain_script() => {
            let bounds = number(most).zip(number(extra));
            bounds.map(|(most, extra): (i64, i64)| (most + extra, number(wait)))
        }
        Some([_, _, _, _, delay, wait, ..]) => number(delay).map(|delay| (delay, number(wait))),
        Some(_) => None,
    };
    let (delay_seconds, wait_seconds) = found.unwrap_or_else(|| panic!("no hook of ours: {hook}"));
    Numbers { delay_seconds, wait_seconds }
}

/// Returns the pod without the texts that the model doesn't know: those of the status and of the
/// script.
pub(super) fn masked(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(status) = pod.pointer_mut(STATUS_POINTER) {
        *status = "status".into();
    }
    let list = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    for container in list.into_iter().flatten() {
        let command = container.pointer_mut("/lifecycle/preStop/exec/command");
        if let Some([shell, flag, script, zero, ..]) =
            command.and_then(Value::as_array_mut).map(Vec::as_mut_slice)
            && shell == "/bin/sh"
            && flag == "-c"
            && zero == "prestop"
        {
            let is_long = *script == drain_script() || *script == DRAIN;
            *script = if is_long { DRAIN } else { SCRIPT }.into();
        }
    }
    pod
}

/// Returns the later pod with everything that may change restored to its earlier value.
pub(super) fn put_back(before: &Value, after: &Value) -> Value {
    let mut result = after.clone();
    restore(before, &mut result, &["metadata", "annotations", STATUS]);
    restore(before, &mut result, &["spec", "terminationGracePeriodSeconds"]);
    let list = result.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    for (before, after) in containers(before).iter().zip(list.into_iter().flatten()) {
        restore(before, after, &["lifecycle", "preStop"]);
    }
    result
}

/// Restores the last field of the path, and removes an object on the path if it was not there
/// before and is empty now.
fn restore(before: &Value, after: &mut Value, path: &[&str]) {
    let [field, rest @ ..] = path else { return };
    let Some(entries) = after.as_object_mut() else {
        return;
    };
    let old = before.get(field);
    let Some(new) = entries.get_mut(*field) else {
        return;
    };
    if !rest.is_empty() {
        let nothing = Value::Null;
        restore(old.unwrap_or(&nothing), new, rest);
    }
    let was_absent = old.is_none_or(Value::is_null);
    let is_empty = new.as_object().is_some_and(serde_json::Map::is_empty);
    if rest.is_empty() || (was_absent && is_empty) {
        match old {
            Some(old) => *new = old.clone(),
            None => {
                entries.shift_remove(*field);
            }
        }
    }
}

/// Whether every earlier value of the pod is still there, except those that prestop may replace.
pub(super) fn deeply_kept(before: &Value, after: &Value, path: &str) -> bool {
    let replaceable = [GRACE_POINTER, STATUS_POINTER, "/metadata", "/metadata/annotations"];
    let inside = path.strip_prefix("/spec/containers/");
    let in_container = inside.and_then(|rest| rest.split_once('/')).map(|(_, field)| field);
    let was_empty = before.is_null()
        && (replaceable.contains(&path)
            || matches!(in_container, Some("lifecycle" | "lifecycle/preStop")));
    // Another property checks the hooks.
    let is_hook = in_container == Some("lifecycle/preStop");
    if was_empty || is_hook || path == GRACE_POINTER || path == STATUS_POINTER {
        return true;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().all(|(key, value)| {
            let token = key.replace('~', "~0").replace('/', "~1");
            let kept = after.get(key);
            kept.is_some_and(|kept| deeply_kept(value, kept, &format!("{path}/{token}")))
        }),
        (Value::Array(before), Value::Array(after)) => {
            let mut pairs = before.iter().zip(after).enumerate();
            before.len() == after.len()
                && pairs.all(|(index, (before, after))| {
                    deeply_kept(before, after, &format!("{path}/{index}"))
                })
        }
        _ => before == after,
    }
}

/// Returns the operations that the rules prescribe to change one pod into the other.
pub(super) fn patch_between(before: &Value, after: &Value, outcomes: &[ContainerOutcome]) -> Patch {
    let mut operations = Vec::new();
    for (index, old) in containers(before).iter().enumerate() {
        if outcomes.get(index).is_none_or(|outcome| outcome.code != INJECTED) {
            continue;
        }
        let lifecycle = format!("/spec/containers/{index}/lifecycle");
        let whole = old.get("lifecycle").is_none_or(Value::is_null);
        let path = format!("{lifecycle}{}", if whole { "" } else { "/preStop" });
        operations.push(match hook(old) {
            None => add(&path, after),
            Some(_) => replace(&path, after),
        });
    }
    if before.pointer(GRACE_POINTER) != after.pointer(GRACE_POINTER) {
        let replaced = before.pointer(GRACE_POINTER).is_some_and(|old| !old.is_null());
        operations.push(if replaced {
            replace(GRACE_POINTER, after)
        } else {
            add(GRACE_POINTER, after)
        });
    }
    if before.pointer(STATUS_POINTER) != after.pointer(STATUS_POINTER) {
        let has = |path: &str| before.pointer(path).is_some_and(|value| !value.is_null());
        let path = match (has("/metadata"), has("/metadata/annotations")) {
            (false, _) => "/metadata",
            (true, false) => "/metadata/annotations",
            (true, true) => STATUS_POINTER,
        };
        operations.push(add(path, after));
    }
    Patch(operations)
}

/// Returns the kind and the path of each operation.
pub(super) fn kinds_and_paths(patch: &[PatchOperation]) -> Vec<(&'static str, String)> {
    let kind = |operation: &PatchOperation| match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    };
    let operations = patch.iter();
    operations.map(|operation| (kind(operation), operation.path().to_string())).collect()
}

/// Returns the bytes of quit commands that the hooks of this pod may contain: the pod's command
/// once, and a container's command for every container of that name.
pub(super) fn command_text_bytes(pod: &Value) -> usize {
    let annotations = pod.pointer("/metadata/annotations");
    let bytes = |key: &str| {
        let text = annotations.and_then(|annotations| annotations.get(key)?.as_str());
        text.map_or(0, str::len)
    };
    let names = containers(pod).iter().filter_map(|container| container.get("name")?.as_str());
    let own: usize = names.map(|name| bytes(&format!("quit-command.prestop.dev/{name}"))).sum();
    own + bytes("prestop.dev/quit-command")
}

fn add(path: &str, after: &Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(path), value: at(path, after) })
}

fn replace(path: &str, after: &Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation { path: pointer(path), value: at(path, after) })
}

fn at(path: &str, after: &Value) -> Value {
    after.pointer(path).cloned().unwrap_or_default()
}

fn pointer(path: &str) -> PointerBuf {
    PointerBuf::parse(path).unwrap_or_else(|error| panic!("{path}: {error:?}"))
}
