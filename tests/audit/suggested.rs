//! `--suggest` and `--baseline`: the output is applied, and the audit is run again.

use std::fs;
use std::process::Command;

use super::formats::{audit, text};
use super::*;

/// Returns a manifest with findings that prestop fixes, by label and by annotations.
fn broken() -> Vec<Value> {
    let mut objects = good();
    apply(&mut objects, &[(web("/image"), json!("nginx:1.15")), script("nginx -s quit")]);
    let mut api = objects[0].clone();
    api["metadata"]["name"] = "api.v1".into();
    api["metadata"]["namespace"] = "it's".into();
    api["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = json!({});
    let mut service = objects[1].clone();
    service["metadata"]["namespace"] = "it's".into();
    service["spec"]["type"] = "LoadBalancer".into();
    service["metadata"]["annotations"] =
        json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "it's"}});
    objects.extend([api, service, namespace]);
    objects
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Merges each patch into the object that it refers to.
fn apply_patches(objects: &mut [Value], patches: &[Value]) {
    for patch in patches {
        let is_it = |object: &&mut Value| {
            object["kind"] == patch["kind"]
                && object["apiVersion"] == patch["apiVersion"]
                && object["metadata"]["name"] == patch["metadata"]["name"]
                && object["metadata"]["namespace"] == patch["metadata"]["namespace"]
        };
        let object = objects.iter_mut().find(is_it);
        merge(object.unwrap_or_else(|| panic!("{patch} is for nothing")), patch);
    }
}

fn written(objects: &[Value]) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let documents: Vec<_> = objects.iter().map(|object| format!("---\n{object}\n")).collect();
    fs::write(file.path(), documents.concat()).unwrap();
    file
}

fn suggested(form: &str, objects: &[Value]) -> String {
    let file = written(objects);
    let output = audit(&["--suggest", form, file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Returns the rules that still fire.
fn left(objects: &[Value]) -> Vec<String> {
    let file = written(objects);
    let output = audit(&["-o", "json", file.path().to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["items"].as_array().unwrap().iter().flat_map(|item| {
        item["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["rule"].as_str().unwrap().to_owned())
    });
    findings.collect()
}

const BEFORE: [&str; 5] =
    ["stops-at-once", "hard-stop-signal", "no-budget", "new-pods-too-early", "quit-without-wait"];
/// Findings that no annotation fixes.
const AFTER: [&str; 2] = ["new-pods-too-early", "no-budget"];

fn sorted(rules: Vec<String>) -> Vec<String> {
    let mut rules = rules;
    rules.sort();
    rules
}

fn mends_everything(objects: &[Value]) {
    let after = AFTER.map(str::to_owned).to_vec();
    assert_eq!(sorted(left(objects)), after);
}

#[test]
fn without_suggestions_there_are_findings() {
    assert_eq!(sorted(left(&broken())), sorted(BEFORE.map(str::to_owned).to_vec()));
}

#[test]
fn patches_mend_what_they_are_for() {
    let mut objects = broken();
    let patches: Vec<Value> = serde_saphyr::from_multiple(&suggested("patch", &objects)).unwrap();
    assert_eq!(patches.len(), 4, "two labels, two templates");
    apply_patches(&mut objects, &patches);
    mends_everything(&objects);
}

#[test]
fn a_component_of_kustomize_mends_what_it_is_for() {
    let mut objects = broken();
    let component: Value = serde_saphyr::from_str(&suggested("kustomize", &objects)).unwrap();
    assert_eq!(component["kind"], "Component");
    let patches = component["patches"].as_array().unwrap();
    let mut read = Vec::new();
    for entry in patches {
        let patch: Value = serde_saphyr::from_str(entry["patch"].as_str().unwrap()).unwrap();
        assert_eq!(entry["target"]["kind"], patch["kind"]);
        let name = patch["metadata"]["name"].as_str().unwrap().replace('.', "\\.");
        assert_eq!(entry["target"]["name"], name.as_str());
        read.push(patch);
    }
    apply_patches(&mut objects, &read);
    mends_everything(&objects);
}

/// A shell runs the commands, with a kubectl that only prints its arguments.
#[test]
fn commands_mend_what_they_are_for() {
    let mut objects = broken();
    let commands = suggested("kubectl", &objects);
    let fake = "kubectl() { printf '%s\\037' \"$@\"; echo; }\n";
    let output = Command::new("sh").arg("-c").arg(format!("{fake}{commands}")).output().unwrap();
    assert!(output.status.success(), "{commands}");
    let said = text(&output.stdout);
    assert_eq!(said.lines().count(), 4, "{said}");
    for line in said.lines() {
        let words: Vec<_> = line.trim_end_matches('\u{1f}').split('\u{1f}').collect();
        let patch = match words.as_slice() {
            ["label", "namespace", name, "prestop.dev/inject=enabled"] => json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"prestop.dev/inject": "enabled"}},
            }),
            [
                "patch",
                "deployment",
                name,
                "--namespace",
                namespace,
                "--type",
                "merge",
                "--patch",
                patch,
            ] => {
                let mut patch: Value = serde_json::from_str(patch).unwrap();
                let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}});
                merge(&mut patch, &object);
                patch
            }
            other => panic!("{other:?}"),
        };
        apply_patches(&mut objects, &[patch]);
    }
    mends_everything(&objects);
}

#[test]
fn a_baseline_hides_old_findings_and_lists_fixed_ones() {
    let objects = broken();
    let file = written(&objects);
    let baseline = tempfile::NamedTempFile::new().unwrap();
    let (input, baseline) = (file.path().to_str().unwrap(), baseline.path().to_str().unwrap());
    let output = audit(&["--write-baseline", baseline, input]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let again = audit(&["--baseline", baseline, input]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stdout));
    assert!(
        text(&again.stdout).ends_with("0 infos, 5 in the baseline)\n"),
        "{}",
        text(&again.stdout)
    );
    // One finding is new, one is gone; lines and files do not matter.
    let mut changed = objects;
    apply(&mut changed, &[script("sleep 10; nginx -s quit; sleep 20")]);
    apply(&mut changed, &[("/0/spec/strategy".to_owned(), json!({"type": "Recreate"}))]);
    changed.reverse();
    let file = written(&changed);
    let input = file.path().to_str().unwrap();
    let output = audit(&["--baseline", baseline, input]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("recreate (certain") && !said.contains("stops-at-once"), "{said}");
    let gone = "gone since the baseline: quit-without-wait in Deployment shop/web, container web\n";
    assert!(said.contains(gone), "{said}");
    // A report of -o json is a baseline as well, even one with a baseline.
    let report = audit(&["-o", "json", "--baseline", baseline, input]);
    fs::write(baseline, &report.stdout).unwrap();
    assert_eq!(audit(&["--baseline", baseline, input]).status.code(), Some(0));
    for wrong in ["{}", "", "[]"] {
        fs::write(baseline, wrong).unwrap();
        let output = audit(&["--baseline", baseline, input]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("not a report of prestop audit"));
    }
}

#[test]
fn the_configuration_ignores_with_reasons() {
    let objects = broken();
    let file = written(&objects);
    let config = tempfile::NamedTempFile::new().unwrap();
    let header = "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\naudit:\n  ignore:\n";
    let entries = "  - {rule: quit-without-wait, reason: soon gone, namespace: shop}
  - {rule: stops-at-once, reason: only for tests, name: api.v1}
  - {rule: hard-stop-signal, reason: only for tests}
  - {rule: grace-zero, reason: none}\n";
    fs::write(config.path(), format!("{header}{entries}")).unwrap();
    let (config, input) = (config.path().to_str().unwrap(), file.path().to_str().unwrap());
    let output = audit(&["--config", config, input]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains(", 3 ignored)"), "{}", text(&output.stdout));
    let stale = "note: audit.ignore in the configuration has no effect here: grace-zero (none)";
    assert!(text(&output.stderr).contains(stale), "{}", text(&output.stderr));
}
