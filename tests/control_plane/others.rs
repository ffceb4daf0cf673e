//! Other webhooks besides prestop, built with the library's own server.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prestop::cluster::certificates::{ServedCertificate, ephemeral};
use prestop::webhook::server::tls::{Acceptor, Terms};
use prestop::webhook::server::{Server, Transport};
use prestop::webhook::settings::{Limits, TlsVersion};
use prestop::webhook::shutdown;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::admission::prestop;
use prestop_test_support::control_plane::{ControlPlane, Webhook};

/// A webhook inside the test.
pub(super) struct Other {
    pub(super) port: u16,
    pub(super) authority_pem: String,
    runtime: Option<Runtime>,
}

impl Other {
    /// Starts a webhook that answers each request with the result of `answer` for its body.
    pub(super) fn start(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let certificate = ServedCertificate::none();
        let (authority, leaf) = ephemeral(SystemTime::now()).unwrap();
        certificate.serve(leaf.certified);
        let terms = Terms::new(TlsVersion::V1_3, certificate, None).unwrap();
        let answer = Arc::new(answer);
        let router = Router::new().route(
            "/mutate",
            post(move |body: Bytes| {
                let answer = answer.clone();
                async move { ([("content-type", "application/json")], answer(&body)) }
            }),
        );
        let server = Server {
            transport: Transport::Tls(Arc::new(Acceptor::new(terms))),
            router,
            limits: Limits::default(),
            metrics: None,
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (phase, shutdown) = shutdown::by_hand();
        runtime.spawn(async move {
            server.serve(listener, shutdown, Duration::ZERO).await;
            drop(phase);
        });
        Self { port, authority_pem: authority.certificate_pem().to_owned(), runtime: Some(runtime) }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns an answer that allows the request, with this patch.
pub(super) fn allowed(body: &[u8], patch: &Value) -> Vec<u8> {
    let review: Value = serde_json::from_slice(body).unwrap();
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    if !patch.is_null() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        .to_string()
        .into_bytes()
}

/// A later webhook adds a container: prestop is called again, adds the delay, and does nothing
/// twice.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_container_that_another_webhook_adds_gets_its_delay() {
    let control_plane = ControlPlane::start();
    let sidecar = Other::start(|body| {
        let review: Value = serde_json::from_slice(body).unwrap();
        let containers = review["request"]["object"]["spec"]["containers"].as_array().unwrap();
        let is_there = containers.iter().any(|container| container["name"] == "late");
        let container = json!({"name": "late", "image": "registry.example/late:1"});
        let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": container}]);
        allowed(body, if is_there { &Value::Null } else { &patch })
    });
    let serve = prestop(&control_plane);
    control_plane.webhook(&Webhook {
        name: "sidecar",
        port: sidecar.port,
        authority_pem: &sidecar.authority_pem,
    });
    let has_late =
        |pod: &Value| pod["spec"]["containers"].as_array().is_some_and(|all| all.len() == 2);
    control_plane.wait_for_effect("enabled", has_late);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
    });
    let (status, created) = control_plane.pod("enabled", &pod);
    assert_eq!(status, 201, "{created}");
    let containers = created["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2, "{created}");
    for container in containers {
        assert_eq!(
            container["lifecycle"],
            json!({"preStop": {"sleep": {"seconds": 10}}}),
            "{created}"
        );
    }
    assert_eq!(created["spec"]["terminationGracePeriodSeconds"], 40);
    let status: Value = serde_json::from_str(
        created["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(status["containers"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(status["grace"], json!({"before": 30, "after": 40, "stated": true}));
    assert_eq!(serve.metric("prestop_selfcheck_failures_total"), 0);
}

/// The example has the fields that a real API server sends.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_example_review_is_like_a_real_one() {
    let control_plane = ControlPlane::start();
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let recorder = Other::start({
        let seen = seen.clone();
        move |body| {
            if !String::from_utf8_lossy(body).contains("\"dryRun\":true") {
                *seen.lock().unwrap() = body.to_vec();
            }
            allowed(body, &json!([{"op": "add", "path": "/spec/priority", "value": 0}]))
        }
    });
    control_plane.namespace("shop", &json!({"prestop.dev/inject": "enabled"}));
    control_plane.webhook(&Webhook {
        name: "recorder",
        port: recorder.port,
        authority_pem: &recorder.authority_pem,
    });
    let example: Value =
        serde_json::from_str(include_str!("../../examples/admission-review.json")).unwrap();
    let mut pod = example["request"]["object"].clone();
    for field in ["managedFields", "creationTimestamp", "namespace"] {
        pod["metadata"].as_object_mut().unwrap().shift_remove(field);
    }
    pod.as_object_mut().unwrap().shift_remove("status");
    prestop_test_support::process::wait_until("a review", || {
        let (status, created) = control_plane.pod("shop", &pod);
        assert_eq!(status, 201, "{created}");
        !seen.lock().unwrap().is_empty()
    });
    let real: Value = serde_json::from_slice(&seen.lock().unwrap()).unwrap();
    let (mut expected, mut shown) = (Vec::new(), Vec::new());
    keys(&real, "", &mut expected);
    keys(&example, "", &mut shown);
    // The creator of pods differs, and so do its managed fields.
    let counts = |key: &String| !key.contains("/userInfo/") && !key.contains("/fieldsV1/");
    expected.retain(counts);
    shown.retain(counts);
    let missing: Vec<_> = expected.iter().filter(|key| !shown.contains(key)).collect();
    let more: Vec<_> = shown.iter().filter(|key| !expected.contains(key)).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, not sent {more:?}");
}

/// Adds the path of each field; items of lists are treated alike. Older servers write some fields
/// without a value.
fn keys(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                let path = format!("{path}/{name}");
                found.push(path.clone());
                keys(value, &path, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                keys(item, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}
