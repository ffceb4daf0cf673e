//! Servers that misbehave, and the resulting messages.

use std::process::Command;

use serde_json::json;

use super::{Case, SERVER, dropped, need_to_rehearse};

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn one_that_hangs_is_counted() {
    need_to_rehearse(&["python3"]);
    let case = Case::python("hang", &json!({}), &json!({})).with(&["--timeout", "1"]);
    let report = case.report(1);
    let run = &report["asInjected"];
    assert!(run["droppedByCause"]["timeOut"].as_u64().unwrap() > 0, "{}", run["droppedByCause"]);
    assert!(dropped(run) * 2 < run["requests"]["sent"].as_u64().unwrap(), "{}", report["verdict"]);
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn one_that_ignores_term_is_killed() {
    need_to_rehearse(&["python3"]);
    let grace = json!({"terminationGracePeriodSeconds": 3});
    let report = Case::python("ignore-term", &json!({}), &grace).report(0);
    for (run, grace) in [("asWritten", 3.0), ("asInjected", 5.0)] {
        let events = report[run]["events"].as_array().unwrap();
        let times = |name: &str| -> Vec<f64> {
            let found = events.iter().filter(|event| event["event"] == name);
            found.map(|event| event["atSeconds"].as_f64().unwrap()).collect()
        };
        let (deleted, killed) = (times("deleted"), times("killed"));
        assert_eq!((deleted.len(), killed.len()), (5, 5), "{run}");
        for (deleted, killed) in deleted.into_iter().zip(killed) {
            assert!(killed - deleted > grace - 0.1, "{run}: {deleted} {killed}");
        }
    }
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_server_that_does_not_start_is_reported_with_its_output() {
    need_to_rehearse(&["python3"]);
    let said = Case::python("refuse", &json!({}), &json!({})).refusal();
    assert!(said.contains("ended by itself (exit status: 1)"), "{said}");
    assert!(said.contains("no licence file found"), "{said}");
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_program_that_is_not_there_is_reported() {
    need_to_rehearse(&[]);
    let mut case = Case::python("", &json!({}), &json!({}));
    case.server = vec!["/no/such/server".to_owned()];
    let said = case.refusal();
    assert!(said.contains("/no/such/server"), "{said}");
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_server_that_is_never_ready_is_reported() {
    need_to_rehearse(&["python3"]);
    let probe = json!({"readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}});
    let case = Case::python("never-ready", &probe, &json!({})).with(&["--ready-timeout", "2"]);
    let said = case.refusal();
    assert!(
        said.contains("not ready within 2s: no status from 200 to 399 for GET /ready"),
        "{said}"
    );
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_server_on_another_port_is_reported_with_its_port() {
    need_to_rehearse(&["python3"]);
    let mut case = Case::python("", &json!({}), &json!({})).with(&["--ready-timeout", "8"]);
    case.server = ["python3", SERVER, "8081"].map(str::to_owned).to_vec();
    let said = case.refusal();
    assert!(said.contains("no connection to port 8080; it listens on port 8081"), "{said}");
    assert!(said.contains("listening on 8081"), "{said}");
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_path_that_is_not_served_is_reported() {
    need_to_rehearse(&["python3"]);
    let mut case = Case::python("never-ready", &json!({}), &json!({}));
    case = case.with(&["--path", "/ready"]);
    let said = case.refusal();
    assert!(said.contains("GET /ready with: status 503; choose a path"), "{said}");
}

#[test]
fn manifests_that_can_not_be_rehearsed_are_reported() {
    let said = Case::new(&json!({"name": "web"}), &json!({}), &["true"]).refusal();
    assert!(said.contains("--port"), "{said}");
    let case = Case::new(&json!({"name": "web"}), &json!({}), &["true"]);
    let said = case.with(&["--port", "80", "--container", "api"]).refusal();
    assert!(said.contains("no container api; there are web"), "{said}");
    let hook = json!({"name": "web", "lifecycle": {"preStop": {}}});
    let said = Case::new(&hook, &json!({}), &["true"]).with(&["--port", "80"]).refusal();
    assert!(said.contains("exactly one of exec, httpGet, sleep"), "{said}");
}

#[test]
fn a_rollout_whose_template_is_elsewhere_is_refused_as_inject_says_it() {
    let case = Case::new(&json!({"name": "web"}), &json!({}), &["true"]).with(&["--port", "80"]);
    let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    std::fs::write(case.path("deployment.json"), rollout.to_string()).unwrap();
    let said = case.refusal();
    let sentence = "Rollout web: The pod template is in Deployment web, named by spec.workloadRef.";
    assert!(said.contains(sentence), "{said}");
}

#[test]
fn missing_requirements_are_reported() {
    let case = Case::new(&json!({"name": "web"}), &json!({}), &["true"]).with(&["--port", "80"]);
    let mut command: Command = case.command();
    let output = command.env("PATH", case.folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("install util-linux and iproute2"), "{said}");
}
