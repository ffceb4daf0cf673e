//! `failurePolicy: Ignore`: whatever prestop does, pods are created in time.

use std::net::TcpListener;
use std::time::Instant;

use serde_json::json;

use super::admission::prestop;
use super::others::Other;
use prestop_test_support::control_plane::{ControlPlane, IN_TIME, Webhook, has_status};

fn is_created(control_plane: &ControlPlane, namespace: &str, name: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
    });
    let began = Instant::now();
    let (status, created) = control_plane.pod(namespace, &pod);
    assert_eq!(status, 201, "{name}: {created}");
    assert!(!has_status(&created), "{name}");
    assert!(began.elapsed() < IN_TIME, "{name}: {:?}", began.elapsed());
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn pods_are_created_while_prestop_is_down() {
    let control_plane = ControlPlane::start();
    let mut serve = prestop(&control_plane);
    serve.signal("KILL");
    serve.ended();
    is_created(&control_plane, "enabled", "down");
    let failed = control_plane.metric("apiserver_admission_webhook_fail_open_count", &["prestop"]);
    assert_eq!(failed, 1);
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn pods_are_created_while_prestop_hangs() {
    let control_plane = ControlPlane::start();
    let mut serve = prestop(&control_plane);
    serve.signal("STOP");
    is_created(&control_plane, "enabled", "stopped");
    serve.signal("CONT");
    control_plane.wait_for_effect("enabled", has_status);
    assert!(!serve.has_ended());
    // A port that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    control_plane.namespace("silent", &json!({"prestop.dev/inject": "enabled"}));
    serve.signal("KILL");
    serve.ended();
    control_plane.webhook(&Webhook {
        name: "silent",
        port: silent.local_addr().unwrap().port(),
        authority_pem: &std::fs::read_to_string(serve.folder.path().join("ca.crt")).unwrap(),
    });
    is_created(&control_plane, "silent", "silent");
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn pods_are_created_whatever_is_answered() {
    let control_plane = ControlPlane::start();
    control_plane.namespace("enabled", &json!({"prestop.dev/inject": "enabled"}));
    for (name, answer) in
        [("garbage", "garbage"), ("empty", ""), ("other", "{\"kind\":\"Status\"}")]
    {
        let odd = Other::start(move |_| answer.as_bytes().to_vec());
        control_plane.webhook(&Webhook { name, port: odd.port, authority_pem: &odd.authority_pem });
        let failed = || {
            control_plane.metric(
                "apiserver_admission_webhook_fail_open_count",
                &[&format!("{name}.prestop.dev")],
            )
        };
        let mut count = 0;
        prestop_test_support::process::wait_until("a call that failed", || {
            count += 1;
            is_created(&control_plane, "enabled", &format!("{name}-{count}"));
            failed() > 0
        });
    }
}
