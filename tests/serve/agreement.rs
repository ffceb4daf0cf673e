//! Each golden case is also sent to a running server: the patch of each pod, applied to its
//! template, has to give the result of `prestop inject`.

use json_patch::Patch;
use prestop_core::engine::template::{self, Workload};
use serde_json::{Value, json};
use tempfile::TempDir;

use prestop_test_support::cases::{arguments, cases, documents, is_as_by_webhook};
use prestop_test_support::process::Serve;
use prestop_test_support::wire::{Connection, review};

/// Returns the template as the server changes the pods that a workload creates from it.
fn served(connection: &mut Connection, workload: &Workload<'_>, template: &Value) -> Value {
    let mut pod = template.clone();
    if let (Some(owner), "/spec/template" | "/spec/jobTemplate/spec/template") =
        (workload.owner(), workload.template)
    {
        let metadata = pod.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
        let api_version = format!("{}/v1", owner.group);
        metadata["ownerReferences"] = json!([
            {"apiVersion": api_version, "kind": owner.kind, "name": "x", "controller": true}
        ]);
    }
    let mut review = review(&pod);
    review["request"]["namespace"] = json!(workload.namespace.unwrap_or("default"));
    let operations = connection.post(review.to_string()).patch();
    if operations.is_null() {
        return template.clone();
    }
    let operations: Patch = serde_json::from_value(operations).unwrap();
    json_patch::patch(&mut pod, &operations).unwrap();
    if template.pointer("/metadata/ownerReferences").is_none() {
        pod["metadata"].as_object_mut().unwrap().shift_remove("ownerReferences");
    }
    pod
}

/// Returns the pod with its status as a value; `None` if a delay depends on fronts, which only the
/// manifests contain.
fn comparable(pod: &Value) -> Option<Value> {
    let mut pod = pod.clone();
    let Some(annotation) = pod.pointer_mut("/metadata/annotations/prestop.dev~1status") else {
        return Some(pod);
    };
    if let Some(status) = annotation.as_str().and_then(|text| serde_json::from_str(text).ok()) {
        *annotation = status;
    }
    is_as_by_webhook(annotation).then_some(pod)
}

#[test]
fn the_server_and_inject_agree_on_every_case() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for case in cases() {
        let is_json = case.join("input.json").exists();
        let name =
            |stem: &str| case.join(format!("{stem}.{}", if is_json { "json" } else { "yaml" }));
        // A file that can't be read as a whole has nothing to compare.
        if case.join("exit").exists() || !name("expected").exists() {
            continue;
        }
        let Some(mut arguments) = arguments(&case) else { continue };
        let (input, expected) = (documents(&name("input")), documents(&name("expected")));
        if input.iter().any(|document| !template::namespaces(document).is_empty()) {
            arguments.extend(["--namespaces-file".to_owned(), name("input").display().to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let serve = Serve::start_in(TempDir::new().unwrap(), &arguments);
        let mut connection = Connection::open(&serve);
        for (before, after) in input.iter().zip(&expected) {
            let workloads = template::workloads(before, &[]);
            // The API server would not send the objects that inject leaves aside.
            for workload in workloads.into_iter().filter(|workload| workload.aside.is_none()) {
                let place = format!("{}{}", workload.pointer, workload.template);
                let Some(template) = before.pointer(&place).filter(|it| it.is_object()) else {
                    continue;
                };
                let wanted = after.pointer(&place).cloned().unwrap_or_default();
                let Some(wanted) = comparable(&wanted) else { continue };
                compared += 1;
                let served = comparable(&served(&mut connection, &workload, template));
                if served.as_ref() != Some(&wanted) {
                    let served = served.unwrap_or_default();
                    differences
                        .push(format!("{}:\n server {served}\n inject {wanted}", case.display()));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared >= 120, "only {compared} pods were compared");
    println!("{compared} pods were compared");
}
