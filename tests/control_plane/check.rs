//! `prestop check` and `prestop certificates status` with real API servers, working and broken
//! ones.

mod beside;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::admission::prestop;
use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::process::wait_until;

const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const WEBHOOK: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/prestop";

/// Returns the exit status, and each check's status by its name.
fn check(kubeconfig: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, out, told) = run(kubeconfig, &[&["check", "--output", "json"], arguments].concat());
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{told}"));
    assert_eq!(report["version"], 1);
    let mut statuses = json!({});
    for check in report["checks"].as_array().unwrap() {
        statuses[check["id"].as_str().unwrap()] = check["status"].clone();
    }
    (code, statuses)
}

fn run(kubeconfig: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_working_installation_is_ok_and_a_broken_one_says_why() {
    let control_plane = ControlPlane::start();
    let kubeconfig = control_plane.administrator();
    assert_eq!(
        check(&kubeconfig, &[]),
        (1, json!({"kubernetes-version": "ok", "webhook-configuration": "failure"}))
    );
    let mut serve = prestop(&control_plane);
    let all_ok = json!({
        "kubernetes-version": "ok", "webhook-configuration": "ok", "ca-bundle": "ok",
        "later-webhooks": "ok", "namespaces": "ok", "injection": "ok", "stop-signal": "ok",
    });
    assert_eq!(check(&kubeconfig, &[]), (0, all_ok.clone()));
    // Connects as the API server does.
    let mut connected = all_ok.clone();
    connected["connection"] = json!("ok");
    assert_eq!(check(&kubeconfig, &["--connect"]), (0, connected));
    let address = serve.address.to_string();
    assert_eq!(check(&kubeconfig, &["--connect", "--address", &address]).0, 0);
    let (_, out, _) = run(&kubeconfig, &["check"]);
    assert!(out.contains("√ a pod in enabled gets a hook"), "{out}");
    assert!(out.contains("0 warning(s), 0 failure(s)"), "{out}");
    // Nothing was created.
    let (_, pods) = control_plane.request("GET", "/api/v1/namespaces/enabled/pods", None);
    assert_eq!(pods["items"], json!([]));
    // A pod that is not injected.
    control_plane.namespace("other", &json!({}));
    let (code, statuses) = check(&kubeconfig, &["--namespace", "other"]);
    assert_eq!((code, &statuses["injection"]), (1, &json!("failure")));
    // Without prestop.
    serve.signal("KILL");
    serve.ended();
    let (code, statuses) = check(&kubeconfig, &["--connect"]);
    assert_eq!(
        (code, &statuses["injection"], &statuses["connection"]),
        (1, &json!("failure"), &json!("failure"))
    );
    // An untrusted certificate.
    let (_, mut webhook) = control_plane.request("GET", WEBHOOK, None);
    webhook["webhooks"][0]["clientConfig"].as_object_mut().unwrap().shift_remove("caBundle");
    assert_eq!(control_plane.request("PUT", WEBHOOK, Some(&webhook)).0, 200);
    assert_eq!(check(&kubeconfig, &[]).1["ca-bundle"], "failure");
    // No namespace has opted in.
    let path = "/api/v1/namespaces/enabled";
    let namespace = json!({"metadata": {"name": "enabled", "labels": {}}});
    assert_eq!(control_plane.request("PUT", path, Some(&namespace)).0, 200);
    wait_until("nobody opted in", || check(&kubeconfig, &[]).1["namespaces"] == "warning");
}

/// With few rights, unreadable objects are warnings.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn what_one_may_not_see_is_a_warning() {
    let control_plane = ControlPlane::start();
    let _serve = prestop(&control_plane);
    let nothing = control_plane.kubeconfig("nobody", &json!([]));
    let (code, statuses) = check(&nothing, &[]);
    assert_eq!((code, &statuses["webhook-configuration"]), (0, &json!("warning")));
    // The rights of `helm test`.
    let rules = json!([{"apiGroups": ["admissionregistration.k8s.io"], "verbs": ["get"],
        "resources": ["mutatingwebhookconfigurations"], "resourceNames": ["prestop"]}]);
    let helm_test = control_plane.kubeconfig("helm-test", &rules);
    let (code, statuses) = check(&helm_test, &["--connect"]);
    assert_eq!(
        (code, &statuses["connection"], &statuses["namespaces"]),
        (0, &json!("ok"), &json!("warning"))
    );
}

/// Starts a proxy that passes every connection to this port. Returns its port, and the requested
/// addresses.
fn proxy_to(port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own_port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = asked.clone();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            told.lock().unwrap().push(head.lines().next().unwrap().to_owned());
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let twins = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut &twins.0, &mut &twins.1));
            thread::spawn(move || io::copy(&mut &server, &mut &client));
        }
    });
    (own_port, asked)
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_cluster_behind_a_proxy_is_checked() {
    let control_plane = ControlPlane::start();
    let _serve = prestop(&control_plane);
    let direct = control_plane.administrator();
    let mut kubeconfig: Value =
        serde_json::from_str(&std::fs::read_to_string(&direct).unwrap()).unwrap();
    let port: u16 = {
        let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap();
        server.rsplit(':').next().unwrap().parse().unwrap()
    };
    let (proxy, asked) = proxy_to(port);
    kubeconfig["clusters"][0]["cluster"]["server"] = json!("https://api.example.invalid:6443");
    kubeconfig["current-context"] = json!("");
    let away = direct.with_file_name("away.kubeconfig");
    std::fs::write(&away, kubeconfig.to_string()).unwrap();
    let url = format!("http://127.0.0.1:{proxy}");
    let run = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(command)
            .args(["--context", "test", "--kubeconfig"])
            .arg(&away)
            .env("HTTPS_PROXY", &url)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["check"]), (Some(0), String::new()));
    assert_eq!(run(&["certificates", "status"]), (Some(0), String::new()));
    assert!(!asked.lock().unwrap().is_empty());
    // The proxy in the kubeconfig takes precedence.
    kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!("http://127.0.0.1:1");
    std::fs::write(&away, kubeconfig.to_string()).unwrap();
    let (code, told) = run(&["check"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("by way of the proxy http://127.0.0.1:1"), "{told}");
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|it| it == "CONNECT api.example.invalid:6443 HTTP/1.1"), "{asked:?}");
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn several_installations_are_reported() {
    let control_plane = ControlPlane::start();
    let _serve = prestop(&control_plane);
    let (_, mut second) = control_plane.request("GET", WEBHOOK, None);
    second["metadata"] = json!({"name": "second"});
    control_plane.create(WEBHOOKS, &second);
    let kubeconfig = control_plane.administrator();
    let (code, out, _) = run(&kubeconfig, &["check"]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("2 webhook configurations have the entry pods.prestop.dev: prestop, second"),
        "{out}"
    );
    assert_eq!(check(&kubeconfig, &["--webhook", "second"]).0, 0);
    let (code, _, told) = run(&kubeconfig, &["certificates", "status"]);
    assert_eq!(code, 3);
    assert!(told.contains("choose one with --webhook NAME"), "{told}");
    let (_, out, _) = run(&kubeconfig, &["check", "--webhook", "third"]);
    assert!(out.contains("there is no webhook configuration third"), "{out}");
}

#[test]
fn without_a_cluster_it_is_exit_status_3() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    for arguments in [&["check"][..], &["certificates", "status"]] {
        let (code, out, told) = run(&none, arguments);
        assert_eq!((code, out.as_str()), (3, ""), "{told}");
        assert!(told.starts_with("error: "), "{told}");
    }
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn certificates_of_files_have_a_status_too() {
    let control_plane = ControlPlane::start();
    let kubeconfig = control_plane.administrator();
    let (code, _, told) = run(&kubeconfig, &["certificates", "status"]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("no webhook configuration has the entry pods.prestop.dev"), "{told}");
    let _serve = prestop(&control_plane);
    let (code, out, _) = run(&kubeconfig, &["certificates", "status"]);
    assert_eq!(code, 0);
    assert!(out.contains("CN=prestop authority"), "{out}");
    assert!(out.contains("the webhook has no Service; use --namespace NAME"), "{out}");
    control_plane.namespace("home", &json!({}));
    let path = "/api/v1/namespaces/home/secrets";
    for (name, data, expected) in [
        ("empty", json!({}), "is empty: no replica has filled it yet"),
        (
            "broken",
            json!({"state.json": STANDARD.encode("{")}),
            "the state in the Secret can't be read",
        ),
    ] {
        control_plane.create(path, &json!({"metadata": {"name": name}, "data": data}));
        let arguments = ["certificates", "status", "--namespace", "home", "--secret", name];
        let (_, out, _) = run(&kubeconfig, &arguments);
        assert!(out.contains(expected), "{out}");
    }
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn before_an_installation_rights_and_others_are_judged() {
    let control_plane = ControlPlane::start();
    let kubeconfig = control_plane.administrator();
    let all_ok = json!({
        "kubernetes-version": "ok", "installer-rights": "ok", "warnings-rights": "ok", "installation-namespace": "ok",
        "not-installed": "ok", "other-webhooks": "ok", "other-hooks": "ok",
    });
    assert_eq!(check(&kubeconfig, &["--pre"]), (0, all_ok.clone()));
    // A user without rights: by their own credentials, and impersonated by the administrator.
    let nobody = control_plane.kubeconfig("nobody", &json!([]));
    let (code, statuses) = check(&nobody, &["--pre"]);
    assert_eq!((code, &statuses["installer-rights"]), (1, &json!("failure")));
    assert_eq!(statuses["other-webhooks"], "warning");
    // Warnings are optional.
    assert_eq!(statuses["warnings-rights"], "warning");
    let (code, statuses) = check(&kubeconfig, &["--pre", "--as", "jane"]);
    assert_eq!((code, &statuses["installer-rights"]), (1, &json!("failure")));
    let masters = ["--pre", "--as", "jane", "--as-group", "system:masters"];
    assert_eq!(check(&kubeconfig, &masters), (0, all_ok));
    let (_, out, _) = run(&kubeconfig, &["check", "--pre", "--as", "jane"]);
    assert!(out.contains("create clusterroles") && out.contains("patch mutating"), "{out}");
    let warnings = "(warnings.enabled: true): create validatingwebhookconfigurations, get validatingwebhookconfigurations/prestop, patch validatingwebhookconfigurations/prestop";
    assert!(out.contains(warnings), "{out}");
    // prestop is already installed.
    let _serve = prestop(&control_plane);
    let (code, statuses) = check(&kubeconfig, &["--pre"]);
    assert_eq!((code, &statuses["not-installed"]), (0, &json!("warning")));
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_check_waits_until_nothing_fails() {
    let control_plane = ControlPlane::start();
    let kubeconfig = control_plane.administrator();
    let (code, _, told) = run(&kubeconfig, &["check", "--wait", "1s"]);
    assert_eq!((code, told.as_str()), (1, ""));
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_prestop"))
        .args(["check", "--wait", "10m"])
        .env("KUBECONFIG", &kubeconfig)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(waiting.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("waiting: no webhook configuration has the entry"), "{first}");
    let _serve = prestop(&control_plane);
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("√ a pod in enabled gets a hook"), "{said}");
}
