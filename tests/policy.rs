//! Output of `prestop policy`: golden files, and rules that apply to all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use prestop_core::admission_policy::{Difference, SYSTEM_NAMESPACES};
use prestop_core::catalogue::{Catalogue, ProfileHook};
use prestop_core::engine::hook;
use prestop_test_support::{helm, program};
use serde_json::Value;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs `prestop policy`. Returns exit status, standard output and standard error.
fn policy(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).arg("policy").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn written(arguments: &[&str]) -> String {
    let (code, written, told) = policy(arguments);
    assert_eq!((code, told.as_str()), (0, ""), "{arguments:?}");
    written
}

#[test]
fn the_output_is_as_committed() {
    let config = root("tests/policy/configured.config.yaml").display().to_string();
    for (name, arguments) in [
        ("default", vec![]),
        ("nginx-httpd", vec!["--profiles", "nginx,httpd", "--validate"]),
        (
            "configured",
            vec!["--config", &config, "--profiles", "shop", "--all-namespaces", "--name", "shop"],
        ),
    ] {
        let path = root(&format!("tests/policy/{name}.yaml"));
        let written = written(&arguments);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &written).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap();
        assert!(
            written == expected,
            "{name}: run UPDATE_GENERATED=1 cargo test --test prestop policy::, and read the difference"
        );
    }
}

#[test]
fn each_policy_has_its_binding_and_refuses_nothing() {
    let documents = helm::documents(&written(&["--validate", "--name", "x"]));
    let kinds: Vec<_> = documents.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ]
    );
    for document in &documents {
        assert_eq!(document["apiVersion"], "admissionregistration.k8s.io/v1");
        assert_eq!(document["metadata"]["name"], "x");
        if document["kind"].as_str().unwrap().ends_with("Binding") {
            assert_eq!(document["spec"]["policyName"], "x");
        } else {
            assert_eq!(document["spec"]["failurePolicy"], "Ignore");
        }
    }
    assert_eq!(documents[3]["spec"]["validationActions"], serde_json::json!(["Warn"]));
}

#[test]
fn the_script_is_the_engines_own() {
    let documents = helm::documents(&written(&["--profiles", "nginx"]));
    let variables = documents[0]["spec"]["variables"].as_array().unwrap();
    let script = variables.iter().find(|variable| variable["name"] == "script").unwrap();
    let text: String = serde_json::from_str(script["expression"].as_str().unwrap()).unwrap();
    assert_eq!(text, hook::script());
    // Without a profile nothing needs a shell.
    assert!(!written(&[]).contains("/bin/sh"));
}

#[test]
fn every_profile_with_a_quit_can_be_chosen() {
    let names = Catalogue::built_in().profiles().iter();
    let names = names.filter(|profile| matches!(profile.hook, ProfileHook::Quit(_)));
    let names: Vec<_> = names.map(|profile| profile.name.as_str()).collect();
    assert_eq!(written(&["--profiles", &names.join(",")]), written(&["--profiles", "*"]));
}

#[test]
fn namespaces_of_the_system_are_those_of_the_chart() {
    let values = fs::read_to_string(root("charts/prestop/values.yaml")).unwrap();
    let values = helm::documents(&values).remove(0);
    let excluded: Vec<_> = SYSTEM_NAMESPACES.into_iter().map(Value::from).collect();
    assert_eq!(values["webhook"]["excludedNamespaces"], Value::from(excluded));
}

#[test]
fn the_comment_says_everything_that_the_policy_does_not_do() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let written = written(&[]);
    let written: Vec<_> = written.lines().map(|line| line.trim_start_matches("# ")).collect();
    let written = words(&written.join(" "));
    for difference in Difference::ALL {
        assert!(written.contains(&words(difference.sentence())), "{}", difference.code());
    }
}

#[test]
fn what_the_configuration_asks_for_in_vain_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prestop.yaml");
    let text = "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\ndefaults:\n  delay: 10s-1m\n  hold: connections\n";
    fs::write(&config, text).unwrap();
    let written = written(&["--config", config.to_str().unwrap()]);
    let written = written.replace("\n#   ", " ");
    let marked: Vec<_> = written.lines().filter(|line| line.contains("asks for it")).collect();
    assert_eq!(marked.len(), 3, "{marked:#?}");
    assert!(marked.iter().any(|line| line.contains("upper bound")), "{marked:#?}");
}

#[test]
fn wrong_arguments_are_errors_that_name_the_fix() {
    for (arguments, expected) in [
        (&["--profiles", "ngnix"][..], "did you mean nginx?"),
        (&["--profiles", "caddy"], "this profile has no quit"),
        (&["--name", "Not A Name"], "lower-case letters"),
        (&["--config", "no-such-file.yaml"], "no-such-file.yaml"),
    ] {
        let (code, written, told) = policy(arguments);
        assert_eq!((code, written.as_str()), (2, ""), "{arguments:?}");
        assert!(told.contains(expected), "{told}");
    }
}
