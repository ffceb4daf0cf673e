//! The golden cases; `tests/golden.rs` describes the files in their folders.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use prestop_manifest::Documents;
use serde_json::Value;

use crate::root;

/// Returns the folders of all cases, sorted.
pub fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/cases")).unwrap();
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// Returns the values of a file's documents.
pub fn documents(path: &Path) -> Vec<Value> {
    let all = Documents::new(Cursor::new(fs::read(path).unwrap()));
    let readings = all.map(|document| document.unwrap().read().unwrap());
    readings.map(|reading| reading.map(|reading| reading.value).unwrap_or_default()).collect()
}

/// Returns the additional arguments of a case, if a server accepts the same arguments.
pub fn arguments(case: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(case.join("arguments")).unwrap_or_default();
    let mut lines = text.lines();
    let mut arguments = Vec::new();
    let mut version = "1.37";
    while let Some(line) = lines.next() {
        match line.split_once('=').unwrap_or((line, "")) {
            ("--kubernetes-version", "") => version = lines.next()?,
            ("--kubernetes-version", value) => version = value,
            // Other arguments affect the input or output, not the decision.
            _ => return None,
        }
    }
    arguments.extend(["--kubernetes-version".to_owned(), version.to_owned()]);
    if case.join("config.yaml").exists() {
        arguments.extend(["--config".to_owned(), case.join("config.yaml").display().to_string()]);
    }
    Some(arguments)
}

/// Removes the parts of an injected manifest's status that the webhook can't know: the texts of
/// replaced values. Returns `false` if a delay depends on fronts, which are in the manifests as
/// well.
pub fn is_as_by_webhook(status: &mut Value) -> bool {
    let Some(status) = status.as_object_mut() else { return true };
    status.shift_remove("text");
    let mut containers =
        status.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten();
    containers.all(|container| {
        container.as_object_mut().is_none_or(|container| {
            container.shift_remove("text");
            !container.contains_key("front")
        })
    })
}
