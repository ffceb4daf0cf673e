//! Checks a patch against its pod. Only the patch as it will be sent and the pod are read, no other
//! state of the engine.

use crate::engine::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use crate::engine::hook::{known_scripts, recognised_length};
use crate::engine::pod::{Container, Exec, Pod, PreStop, Sleep, Spec};
use crate::view::{self, FromJson, Members, Shape, Text, view};

view! {
    /// One operation of a JSON patch.
    Operation {
        /// `op`.
        op: Text<'a> = "op",
        /// `path`.
        path: Text<'a> = "path",
        /// `value`.
        value: Value<'a> = "value",
    }
}

view! {
    /// An object in a patch: a lifecycle or a hook.
    Object {
        /// `preStop`, of a lifecycle.
        pre_stop: PreStop<'a> = "preStop",
        /// `sleep`, of a hook.
        sleep: Sleep<'a> = "sleep",
        /// `exec`, of a hook.
        exec: Exec<'a> = "exec",
    }
}

/// The value of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value<'a> {
    Seconds(i64),
    Text,
    Object(Object<'a>),
}

impl<'a> FromJson<'a> for Value<'a> {
    fn from_members<M: Members<'a>>(
        place: &mut Shape<Self>,
        members: &mut M,
    ) -> Result<(), M::Error> {
        let mut object = Shape::Absent;
        Object::from_members(&mut object, members)?;
        *place = match object {
            Shape::Value(object) => Shape::Value(Self::Object(object)),
            Shape::Absent | Shape::Wrong => Shape::Wrong,
        };
        Ok(())
    }
    fn from_text(_: Text<'a>) -> Option<Self> {
        Some(Self::Text)
    }
    fn from_integer(value: i64) -> Option<Self> {
        Some(Self::Seconds(value))
    }
}

/// The effect of one operation.
enum Effect {
    /// Adds or replaces a hook that takes at most this many seconds.
    Hook(i64),
    /// Sets the grace period to this many seconds.
    GracePeriod(i64),
    /// Sets the status annotation.
    Status,
}

/// Checks that every operation of the patch applies to the pod, and that the API server accepts the
/// result.
///
/// # Errors
/// Returns the reason why the patch does not fit.
pub(super) fn fits(patch: &[u8], pod: &Pod<'_>) -> Result<(), &'static str> {
    let patch = super::utf8(patch).map_err(|_| "the patch can't be read")?;
    let operations = view::read_knowing::<Vec<Shape<Operation<'_>>>>(patch, known_scripts())
        .map_err(|_| "the patch can't be read")?;
    let operations = operations.value().ok_or("the patch is not a list")?;
    let spec = pod.spec.value().ok_or("the pod has no spec")?;
    let grace_before = spec.grace_period_seconds.value().copied();
    let mut grace_after = grace_before.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS);
    let mut longest_hook = 0;
    for operation in operations {
        let operation = operation.value().ok_or("an operation is not an object")?;
        match effect(operation, pod, spec)? {
            Effect::Hook(seconds) => longest_hook = longest_hook.max(seconds),
            Effect::GracePeriod(seconds) if seconds < grace_after => {
                return Err("the grace period falls");
            }
            Effect::GracePeriod(seconds) => grace_after = seconds,
            Effect::Status => {}
        }
    }
    if longest_hook > grace_after { Err("a hook is longer than the grace period") } else { Ok(()) }
}

fn effect(
    operation: &Operation<'_>,
    pod: &Pod<'_>,
    spec: &Spec<'_>,
) -> Result<Effect, &'static str> {
    let path = operation.path.value().ok_or("an operation has no path")?;
    let op = operation.op.value().ok_or("an operation has no op")?;
    let value = operation.value.value().ok_or("an operation has no value")?;
    if let Some(rest) = path.strip_prefix("/spec/containers/") {
        return hook(op, rest, value, spec);
    }
    let metadata = pod.metadata.value();
    let annotations = metadata.and_then(|metadata| metadata.annotations.value());
    match (op.as_ref(), path.as_ref(), value) {
        ("add" | "replace", "/spec/terminationGracePeriodSeconds", Value::Seconds(seconds)) => {
            if op == "replace" && spec.grace_period_seconds.is_absent() {
                return Err("there is no grace period to replace");
            }
            Ok(Effect::GracePeriod(*seconds))
        }
        ("add", "/metadata", Value::Object(_)) if pod.metadata.is_absent() => Ok(Effect::Status),
        ("add", "/metadata/annotations", Value::Object(_))
            if metadata.is_some_and(|metadata| metadata.annotations.is_absent()) =>
        {
            Ok(Effect::Status)
        }
        ("add", "/metadata/annotations/prestop.dev~1status", Value::Text)
            if annotations.is_some() =>
        {
            Ok(Effect::Status)
        }
        _ => Err("an operation has a path that is not allowed"),
    }
}

/// Checks an operation on a path below `/spec/containers/`.
fn hook(op: &str, rest: &str, value: &Value<'_>, spec: &Spec<'_>) -> Result<Effect, &'static str> {
    let (index, path) = rest.split_once('/').ok_or("a container would be replaced")?;
    let container = container(index, spec).ok_or("there is no such container")?;
    let Value::Object(object) = value else {
        return Err("a hook is not an object");
    };
    let length = match (op, path) {
        ("add", "lifecycle") if container.lifecycle.is_absent() => {
            object.pre_stop.value().and_then(recognised_length)
        }
        ("add", "lifecycle/preStop")
            if container
                .lifecycle
                .value()
                .is_some_and(|lifecycle| lifecycle.pre_stop.is_absent()) =>
        {
            bare_hook(object)
        }
        // The author's hook is being completed.
        ("replace", "lifecycle/preStop")
            if container
                .lifecycle
                .value()
                .is_some_and(|lifecycle| lifecycle.pre_stop.value().is_some()) =>
        {
            bare_hook(object)
        }
        _ => return Err("a container has a hook already, or the path does not exist"),
    };
    length.map(Effect::Hook).ok_or("a hook is not one of prestop's")
}

/// Maximum duration of a hook that is itself the value of an operation, in seconds.
fn bare_hook(object: &Object<'_>) -> Option<i64> {
    let hook =
        PreStop { sleep: object.sleep.clone(), exec: object.exec.clone(), ..PreStop::default() };
    recognised_length(&hook)
}

fn container<'a>(index: &str, spec: &'a Spec<'_>) -> Option<&'a Container<'a>> {
    let index: usize = index.parse().ok()?;
    spec.containers.value()?.get(index)?.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"metadata":{"annotations":{}},"spec":{"terminationGracePeriodSeconds":30,
        "containers":[{"name":"a"},{"name":"b","lifecycle":{}},{"name":"c","lifecycle":{"preStop":{}}},null]}}"#;

    #[test]
    fn what_does_not_fit_is_held_back() {
        for (patch, fault) in [
            ("[]", None),
            (
                r#"[{"op":"add","path":"/spec/containers/0/lifecycle","value":{"preStop":{"sleep":{"seconds":30}}}}]"#,
                None,
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/1/lifecycle/preStop","value":{"exec":{"command":["sleep","5"]}}}]"#,
                None,
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/0/lifecycle","value":{"preStop":{"sleep":{"seconds":31}}}},
                 {"op":"replace","path":"/spec/terminationGracePeriodSeconds","value":31},
                 {"op":"add","path":"/metadata/annotations/prestop.dev~1status","value":"{}"}]"#,
                None,
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/0/lifecycle","value":{"preStop":{"sleep":{"seconds":31}}}}]"#,
                Some("a hook is longer than the grace period"),
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/0/lifecycle/preStop","value":{"sleep":{"seconds":5}}}]"#,
                Some("a container has a hook already, or the path does not exist"),
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/2/lifecycle/preStop","value":{"sleep":{"seconds":5}}}]"#,
                Some("a container has a hook already, or the path does not exist"),
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/1/lifecycle","value":{"preStop":{"sleep":{"seconds":5}}}}]"#,
                Some("a container has a hook already, or the path does not exist"),
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/0/lifecycle","value":{"preStop":{"exec":{"command":["rm"]}}}}]"#,
                Some("a hook is not one of prestop's"),
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/3/lifecycle","value":{"preStop":{"sleep":{"seconds":5}}}}]"#,
                Some("there is no such container"),
            ),
            (
                r#"[{"op":"add","path":"/spec/containers/4/lifecycle","value":{"preStop":{"sleep":{"seconds":5}}}}]"#,
                Some("there is no such container"),
            ),
            (
                r#"[{"op":"replace","path":"/spec/containers/2/lifecycle/preStop","value":{"sleep":{"seconds":5}}}]"#,
                None,
            ),
            (
                r#"[{"op":"replace","path":"/spec/containers/2/lifecycle/preStop","value":{"sleep":{"seconds":31}}}]"#,
                Some("a hook is longer than the grace period"),
            ),
            (
                r#"[{"op":"replace","path":"/spec/containers/2/lifecycle/preStop","value":{"exec":{"command":["rm"]}}}]"#,
                Some("a hook is not one of prestop's"),
            ),
            (
                r#"[{"op":"replace","path":"/spec/containers/1/lifecycle/preStop","value":{"sleep":{"seconds":5}}}]"#,
                Some("a container has a hook already, or the path does not exist"),
            ),
            (
                r#"[{"op":"replace","path":"/spec/containers/2/lifecycle","value":{"preStop":{"sleep":{"seconds":5}}}}]"#,
                Some("a container has a hook already, or the path does not exist"),
            ),
            (
                r#"[{"op":"replace","path":"/spec/containers/0","value":{}}]"#,
                Some("a container would be replaced"),
            ),
            (
                r#"[{"op":"replace","path":"/spec/terminationGracePeriodSeconds","value":29}]"#,
                Some("the grace period falls"),
            ),
            (
                r#"[{"op":"add","path":"/metadata/annotations","value":{}}]"#,
                Some("an operation has a path that is not allowed"),
            ),
            (
                r#"[{"op":"remove","path":"/spec/terminationGracePeriodSeconds","value":1}]"#,
                Some("an operation has a path that is not allowed"),
            ),
            (
                r#"[{"op":"add","path":"/spec/hostNetwork","value":1}]"#,
                Some("an operation has a path that is not allowed"),
            ),
            ("[1]", Some("an operation is not an object")),
            ("{}", Some("the patch is not a list")),
            ("[", Some("the patch can't be read")),
        ] {
            let pod = Pod::from_json(POD).unwrap();
            assert_eq!(fits(patch.as_bytes(), &pod).err(), fault, "{patch}");
        }
    }

    #[test]
    fn parents_that_are_missing_are_added_whole() {
        for (pod, patch, is_fit) in [
            (
                r#"{"spec":{}}"#,
                r#"[{"op":"add","path":"/metadata","value":{"annotations":{"prestop.dev/status":"{}"}}}]"#,
                true,
            ),
            (
                r#"{"metadata":{},"spec":{}}"#,
                r#"[{"op":"add","path":"/metadata","value":{"annotations":{}}}]"#,
                false,
            ),
            (
                r#"{"metadata":{},"spec":{}}"#,
                r#"[{"op":"add","path":"/metadata/annotations","value":{"prestop.dev/status":"{}"}}]"#,
                true,
            ),
            (
                r#"{"metadata":{},"spec":{}}"#,
                r#"[{"op":"add","path":"/metadata/annotations/prestop.dev~1status","value":"{}"}]"#,
                false,
            ),
            (
                r#"{"spec":{}}"#,
                r#"[{"op":"replace","path":"/spec/terminationGracePeriodSeconds","value":40}]"#,
                false,
            ),
            (
                r#"{"spec":{}}"#,
                r#"[{"op":"add","path":"/spec/terminationGracePeriodSeconds","value":40}]"#,
                true,
            ),
            (
                r#"{"spec":{}}"#,
                r#"[{"op":"add","path":"/spec/terminationGracePeriodSeconds","value":20}]"#,
                false,
            ),
            ("{}", "[]", false),
        ] {
            let view = Pod::from_json(pod).unwrap();
            assert_eq!(fits(patch.as_bytes(), &view).is_ok(), is_fit, "{pod} {patch}");
        }
    }
}
