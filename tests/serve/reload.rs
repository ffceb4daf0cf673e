//! Configuration and namespaces that change while the server runs.

use std::fs;

use serde_json::json;

use prestop_test_support::process::{Serve, configuration};
use prestop_test_support::wire::{Connection, body, pod, review};

const CHANGED: &str = "prestop_reloads_total{what=\"configuration\",result=\"changed\"}";
const FAILED: &str = "prestop_reloads_total{what=\"configuration\",result=\"failed\"}";

/// Returns the delay that a pod gets now.
fn delay(connection: &mut Connection) -> String {
    let patch = connection.post(body()).patch();
    patch[0]["value"]["preStop"]["exec"]["command"][1].as_str().unwrap().to_owned()
}

#[test]
fn rules_and_level_change_and_a_mistake_keeps_the_last_good_ones() {
    let mut serve = Serve::configured("defaults: {delay: 5s}\n");
    let mut connection = Connection::open(&serve);
    assert_eq!(delay(&mut connection), "5");
    let file = serve.folder.path().join("prestop.yaml");
    fs::write(&file, configuration("defaults: {delay: 7s}\nlog: {level: debug}\n")).unwrap();
    serve.wait_for_metric(CHANGED, 1);
    assert_eq!(delay(&mut connection), "7");
    // Skipped pods are logged only at level debug.
    let mut skipped = pod();
    skipped["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1}}});
    connection.post(review(&skipped).to_string());
    prestop_test_support::process::wait_until("a line at debug", || {
        serve.log().contains("own-hooks")
    });
    fs::write(&file, configuration("defaults: {dealy: 9s}\n")).unwrap();
    serve.wait_for_metric(FAILED, 1);
    assert_eq!(delay(&mut connection), "7");
    let line = serve.wait_for_line("keeping the last valid version");
    assert!(line["error"].as_str().unwrap().contains("did you mean delay?"), "{line}");
    fs::remove_file(&file).unwrap();
    serve.wait_for_metric(FAILED, 2);
    assert_eq!(delay(&mut connection), "7");
    fs::write(&file, configuration("defaults: {delay: 9s}\nserver: {workers: 2}\n")).unwrap();
    serve.wait_for_metric(CHANGED, 2);
    assert_eq!(delay(&mut connection), "9");
    serve.wait_for_line(
        "changes of server, tls, log.format and metrics take effect after a restart",
    );
}

#[test]
fn namespaces_come_from_a_file_and_change_with_it() {
    let namespaces = |annotations: &str, label: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {{prestop.dev/inject: {label}}}\n  annotations: {{{annotations}}}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("namespaces.yaml");
    fs::write(&file, namespaces("prestop.dev/delay: 12s", "enabled")).unwrap();
    let serve = Serve::start_in(folder, &["--namespaces-file", "{folder}/namespaces.yaml"]);
    let mut connection = Connection::open(&serve);
    assert_eq!(delay(&mut connection), "12");
    let changed = "prestop_reloads_total{what=\"namespaces\",result=\"changed\"}";
    fs::write(&file, namespaces("prestop.dev/delay: 13s", "enabled")).unwrap();
    serve.wait_for_metric(changed, 1);
    assert_eq!(delay(&mut connection), "13");
    fs::write(&file, namespaces("", "disabled")).unwrap();
    serve.wait_for_metric(changed, 2);
    let reason = connection.post(body()).response()["auditAnnotations"]["reason"].clone();
    assert_eq!(reason, "namespace-not-enabled");
}
