//! Files that a kustomization lists as patches: parts of objects, even if they look like whole
//! ones.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use prestop_manifest::Documents;
use serde_json::Value;

/// Names of a kustomization file.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Fields with the names of patch files.
const FIELDS: [&str; 3] = ["patches", "patchesStrategicMerge", "patchesJson6902"];

/// Returns the files that the kustomizations next to these files list as patches, each with its
/// kustomization.
pub(super) fn patches<'a>(files: impl Iterator<Item = &'a Path>) -> HashMap<PathBuf, PathBuf> {
    let folders: BTreeSet<PathBuf> =
        files.filter_map(|file| Some(file.parent()?.to_owned())).collect();
    let mut found = HashMap::new();
    for folder in folders {
        for name in NAMES {
            let kustomization = folder.join(name);
            for patch in listed(&kustomization) {
                // Missing files are reported by Kustomize.
                if let Ok(path) = fs::canonicalize(folder.join(patch)) {
                    found.insert(path, kustomization.clone());
                }
            }
        }
    }
    found
}

/// Returns the paths of patches in a kustomization; none if it can't be read, which is reported
/// later.
fn listed(kustomization: &Path) -> Vec<String> {
    let Ok(file) = File::open(kustomization) else { return Vec::new() };
    let documents = Documents::new(BufReader::new(file)).map_while(Result::ok);
    let values = documents.filter_map(|document| document.read().ok()?);
    values.flat_map(|reading| paths(&reading.value)).collect()
}

fn paths(kustomization: &Value) -> Vec<String> {
    let lists = FIELDS.iter().filter_map(|field| kustomization.get(field)?.as_array());
    let paths = lists.flatten().filter_map(|patch| match patch {
        // An inline patch is not the name of a file.
        Value::String(path) => Some(path.as_str()).filter(|path| !path.contains('\n')),
        patch => patch.get("path").and_then(Value::as_str),
    });
    paths.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_that_names_patches_is_read() {
        let kustomization = json!({
            "resources": ["web.yaml"],
            "patches": [{"path": "a.yaml", "target": {"kind": "Deployment"}}, {"patch": "- op: add"}, "b.yaml"],
            "patchesStrategicMerge": ["c.yaml", "apiVersion: v1\nkind: Pod\n"],
            "patchesJson6902": [{"path": "d.json"}],
        });
        assert_eq!(paths(&kustomization), ["a.yaml", "b.yaml", "c.yaml", "d.json"]);
        assert!(paths(&json!({"patches": {"path": "a.yaml"}})).is_empty());
    }
}
