//! Servers that drop requests with the manifest as written, and none as injected.

use std::fs;

use serde_json::json;

use super::{Case, dropped, need_to_rehearse};

/// Returns a case with nginx as PID 1, configured like the image.
pub(super) fn nginx(lifecycle: &serde_json::Value) -> Case {
    let container = json!({"name": "nginx", "image": "nginx:1.15", "lifecycle": lifecycle});
    let case = Case::new(&container, &json!({}), &[]);
    let configuration = case.path("nginx.conf");
    fs::write(
        &configuration,
        "daemon off; user root; worker_processes 1; pid /run/nginx.pid; error_log stderr;\n\
         events { worker_connections 512; }\n\
         http { access_log off; server { listen 8080; return 200 'hello'; } }\n",
    )
    .unwrap();
    let mut case = case.with(&["--port", "8080"]);
    let configuration = configuration.to_str().unwrap();
    case.server = ["/usr/sbin/nginx", "-c", configuration].map(str::to_owned).to_vec();
    case
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn nginx_1_15_is_stopped_without_a_dropped_request() {
    need_to_rehearse(&["nginx"]);
    let case = nginx(&json!({}));
    let picture = case.path("picture.svg");
    let case = case.with(&["--svg", picture.to_str().unwrap()]);
    let report = case.report(0);
    assert_eq!(report["stopSignal"]["name"], "TERM");
    assert!(dropped(&report["asWritten"]) > 0, "{}", report["verdict"]);
    assert_eq!(dropped(&report["asInjected"]), 0, "{}", report["verdict"]);
    // Each hook delayed the stop signal until nginx was done, and was killed when nginx exited.
    let hooks = report["asInjected"]["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), 5);
    assert!(hooks.iter().all(|hook| hook["detail"] == 137), "{hooks:?}");
    let picture = fs::read_to_string(&picture).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("as injected"));
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn nginx_quit_alone_drops_requests() {
    need_to_rehearse(&["nginx"]);
    let quit = json!({"preStop": {"exec": {"command": ["/usr/sbin/nginx", "-s", "quit"]}}});
    let report = nginx(&quit).report(1);
    assert!(report["unchanged"].is_string());
    assert_eq!(report["asWritten"], report["asInjected"]);
    assert!(dropped(&report["asWritten"]) > 0);
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_program_that_exits_on_term_is_stopped_without_a_dropped_request() {
    need_to_rehearse(&["python3"]);
    let report = Case::python("", &json!({}), &json!({})).report(0);
    assert!(dropped(&report["asWritten"]) > 0, "{}", report["verdict"]);
    assert_eq!(dropped(&report["asInjected"]), 0, "{}", report["verdict"]);
    assert_eq!(report["asInjected"]["hook"], json!({"sleep": {"seconds": 2}}));
    assert_eq!(report["asInjected"]["gracePeriodSeconds"], 32);
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn an_image_without_a_shell_can_not_run_sleep() {
    need_to_rehearse(&["python3"]);
    let sleep = json!({"lifecycle": {"preStop": {"exec": {"command": ["sleep", "2"]}}},
        "image": "gcr.io/distroless/python3-debian12"});
    let report = Case::python("", &sleep, &json!({})).report(1);
    let hooks = report["asWritten"]["hooks"].as_array().unwrap();
    assert!(hooks.iter().all(|hook| hook["result"] == "failed"), "{hooks:?}");
    assert!(dropped(&report["asWritten"]) > 0);
}
