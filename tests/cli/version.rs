//! `prestop version`, alone and with replicas behind an API server that is simulated by this test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

use super::*;

const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const PODS: &str = "/api/v1/namespaces/prestop-system/pods";

/// Returns the cluster's answer for a path.
fn answer(path: &str) -> (u16, Value) {
    let pod = |name: &str, tag: &str, port: &str| {
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "prestop",
            "image": format!("registry.example/prestop:{tag}"),
            "ports": [{"name": "https", "containerPort": 10250}, {"name": port, "containerPort": 10251}]}]}})
    };
    let refusal = |status: u16, message: &str| {
        (
            status,
            json!({"kind": "Status", "status": "Failure", "code": status, "message": message, "reason": ""}),
        )
    };
    let pod_list = format!("{PODS}?&labelSelector=app%3Dprestop");
    match path {
        "/version" => (200, json!({"major": "1", "minor": "37"})),
        path if path.starts_with(WEBHOOKS) => {
            let service = json!({"name": "prestop", "namespace": "prestop-system"});
            let entry = json!({"name": "pods.prestop.dev", "clientConfig": {"service": service}});
            (
                200,
                json!({"metadata": {}, "items": [{"metadata": {"name": "prestop"}, "webhooks": [entry]}]}),
            )
        }
        "/api/v1/namespaces/prestop-system/services/prestop" => (
            200,
            json!({"metadata": {"name": "prestop"}, "spec": {"selector": {"app": "prestop"}}}),
        ),
        path if *path == pod_list => {
            let pods = [
                pod("new", "0.2.0", "metrics"),
                pod("old", "0.1.0", "metrics"),
                pod("away", "0.1.0", "metrics"),
                pod("secret", "0.1.0", "metrics"),
                pod("other", "9", "http"),
            ];
            (200, json!({"metadata": {}, "items": pods}))
        }
        "/api/v1/namespaces/prestop-system/pods/new:10251/proxy/version" => (
            200,
            json!({"version": "0.2.0", "revision": "0123456789abcdef", "date": "2026-11-28T13:50:00Z"}),
        ),
        "/api/v1/namespaces/prestop-system/pods/old:10251/proxy/version" => {
            (200, json!({"version": "0.1.0"}))
        }
        "/api/v1/namespaces/prestop-system/pods/away:10251/proxy/version" => {
            refusal(500, "error trying to reach service: connection refused")
        }
        "/api/v1/namespaces/prestop-system/pods/secret:10251/proxy/version" => {
            refusal(403, "pods/proxy is forbidden")
        }
        path => panic!("nobody asks for {path}"),
    }
}

fn serve(mut client: TcpStream) {
    let mut read = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        read.extend_from_slice(&bytes[..count]);
        if !read.ends_with(b"\r\n\r\n") {
            continue;
        }
        let request = String::from_utf8(std::mem::take(&mut read)).unwrap();
        let (status, body) = answer(request.split(' ').nth(1).unwrap());
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.write_all((head + &body).as_bytes()).unwrap();
    }
}

/// Runs the program with a kubeconfig for that server.
fn asked(arguments: &[&str], port: u16) -> Output {
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n\
         clusters: [{{name: here, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
         users: [{{name: me, user: {{}}}}]\n"
    );
    let home = folder(&[("config", &kubeconfig)]);
    let mut command = prestop(arguments);
    command.env("KUBECONFIG", home.path().join("config"));
    for proxy in
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        command.env_remove(proxy);
    }
    command.output().unwrap()
}

fn cluster() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        listener.incoming().flatten().for_each(|client| drop(thread::spawn(|| serve(client))));
    });
    port
}

#[test]
fn each_replica_is_asked_through_the_api_server() {
    let port = cluster();
    let output = asked(&["version", "--cluster"], port);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        stdout(&run(&["--version"]))
            + "prestop-system/new: prestop 0.2.0 (0123456789ab, 2026-11-28)\n\
               prestop-system/old: prestop 0.1.0\n\
               prestop-system/away: registry.example/prestop:0.1.0; error trying to reach service: \
               connection refused (500)\n\
               prestop-system/secret: registry.example/prestop:0.1.0; you do not have the right to get pods/proxy\n\
               prestop-system/other: registry.example/prestop:9; it has no port metrics\n"
    );
    let output = asked(&["version", "--cluster", "-o", "json"], port);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["version"], 1);
    assert_eq!(report["client"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        report["replicas"][0],
        json!({"pod": "prestop-system/new", "image": "registry.example/prestop:0.2.0", "version": "0.2.0",
            "revision": "0123456789abcdef", "date": "2026-11-28T13:50:00Z"})
    );
    assert!(report["replicas"][3]["error"].as_str().unwrap().contains("the right"), "{report}");
}

#[test]
fn without_a_cluster_the_own_version_is_still_printed() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = asked(&["version", "--cluster"], free);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(stdout(&output), stdout(&run(&["--version"])));
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&run(&["version", "-o", "json"]).stdout).unwrap();
    assert_eq!(report, json!({"version": 1, "client": {"version": env!("CARGO_PKG_VERSION")}}));
    assert_eq!(run(&["version", "--webhook", "x"]).status.code(), Some(2));
}
