//! Each golden case goes through a running server too: the patch of each pod, applied to its
//! template, has to give what `prestop inject` gives.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use json_patch::Patch;
use prestop::manifest::Documents;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Serve;
use super::wire::{Connection, review};
use crate::golden::cases;

/// Kinds, where their pod template is, and who owns the pods that come of it.
const TEMPLATES: [(&str, &str, Option<&str>); 9] = [
    ("Pod", "", None),
    ("Deployment", "/spec/template", Some("ReplicaSet")),
    ("ReplicaSet", "/spec/template", Some("ReplicaSet")),
    ("Rollout", "/spec/template", Some("ReplicaSet")),
    ("StatefulSet", "/spec/template", Some("StatefulSet")),
    ("DaemonSet", "/spec/template", Some("DaemonSet")),
    ("ReplicationController", "/spec/template", Some("ReplicationController")),
    ("Job", "/spec/template", Some("Job")),
    ("CronJob", "/spec/jobTemplate/spec/template", Some("Job")),
];

/// The objects of a file, those of lists one by one.
fn objects(path: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for document in Documents::new(Cursor::new(fs::read(path).unwrap())) {
        flatten(document.unwrap().value().unwrap().unwrap_or_default(), &mut found);
    }
    found
}

fn flatten(value: Value, found: &mut Vec<Value>) {
    match value.get("items").and_then(Value::as_array) {
        Some(items) if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
            items.iter().for_each(|item| flatten(item.clone(), found));
        }
        _ => found.push(value),
    }
}

/// What the server makes of the pods that this object creates.
fn served(connection: &mut Connection, object: &Value, path: &str, owner: Option<&str>) -> Value {
    let template = object.pointer(path).cloned().unwrap_or_default();
    let mut pod = template.clone();
    if let Some(owner) = owner {
        let metadata = pod.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
        metadata["ownerReferences"] = json!([{"kind": owner, "name": "x", "controller": true}]);
    }
    let mut review = review(&pod);
    review["request"]["namespace"] =
        object["metadata"].get("namespace").cloned().unwrap_or(json!("default"));
    let patch = connection.post(review.to_string()).patch();
    if patch.is_null() {
        return template;
    }
    let patch: Patch = serde_json::from_value(patch).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    if owner.is_some() {
        let metadata = pod["metadata"].as_object_mut().unwrap();
        metadata.shift_remove("ownerReferences");
    }
    pod
}

/// The further arguments of a case, if a server can have the same.
fn arguments(case: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(case.join("arguments")).unwrap_or_default();
    let mut lines = text.lines();
    let mut arguments = Vec::new();
    let mut version = "1.37".to_owned();
    while let Some(line) = lines.next() {
        match line.split_once('=').unwrap_or((line, "")) {
            ("--kubernetes-version", "") => version = lines.next()?.to_owned(),
            ("--kubernetes-version", value) => version = value.to_owned(),
            // Anything else changes what is read or written, not what is decided.
            _ => return None,
        }
    }
    arguments.extend(["--kubernetes-version".to_owned(), version]);
    if case.join("config.yaml").exists() {
        arguments.extend(["--config".to_owned(), case.join("config.yaml").display().to_string()]);
    }
    Some(arguments)
}

#[test]
fn the_server_and_inject_agree_on_every_case() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for case in cases() {
        let is_json = case.join("input.json").exists();
        let name =
            |stem: &str| case.join(format!("{stem}.{}", if is_json { "json" } else { "yaml" }));
        // A file that can't be read as a whole gives nothing to compare.
        if case.join("exit").exists() || !name("expected").exists() {
            continue;
        }
        let Some(mut arguments) = arguments(&case) else { continue };
        let (input, expected) = (objects(&name("input")), objects(&name("expected")));
        if input.iter().any(|object| object["kind"] == "Namespace") {
            arguments.extend(["--namespaces-file".to_owned(), name("input").display().to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let serve = Serve::start_in(TempDir::new().unwrap(), &arguments);
        let mut connection = Connection::open(&serve);
        for (before, after) in input.iter().zip(&expected) {
            let known = TEMPLATES.iter().find(|(kind, ..)| before["kind"] == *kind);
            let Some((_, path, owner)) = known else { continue };
            if before.pointer(path).is_none_or(|template| !template.is_object()) {
                continue;
            }
            compared += 1;
            let served = served(&mut connection, before, path, *owner);
            if Some(&served) != after.pointer(path) {
                let wanted = after.pointer(path).cloned().unwrap_or_default();
                differences
                    .push(format!("{}:\n server {served}\n inject {wanted}", case.display()));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared >= 120, "only {compared} pods were compared");
}
