//! The workflows run the same steps as .ci/run, with as few permissions as possible and with pinned
//! actions.

use serde_json::Value;

use super::*;

fn workflow(name: &str) -> (String, Value) {
    let text = read(root().join(format!(".github/workflows/{name}")));
    let parsed = serde_saphyr::from_str(&text).unwrap();
    (text, parsed)
}

/// Returns every step of every job.
fn steps(workflow: &Value) -> Vec<&Value> {
    let jobs = workflow["jobs"].as_object().unwrap().values();
    jobs.flat_map(|job| job["steps"].as_array().unwrap()).collect()
}

#[test]
fn every_step_of_ci_is_in_a_workflow() {
    let (text, _) = workflow("ci.yaml");
    let script = read(root().join(".ci/run"));
    let mut seen = 0;
    for line in script.lines() {
        let Some((_, rest)) = line.split_once("step \"") else { continue };
        let (name, command) = rest.split_once("\" ").unwrap();
        // The script uses a cluster on this machine, GitHub uses kind. Workflows set variables in
        // `env`.
        let command = match command {
            "tests/e2e/run" => "tests/e2e/kind".to_owned(),
            command if command.starts_with("tests/control_plane/run ") => {
                "tests/control_plane/run".to_owned()
            }
            command if command.starts_with("env ") => {
                command.split_once(" cargo ").map(|it| format!("cargo {}", it.1)).unwrap()
            }
            command => command.to_owned(),
        };
        assert!(text.contains(&command), "no job of ci.yaml runs the step {name}: {command}");
        seen += 1;
    }
    assert!(seen > 15, "{seen} steps");
    for version in ["1.37", "1.33"] {
        assert!(text.contains(&format!("\"{version}\"")), "{version}");
    }
}

#[test]
fn actions_are_pinned_and_everything_else_is_a_script() {
    for name in ["ci.yaml", "release.yaml"] {
        let (text, parsed) = workflow(name);
        assert_eq!(parsed["permissions"], serde_json::json!({"contents": "read"}), "{name}");
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            let (_, action) = line.split_once("uses: ").unwrap();
            let (action, version) = action.split_once(" # v").unwrap_or_else(|| panic!("{line}"));
            let (_, digest) = action.split_once('@').unwrap();
            let is_digest =
                digest.len() == 40 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_digest && version.split('.').count() == 3, "{name}: {line}");
        }
        for step in steps(&parsed) {
            let Some(command) = step["run"].as_str() else { continue };
            assert_eq!(command.lines().count(), 1, "{name}: a script in a workflow: {command}");
            let program = command.split(' ').next().unwrap();
            let is_known = matches!(program, "cargo" | "chmod") || root().join(program).is_file();
            assert!(is_known, "{name}: {command}");
        }
    }
}

/// Only the last job of a release has permission to write.
#[test]
fn rights_are_given_to_who_publishes() {
    for name in ["ci.yaml", "release.yaml"] {
        let (_, parsed) = workflow(name);
        for (job, content) in parsed["jobs"].as_object().unwrap() {
            let is_publishing = name == "release.yaml" && job == "publish";
            assert_eq!(content.get("permissions").is_some(), is_publishing, "{name}: {job}");
            assert!(content["timeout-minutes"].is_u64(), "{name}: {job} has no end");
        }
        for step in steps(&parsed) {
            let uses = step["uses"].as_str().unwrap_or_default();
            let keeps = &step["with"]["persist-credentials"];
            assert!(!uses.starts_with("actions/checkout@") || keeps == false, "{name}: {step}");
        }
    }
}
