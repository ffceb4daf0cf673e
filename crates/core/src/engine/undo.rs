//! Takes an injection out again (`docs/rules.md`, section 14): only what the status annotation proves to
//! be ours.

use serde_json::{Map, Value, json};

use super::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use super::pod::Pod;
use super::reason::UndoReason;
use super::settings::STATUS_ANNOTATION;
use super::status::{Status, StatusContainer};

const GRACE_PERIOD: &str = "/spec/terminationGracePeriodSeconds";

/// What is to be done to a pod that was injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo<'a> {
    /// The containers that lose their hook, in order.
    pub containers: Vec<UndoneContainer<'a>>,
    /// The grace period now and before the injection.
    pub grace_seconds: (i64, i64),
    /// A JSON patch, with paths from the root of the pod.
    pub operations: Vec<Value>,
}

/// A container that loses its hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoneContainer<'a> {
    /// Its place in `spec.containers`.
    pub index: usize,
    /// Its name.
    pub name: &'a str,
    /// What becomes of the hook.
    pub hook: UndoneHook,
}

/// What becomes of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoneHook {
    /// There is none.
    Removed,
    /// The author's own is there again.
    Restored,
}

/// What takes the injection out of a pod; `value` is the same pod.
///
/// # Errors
/// Why it stays as it is.
pub fn undo<'a>(pod: &'a Pod<'_>, value: &Value) -> Result<Undo<'a>, UndoReason> {
    let spec = pod.spec.value().ok_or(UndoReason::NotInjected)?;
    let annotations = pod.metadata.value().and_then(|metadata| metadata.annotations.value());
    let text = annotations
        .and_then(|annotations| {
            let mut ours = annotations.ours.iter();
            ours.find(|(key, _)| key == STATUS_ANNOTATION)
        })
        .map(|(_, value)| value)
        .filter(|value| !value.is_absent())
        .ok_or(UndoReason::NotInjected)?;
    let now = spec.grace_period_seconds.value().copied();
    let grace_now = now.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS);
    let status = text
        .value()
        .and_then(|text| Status::believed(text, grace_now, spec.containers()))
        .ok_or(UndoReason::StatusNotTrusted)?;
    let mut undo = Undo {
        containers: Vec::new(),
        grace_seconds: (grace_now, status.grace_before_seconds()),
        operations: Vec::new(),
    };
    let mut left: Vec<&StatusContainer<'_>> = status.containers().iter().collect();
    for (index, shape) in spec.containers().iter().enumerate() {
        let name = shape.value().and_then(|container| container.name.value());
        let Some(name) = name.map(AsRef::as_ref) else { continue };
        // The first container of a name counts.
        let Some(place) = left.iter().position(|recorded| recorded.name == name) else { continue };
        let recorded = left.swap_remove(place);
        let lifecycle = value.pointer(&format!("/spec/containers/{index}/lifecycle"));
        let lifecycle = lifecycle.and_then(Value::as_object);
        undo.container(index, name, recorded, lifecycle.ok_or(UndoReason::StatusNotTrusted)?)?;
    }
    undo.grace_period(&status, now.is_some());
    undo.annotations(&status, value);
    Ok(undo)
}

impl<'a> Undo<'a> {
    fn container(
        &mut self,
        index: usize,
        name: &'a str,
        recorded: &StatusContainer<'_>,
        lifecycle: &Map<String, Value>,
    ) -> Result<(), UndoReason> {
        let path = format!("/spec/containers/{index}/lifecycle");
        let is_only = lifecycle.len() == 1;
        let (hook, operation) = match &recorded.original {
            Some(Value::Object(original)) => {
                let path = format!("{path}/preStop");
                (UndoneHook::Restored, replace(&path, &Value::Object(original.clone())))
            }
            Some(_) => return Err(UndoReason::OriginalNotKept),
            None if !is_only => (UndoneHook::Removed, remove(&format!("{path}/preStop"))),
            None if recorded.empty_lifecycle => (UndoneHook::Removed, replace(&path, &json!({}))),
            None => (UndoneHook::Removed, remove(&path)),
        };
        self.operations.push(operation);
        self.containers.push(UndoneContainer { index, name, hook });
        Ok(())
    }

    fn grace_period(&mut self, status: &Status<'_>, is_written: bool) {
        let (after, before) = self.grace_seconds;
        if after == before || !is_written {
            return;
        }
        let was_written =
            before != DEFAULT_GRACE_PERIOD_SECONDS || status.before(None).states_default_grace;
        self.operations.push(if was_written {
            replace(GRACE_PERIOD, &Value::from(before))
        } else {
            remove(GRACE_PERIOD)
        });
    }

    fn annotations(&mut self, status: &Status<'_>, value: &Value) {
        let count = |path: &str| value.pointer(path).and_then(Value::as_object).map_or(0, Map::len);
        let is_only = count("/metadata/annotations") == 1;
        self.operations.push(if !is_only {
            remove("/metadata/annotations/prestop.dev~1status")
        } else if status.before(None).has_empty_annotations {
            replace("/metadata/annotations", &json!({}))
        } else if count("/metadata") == 1 {
            remove("/metadata")
        } else {
            remove("/metadata/annotations")
        });
    }
}

fn remove(path: &str) -> Value {
    json!({"op": "remove", "path": path})
}

fn replace(path: &str, value: &Value) -> Value {
    json!({"op": "replace", "path": path, "value": value})
}
