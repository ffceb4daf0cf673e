//! Undoing injections.

use prestop_core::engine::pod::Pod;
use prestop_core::engine::reason::UndoReason;
use prestop_core::engine::undo::undo;
use serde_json::{Value, json};

fn status(containers: &Value, more: &Value) -> String {
    let mut status = json!({
        "version": 1,
        "grace": {"before": 30, "after": 40},
        "containers": containers,
    });
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    status.to_string()
}

fn injected(containers: &Value, status: &str) -> Value {
    json!({
        "metadata": {"name": "x", "annotations": {"prestop.dev/status": status}},
        "spec": {"terminationGracePeriodSeconds": 40, "containers": containers},
    })
}

fn undone(value: &Value) -> Result<Value, UndoReason> {
    let pod = Pod::from_value(value);
    let undo = undo(&pod, value)?;
    let mut result = value.clone();
    let patch: json_patch::Patch = serde_json::from_value(undo.operations.into()).unwrap();
    json_patch::patch(&mut result, &patch).unwrap();
    Ok(result)
}

fn recorded(more: &Value) -> Value {
    let mut entry = json!({"name": "web", "hook": "sleep", "delay": 10, "delayFrom": "default"});
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    json!([entry])
}

#[test]
fn what_stood_there_comes_back() {
    let hook = json!({"sleep": {"seconds": 10}});
    for (lifecycle, entry, more, expected) in [
        (
            json!({"preStop": hook}),
            json!({}),
            json!({}),
            json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "web"}]}}),
        ),
        (
            json!({"preStop": hook}),
            json!({"emptyLifecycle": true}),
            json!({"emptyAnnotations": true, "grace": {"before": 30, "after": 40, "stated": true}}),
            json!({"metadata": {"name": "x", "annotations": {}}, "spec": {
                "terminationGracePeriodSeconds": 30,
                "containers": [{"name": "web", "lifecycle": {}}]}}),
        ),
        (
            json!({"preStop": hook, "postStart": {"sleep": {"seconds": 1}}}),
            json!({"original": {"exec": {"command": ["sleep", "3"]}}}),
            json!({"grace": {"before": 25, "after": 40}}),
            json!({"metadata": {"name": "x"}, "spec": {
                "terminationGracePeriodSeconds": 25,
                "containers": [{"name": "web", "lifecycle": {
                    "preStop": {"exec": {"command": ["sleep", "3"]}},
                    "postStart": {"sleep": {"seconds": 1}}}}]}}),
        ),
    ] {
        let status = status(&recorded(&entry), &more);
        let pod = injected(&json!([{"name": "web", "lifecycle": lifecycle}]), &status);
        assert_eq!(undone(&pod), Ok(expected), "{pod}");
    }
}

#[test]
fn what_is_not_proved_to_be_ours_stays() {
    let hook = json!({"sleep": {"seconds": 10}});
    let containers = json!([{"name": "web", "lifecycle": {"preStop": hook}}]);
    let bare = json!({"spec": {"containers": containers}});
    assert_eq!(undone(&bare), Err(UndoReason::NotInjected));
    assert_eq!(undone(&json!({})), Err(UndoReason::NotInjected));
    let of = |entry: Value, more: Value| {
        undone(&injected(&containers, &status(&recorded(&entry), &more)))
    };
    for (entry, more) in [
        (json!({"delay": 11}), json!({})),
        (json!({"name": "app"}), json!({})),
        (json!({}), json!({"version": 2})),
        (json!({}), json!({"grace": {"before": 30, "after": 41}})),
    ] {
        assert_eq!(of(entry, more), Err(UndoReason::StatusNotTrusted));
    }
    let digest = json!({"original": "fnv1a:0123456789abcdef"});
    assert_eq!(of(digest, json!({})), Err(UndoReason::OriginalNotKept));
}
