//! The control plane as processes of a test, and a client for its API.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::built_tools;
use crate::process::wait_until;
use crate::wire::trusting;

/// Token of a user who may do everything.
pub const TOKEN: &str = "token-of-a-test";
/// Timeout of webhooks: long enough for a busy machine that stalls for seconds.
const TIMEOUT_SECONDS: u8 = 5;
/// Upper bound for the duration of a creation that calls such a webhook, on a busy machine.
pub const IN_TIME: Duration = Duration::from_secs(20);
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

pub struct ControlPlane {
    etcd: Child,
    server: Child,
    port: u16,
    folder: TempDir,
}

/// Returns the folder with the binaries, if it exists.
fn binaries() -> Option<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let has_all =
        |folder: &PathBuf| ["etcd", "kube-apiserver"].iter().all(|name| folder.join(name).exists());
    assets.into_iter().chain([built_tools()]).find(has_all)
}

/// Returns a free port. If another process takes it in the meantime, the start fails and is
/// retried.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl ControlPlane {
    /// Starts a control plane; it is ready when this function returns.
    pub fn start() -> Self {
        Self::start_from(&binaries().expect("no API server: tests/tools/install builds it"))
    }

    /// Like [`start`](Self::start), with the binaries in this folder.
    pub fn start_from(binaries: &Path) -> Self {
        for _ in 0..3 {
            if let Some(started) = Self::start_once(binaries) {
                return started;
            }
        }
        panic!("the control plane did not start");
    }

    fn start_once(binaries: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let [client, peer, port] = [free_port(), free_port(), free_port()];
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(path("sa.key"), key.serialize_pem()).unwrap();
        fs::write(path("sa.pub"), key.public_key_pem()).unwrap();
        fs::write(path("tokens.csv"), format!("{TOKEN},admin,1,system:masters\n")).unwrap();
        let log = |name: &str| Stdio::from(fs::File::create(path(name)).unwrap());
        let etcd = Command::new(binaries.join("etcd"))
            .args(["--data-dir", &path("etcd"), "--unsafe-no-fsync", "--log-level", "error"])
            .args(["--listen-client-urls", &format!("http://127.0.0.1:{client}")])
            .args(["--advertise-client-urls", &format!("http://127.0.0.1:{client}")])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .stdout(Stdio::null())
            .stderr(log("etcd.log"))
            .spawn()
            .unwrap();
        let server = Command::new(binaries.join("kube-apiserver"))
            .args(["--etcd-servers", &format!("http://127.0.0.1:{client}")])
            .args(["--secure-port", &port.to_string(), "--bind-address", "127.0.0.1"])
            .args(["--cert-dir", &path("certs"), "--token-auth-file", &path("tokens.csv")])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--service-account-key-file", &path("sa.pub")])
            .args(["--service-account-signing-key-file", &path("sa.key")])
            .args(["--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16"])
            .args(["--disable-admission-plugins", "ServiceAccount"])
            .stdout(Stdio::null())
            .stderr(log("server.log"))
            .spawn()
            .unwrap();
        let mut started = Self { etcd, server, port, folder };
        let until = Instant::now() + Duration::from_secs(90);
        while Instant::now() < until {
            if started.try_request("GET", "/readyz", None).is_some_and(|(status, _)| status == 200)
            {
                return Some(started);
            }
            if started.server.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(started.folder.path().join("server.log")).unwrap_or_default();
        println!("the API server did not become ready:\n{log}");
        None
    }

    /// Sends a request; returns status and body.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (status, text) = self.try_request(method, path, body).expect("no answer");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
        let mut stream = self.connect()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        // HTTP 1.0: the answer is not chunked, and ends with the connection.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        // If the server omits the TLS close notification, this is an error although the answer is
        // complete.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn connect(&self) -> Option<StreamOwned<ClientConnection, TcpStream>> {
        let authorities = fs::read(self.certificates()).ok()?;
        trusting(&authorities, "kubernetes", self.address(), Duration::from_secs(60)).ok()
    }

    /// Creates a namespace with these labels.
    pub fn namespace(&self, name: &str, labels: &Value) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        let (status, answer) = self.request("POST", "/api/v1/namespaces", Some(&namespace));
        assert_eq!(status, 201, "{answer}");
    }

    /// Creates a pod; returns the status and the created pod.
    pub fn pod(&self, namespace: &str, pod: &Value) -> (u16, Value) {
        self.request("POST", &format!("/api/v1/namespaces/{namespace}/pods"), Some(pod))
    }

    /// Creates an object at this path.
    pub fn create(&self, path: &str, object: &Value) {
        let (status, answer) = self.request("POST", path, Some(object));
        assert_eq!(status, 201, "{answer}");
    }

    /// Registers a webhook for the creation of pods in namespaces that opt in.
    pub fn webhook(&self, webhook: &Webhook<'_>) {
        self.webhook_for(webhook, &json!({"prestop.dev/inject": "enabled"}));
    }

    /// Registers a webhook for the creation of pods in namespaces with these labels.
    pub fn webhook_for(&self, webhook: &Webhook<'_>, labels: &Value) {
        self.create(WEBHOOKS, &configuration(webhook, labels));
    }

    /// Registers such a webhook without a CA, which another component sets.
    pub fn webhook_at(&self, name: &str, port: u16) {
        let webhook = Webhook { name, port, authority_pem: "" };
        let mut configuration = configuration(&webhook, &json!({"prestop.dev/inject": "enabled"}));
        let client = configuration["webhooks"][0]["clientConfig"].as_object_mut().unwrap();
        client.shift_remove("caBundle");
        self.create(WEBHOOKS, &configuration);
    }

    /// Returns the API server's log lines about failed calls of webhooks.
    pub fn failed_calls(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("calling webhook")).collect();
        lines.join("\n")
    }

    /// Returns the address on which the API server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Returns the file with the API server's certificate chain; its last certificate signed the
    /// first one.
    pub fn certificates(&self) -> PathBuf {
        self.folder.path().join("certs/apiserver.crt")
    }

    /// Returns the process id of the API server.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    pub fn delete_webhook(&self, name: &str) {
        let (status, answer) = self.request("DELETE", &format!("{WEBHOOKS}/{name}"), None);
        assert_eq!(status, 200, "{answer}");
    }

    /// Returns the version, such as `v1.37.2`.
    pub fn version(&self) -> String {
        let (_, version) = self.request("GET", "/version", None);
        version["gitVersion"].as_str().unwrap().to_owned()
    }

    /// Waits until `is_there` is true for a created pod of this namespace: the API server takes
    /// about a second to use a new webhook.
    pub fn wait_for_effect(&self, namespace: &str, is_there: impl Fn(&Value) -> bool) {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        wait_until("the webhook's effect", || {
            let (_, pod) = self.request("POST", &path, Some(&marker()));
            is_there(&pod)
        });
    }

    /// Creates a service account with exactly these rights in the whole cluster; returns a
    /// kubeconfig for it.
    pub fn kubeconfig(&self, account: &str, rules: &Value) -> PathBuf {
        self.add_account(account, rules);
        self.kubeconfig_of("default", account)
    }

    /// Creates a service account with these rights; returns the data that a pod of the account
    /// would find: the address of the API server, and the folder with token and CA.
    pub fn service_account(&self, account: &str, rules: &Value) -> (String, PathBuf) {
        self.add_account(account, rules);
        let folder = self.folder.path().join(account);
        fs::create_dir(&folder).unwrap();
        let token = self.token("default", account);
        fs::write(folder.join("token"), token.as_str().unwrap()).unwrap();
        fs::copy(self.folder.path().join("certs/apiserver.crt"), folder.join("ca.crt")).unwrap();
        (format!("127.0.0.1:{}", self.port), folder)
    }

    fn add_account(&self, account: &str, rules: &Value) {
        let metadata = json!({"name": account});
        let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": "default"});
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account});
        for (path, object) in [
            (
                "/api/v1/namespaces/default/serviceaccounts".to_owned(),
                json!({"metadata": metadata}),
            ),
            (format!("{rbac}/clusterroles"), json!({"metadata": metadata, "rules": rules})),
            (
                format!("{rbac}/clusterrolebindings"),
                json!({"metadata": metadata, "subjects": [subject], "roleRef": role_ref}),
            ),
        ] {
            let (status, answer) = self.request("POST", &path, Some(&object));
            assert_eq!(status, 201, "{answer}");
        }
    }

    /// Returns a kubeconfig for an existing service account.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        self.kubeconfig_with(account, &self.token(namespace, account))
    }

    fn token(&self, namespace: &str, account: &str) -> Value {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let wanted =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let (status, answer) = self.request("POST", &path, Some(&wanted));
        assert_eq!(status, 201, "{answer}");
        answer["status"]["token"].clone()
    }

    /// Returns a kubeconfig for a user who may do everything.
    pub fn administrator(&self) -> PathBuf {
        self.kubeconfig_with("administrator", &json!(TOKEN))
    }

    fn kubeconfig_with(&self, name: &str, token: &Value) -> PathBuf {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "tls-server-name": "kubernetes",
                "certificate-authority": self.folder.path().join("certs/apiserver.crt"),
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let file = self.folder.path().join(format!("{name}.kubeconfig"));
        fs::write(&file, kubeconfig.to_string()).unwrap();
        file
    }

    /// Returns a counter of the API server, summed over its series that contain these texts.
    pub fn metric(&self, name: &str, parts: &[&str]) -> u64 {
        let (status, text) = self.try_request("GET", "/metrics", None).unwrap();
        assert_eq!(status, 200);
        let lines = text.lines().filter(|line| line.starts_with(name));
        let lines = lines.filter(|line| parts.iter().all(|part| line.contains(part)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// A webhook of a test.
pub struct Webhook<'a> {
    pub name: &'a str,
    pub port: u16,
    pub authority_pem: &'a str,
}

fn configuration(webhook: &Webhook<'_>, labels: &Value) -> Value {
    // The name of prestop's entry in the chart, by which `prestop check` finds it.
    let entry = if webhook.name == "prestop" { "pods" } else { webhook.name };
    json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": webhook.name},
            "webhooks": [{
                "name": format!("{entry}.prestop.dev"),
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{}/mutate", webhook.port),
                    "caBundle": STANDARD.encode(webhook.authority_pem),
                },
                "rules": [{
                    "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                    "resources": ["pods"], "scope": "Namespaced",
                }],
                "namespaceSelector": {"matchLabels": labels},
                "objectSelector": {"matchExpressions": [
                    {"key": "prestop.dev/inject", "operator": "NotIn", "values": ["disabled", "false"]},
                ]},
                "failurePolicy": "Ignore",
                "timeoutSeconds": TIMEOUT_SECONDS,
                "reinvocationPolicy": "IfNeeded",
                "sideEffects": "None",
                "matchPolicy": "Equivalent",
                "admissionReviewVersions": ["v1"],
            }],
    })
}

fn marker() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "marker"},
        "spec": {"containers": [{"name": "web", "image": "registry.example/marker:1"}]},
    })
}

/// Returns whether prestop injected the pod.
pub fn has_status(pod: &Value) -> bool {
    pod["metadata"]["annotations"].get("prestop.dev/status").is_some()
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.etcd] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
