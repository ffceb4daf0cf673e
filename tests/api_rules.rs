//! The API server's own rules for the parts of a pod that prestop touches, as of Kubernetes 1.34
//! (`pkg/apis/core/validation`). If a patch breaks one of them, the API server refuses the pod,
//! whatever the webhook's failure policy is.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// `TotalAnnotationSizeLimitB`: keys and values together, in bytes.
pub(crate) const LARGEST_ANNOTATIONS: usize = 256 * 1024;

/// Grace period that is set in a pod without one before the pod is validated.
const DEFAULT_GRACE_PERIOD_SECONDS: i64 = 30;

const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];

/// Returns the reasons why the API server would refuse the pod; empty if it would not.
pub(crate) fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    metadata(pod, &mut found);
    let Some(spec) = pod.get("spec").and_then(Value::as_object) else {
        found.push("spec: required".to_owned());
        return found;
    };
    let grace_seconds = grace_period(spec, &mut found);
    containers(spec, grace_seconds, &mut found);
    init_containers(spec, grace_seconds, &mut found);
    match present(spec.get("ephemeralContainers")) {
        None => {}
        Some(Value::Array(list)) if list.is_empty() => {}
        Some(_) => found.push("spec.ephemeralContainers: forbidden on creation".to_owned()),
    }
    found
}

/// Returns the size of an annotation map in bytes, as the API server counts them.
pub(crate) fn annotations_size(pod: &Value) -> usize {
    let annotations = pod.pointer("/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object).into_iter().flatten();
    annotations.map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}

/// JSON's `null` counts as absent, as in Go.
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn metadata(pod: &Value, found: &mut Vec<String>) {
    let metadata = match present(pod.get("metadata")) {
        None => return,
        Some(Value::Object(metadata)) => metadata,
        Some(_) => return found.push("metadata: not an object".to_owned()),
    };
    for map in ["labels", "annotations"] {
        match present(metadata.get(map)) {
            None => {}
            Some(Value::Object(entries)) => {
                for (key, value) in entries {
                    if !value.is_string() {
                        found.push(format!("metadata.{map}[{key}]: not a string"));
                    }
                    if !is_qualified_name(key) {
                        found.push(format!("metadata.{map}[{key}]: not a qualified name"));
                    }
                }
            }
            Some(_) => found.push(format!("metadata.{map}: not a map")),
        }
    }
    if annotations_size(pod) > LARGEST_ANNOTATIONS {
        found.push("metadata.annotations: too long".to_owned());
    }
}

fn grace_period(spec: &Map<String, Value>, found: &mut Vec<String>) -> i64 {
    match present(spec.get("terminationGracePeriodSeconds")) {
        None => DEFAULT_GRACE_PERIOD_SECONDS,
        Some(value) => match value.as_i64() {
            Some(seconds) if seconds >= 0 => seconds,
            _ => {
                found.push("spec.terminationGracePeriodSeconds: not an integer from 0".to_owned());
                DEFAULT_GRACE_PERIOD_SECONDS
            }
        },
    }
}

fn containers(spec: &Map<String, Value>, grace_seconds: i64, found: &mut Vec<String>) {
    let list = present(spec.get("containers")).and_then(Value::as_array);
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        return found.push("spec.containers: required".to_owned());
    };
    names(list, "spec.containers", found);
    for (index, container) in list.iter().enumerate() {
        lifecycle(container, &format!("spec.containers[{index}]"), grace_seconds, found);
    }
}

fn init_containers(spec: &Map<String, Value>, grace_seconds: i64, found: &mut Vec<String>) {
    let list = match present(spec.get("initContainers")) {
        None => return,
        Some(Value::Array(list)) => list,
        Some(_) => return found.push("spec.initContainers: not a list".to_owned()),
    };
    names(list, "spec.initContainers", found);
    for (index, container) in list.iter().enumerate() {
        let path = format!("spec.initContainers[{index}]");
        let native_sidecar = container.get("restartPolicy").and_then(Value::as_str);
        if native_sidecar == Some("Always") {
            lifecycle(container, &path, grace_seconds, found);
        } else if present(container.get("lifecycle")).is_some() {
            found.push(format!("{path}.lifecycle: may not be set without restartPolicy=Always"));
        }
    }
}

fn names(list: &[Value], path: &str, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, container) in list.iter().enumerate() {
        match container.get("name").and_then(Value::as_str) {
            Some(name) if !is_dns_label(name) => {
                found.push(format!("{path}[{index}].name: not a DNS label"));
            }
            Some(name) if !seen.insert(name) => {
                found.push(format!("{path}[{index}].name: duplicate"));
            }
            Some(_) => {}
            None => found.push(format!("{path}[{index}].name: required")),
        }
    }
}

fn lifecycle(container: &Value, path: &str, grace_seconds: i64, found: &mut Vec<String>) {
    let lifecycle = match present(container.get("lifecycle")) {
        None => return,
        Some(Value::Object(lifecycle)) => lifecycle,
        Some(_) => return found.push(format!("{path}.lifecycle: not an object")),
    };
    for hook in ["postStart", "preStop"] {
        let path = format!("{path}.lifecycle.{hook}");
        match present(lifecycle.get(hook)) {
            None => {}
            Some(Value::Object(hook)) => handler(hook, &path, grace_seconds, found),
            Some(_) => found.push(format!("{path}: not an object")),
        }
    }
}

fn handler(hook: &Map<String, Value>, path: &str, grace_seconds: i64, found: &mut Vec<String>) {
    // Unknown handlers are dropped before the validation, so they do not count.
    let given: Vec<(&str, &Value)> =
        HANDLERS.into_iter().filter_map(|kind| Some((kind, present(hook.get(kind))?))).collect();
    let (kind, action) = match given.as_slice() {
        [] => return found.push(format!("{path}: must specify a handler type")),
        [one] => *one,
        _ => {
            let message = "may not specify more than 1 handler type";
            return found.push(format!("{path}: {message}"));
        }
    };
    let valid = match kind {
        "exec" => action
            .get("command")
            .and_then(Value::as_array)
            .is_some_and(|command| !command.is_empty() && command.iter().all(Value::is_string)),
        "sleep" => action
            .get("seconds")
            .and_then(Value::as_i64)
            .is_some_and(|seconds| (0..=grace_seconds).contains(&seconds)),
        _ => action.get("port").is_some_and(is_port),
    };
    if !valid {
        found.push(format!("{path}.{kind}: invalid"));
    }
}

fn is_port(port: &Value) -> bool {
    match port {
        Value::Number(number) => number.as_i64().is_some_and(|port| (1..=65535).contains(&port)),
        Value::String(name) => (1..=15).contains(&name.len()) && is_dns_label(name),
        _ => false,
    }
}

fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether this is a key of a label or an annotation: `name` or `prefix/name`.
fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let prefix_holds = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|part| is_dns_label(&part.to_ascii_lowercase()))
    });
    prefix_holds
        && name.len() <= 63
        && name.bytes().all(inner)
        && edge(name.bytes().next())
        && edge(name.bytes().next_back())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(container: &Value) -> Value {
        json!({"spec": {"containers": [container]}})
    }

    fn with_hook(hook: &Value) -> Value {
        pod(&json!({"name": "web", "lifecycle": {"preStop": hook}}))
    }

    fn accepted(pods: &[Value]) {
        for pod in pods {
            assert_eq!(violations(pod), Vec::<String>::new(), "{pod}");
        }
    }

    fn refused(pods: &[Value]) {
        for pod in pods {
            assert_ne!(violations(pod), Vec::<String>::new(), "{pod}");
        }
    }

    #[test]
    fn a_hook_has_exactly_one_handler() {
        accepted(&[
            with_hook(&json!(null)),
            with_hook(&json!({"exec": {"command": ["true"]}})),
            with_hook(&json!({"exec": {"command": ["/bin/sh", "-c", "x", ""]}})),
            with_hook(&json!({"exec": null, "sleep": {"seconds": 1}})),
            with_hook(&json!({"httpGet": {"port": 80}})),
            with_hook(&json!({"tcpSocket": {"port": "http"}})),
            pod(&json!({"name": "web", "lifecycle": {}})),
            pod(&json!({"name": "web", "lifecycle": null})),
        ]);
        refused(&[
            with_hook(&json!({})),
            with_hook(&json!("sleep")),
            with_hook(&json!({"unknown": {}})),
            with_hook(&json!({"sleep": {"seconds": 1}, "exec": {"command": ["true"]}})),
            with_hook(&json!({"exec": {}})),
            with_hook(&json!({"exec": {"command": []}})),
            with_hook(&json!({"exec": {"command": "true"}})),
            with_hook(&json!({"exec": {"command": ["sleep", 5]}})),
            with_hook(&json!({"httpGet": {"port": 0}})),
            pod(&json!({"name": "web", "lifecycle": []})),
            pod(&json!({"name": "web", "lifecycle": {"postStart": {}}})),
        ]);
    }

    #[test]
    fn a_sleep_is_at_most_the_grace_period() {
        let sleeping = |seconds: Value, grace: Value| {
            let mut pod = with_hook(&json!({"sleep": {"seconds": seconds}}));
            pod["spec"]["terminationGracePeriodSeconds"] = grace;
            pod
        };
        accepted(&[
            sleeping(json!(0), json!(0)),
            sleeping(json!(30), json!(null)),
            sleeping(json!(31), json!(31)),
            sleeping(json!(0), json!(i64::MAX)),
        ]);
        refused(&[
            sleeping(json!(-1), json!(30)),
            sleeping(json!(31), json!(null)),
            sleeping(json!(32), json!(31)),
            sleeping(json!("5"), json!(30)),
            sleeping(json!(5.0), json!(30)),
            sleeping(json!(null), json!(30)),
            sleeping(json!(1), json!(-1)),
            sleeping(json!(1), json!("30")),
            sleeping(json!(1), json!(30.0)),
            sleeping(json!(1), json!(u64::MAX)),
        ]);
    }

    #[test]
    fn only_native_sidecars_among_init_containers_have_hooks() {
        let with_init = |init: Value| json!({"spec": {"containers": [{"name": "web"}], "initContainers": [init]}});
        let hook = json!({"preStop": {"sleep": {"seconds": 1}}});
        accepted(&[
            with_init(json!({"name": "setup"})),
            with_init(json!({"name": "setup", "lifecycle": null})),
            with_init(json!({"name": "mesh", "restartPolicy": "Always", "lifecycle": hook})),
        ]);
        refused(&[
            with_init(json!({"name": "setup", "lifecycle": hook})),
            with_init(json!({"name": "setup", "lifecycle": {}})),
            with_init(
                json!({"name": "mesh", "restartPolicy": "Always", "lifecycle": {"preStop": {}}}),
            ),
            json!({"spec": {"containers": [{"name": "web"}], "ephemeralContainers": [{"name": "debug"}]}}),
        ]);
    }

    #[test]
    fn containers_have_names_of_their_own() {
        accepted(&[json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}})]);
        refused(&[
            json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
            json!({"spec": {"containers": [{"name": "🦀"}]}}),
            json!({"spec": {"containers": [{}]}}),
            json!({"spec": {"containers": [null]}}),
            json!({"spec": {"containers": []}}),
            json!({"spec": {"containers": null}}),
            json!({"spec": null}),
            json!(null),
        ]);
    }

    #[test]
    fn annotations_are_strings_and_not_too_long() {
        let annotated = |annotations: Value| {
            let mut pod = pod(&json!({"name": "web"}));
            pod["metadata"] = json!({"annotations": annotations});
            pod
        };
        let largest = "x".repeat(LARGEST_ANNOTATIONS - 3);
        accepted(&[
            annotated(json!(null)),
            annotated(json!({"prestop.dev/status": "", "delay.prestop.dev/web": "5s"})),
            annotated(json!({"key": largest})),
        ]);
        refused(&[
            annotated(json!([])),
            annotated(json!({"key": 5})),
            annotated(json!({"key": null})),
            annotated(json!({"a/b/c": ""})),
            annotated(json!({"delay.prestop.dev/🦀": ""})),
            annotated(json!({"keys": largest})),
        ]);
    }
}
