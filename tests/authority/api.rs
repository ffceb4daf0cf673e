//! An API server with the parts that the shared CA needs: a Secret, a webhook configuration, and
//! the time. In memory, as a kube client or over HTTP.

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use prestop::cluster::certificates::rotation::Shared;
use serde_json::{Value, json};

const SECRET: &str = "/api/v1/namespaces/prestop/secrets/prestop-authority";
const WEBHOOK: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/prestop";

#[derive(Clone)]
pub(super) struct ApiServer(Arc<Mutex<Cluster>>);

/// The content of the cluster.
pub(super) struct Cluster {
    pub(super) secret: Value,
    /// Null if there is none.
    pub(super) webhook: Value,
    /// The API server's clock; the real time if `None`.
    pub(super) now: Option<SystemTime>,
    /// How far the server's clock is ahead, in seconds.
    pub(super) ahead: u64,
    /// A state that another replica writes into the Secret just before this one does.
    pub(super) other_writes: Option<String>,
    /// Number of changes of the two objects through the API.
    pub(super) changes: u64,
}

impl ApiServer {
    /// Creates the cluster with the chart's objects: the Secret is empty.
    pub(super) fn new() -> Self {
        let metadata = |name: &str| json!({"name": name, "resourceVersion": "0"});
        let service = json!({"namespace": "prestop", "name": "prestop"});
        Self(Arc::new(Mutex::new(Cluster {
            secret: json!({"metadata": metadata("prestop-authority"), "type": "Opaque"}),
            webhook: json!({
                "metadata": metadata("prestop"),
                "webhooks": [{"name": "pods.prestop.dev", "clientConfig": {"service": service}}],
            }),
            now: None,
            ahead: 0,
            other_writes: None,
            changes: 0,
        })))
    }

    /// Accesses or changes the content of the cluster.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Cluster) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let (status, date, answer) =
                    server.with(|it| it.answer(head.method.as_str(), head.uri.path(), &body));
                let answer = Body::from(answer.to_string().into_bytes());
                let response = Response::builder().status(status).header("date", date);
                Ok::<_, Infallible>(response.body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }

    /// Serves over HTTP until the test ends. Returns a kubeconfig for the server.
    pub(super) fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                // A client that disconnects early gets no answer.
                thread::spawn(move || server.serve(&stream));
            }
        });
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let file = folder.join("kubeconfig");
        fs::write(&file, kubeconfig.to_string()).unwrap();
        file
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let (method, rest) = line.split_once(' ')?;
        let path = rest.split([' ', '?']).next()?.to_owned();
        let (mut length, mut header) = (0, String::new());
        while reader.read_line(&mut header).ok()? > 2 {
            let header = std::mem::take(&mut header).to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, date, answer) = self.with(|it| it.answer(method, &path, &body));
        let answer = answer.to_string();
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 {status} x\r\ndate: {date}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all((head + &answer).as_bytes()).ok()
    }
}

impl Cluster {
    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, String, Value) {
        let now = self.now.unwrap_or_else(SystemTime::now) + Duration::from_secs(self.ahead);
        let (status, answer) = self.answered(method, path, body);
        (status, httpdate::fmt_http_date(now), answer)
    }

    fn answered(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        match (method, path) {
            ("GET", "/version") => {
                (200, json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"}))
            }
            ("GET", SECRET) => (200, self.secret.clone()),
            ("PUT", SECRET) => {
                if let Some(json) = self.other_writes.take() {
                    self.write_state(&json);
                }
                let written: Value = serde_json::from_slice(body).unwrap();
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                if version(&written) != version(&self.secret) {
                    return failure(409);
                }
                self.changes += 1;
                self.secret = written;
                renew_version(&mut self.secret);
                (200, self.secret.clone())
            }
            ("GET", WEBHOOK) if self.webhook.is_null() => failure(404),
            ("GET", WEBHOOK) => (200, self.webhook.clone()),
            ("PATCH", WEBHOOK) => {
                let operations: json_patch::Patch = serde_json::from_slice(body).unwrap();
                if json_patch::patch(&mut self.webhook, &operations).is_err() {
                    return failure(422);
                }
                self.changes += 1;
                renew_version(&mut self.webhook);
                (200, self.webhook.clone())
            }
            _ => failure(404),
        }
    }

    pub(super) fn state(&self) -> String {
        let text = self.secret["data"]["state.json"].as_str().unwrap_or_default();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    }

    pub(super) fn shared(&self) -> Shared {
        Shared::from_json(self.state().as_bytes()).unwrap()
    }

    pub(super) fn write_state(&mut self, json: &str) {
        self.secret["data"] = json!({"state.json": STANDARD.encode(json)});
        renew_version(&mut self.secret);
    }

    pub(super) fn bundle(&self) -> String {
        let text = self.webhook["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        String::from_utf8(STANDARD.decode(text.unwrap_or_default()).unwrap()).unwrap()
    }

    pub(super) fn generation(&self) -> &str {
        self.webhook["metadata"]["annotations"]["prestop.dev/ca-generation"].as_str().unwrap()
    }

    /// Overwrites the webhook configuration, as a user might.
    pub(super) fn overwrite(&mut self, generation: &str, bundle: &str) {
        self.webhook["metadata"]["annotations"] = json!({"prestop.dev/ca-generation": generation});
        self.webhook["webhooks"][0]["clientConfig"]["caBundle"] = json!(STANDARD.encode(bundle));
        renew_version(&mut self.webhook);
    }
}

fn renew_version(object: &mut Value) {
    let version = &mut object["metadata"]["resourceVersion"];
    let next = version.as_str().unwrap().parse::<u64>().unwrap() + 1;
    *version = json!(next.to_string());
}

fn failure(code: u16) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "of a test", "reason": "Test", "code": code,
    });
    (code, status)
}
