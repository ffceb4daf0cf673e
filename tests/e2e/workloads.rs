//! Workloads in the cluster: web servers of each kind, and the requests to them.

use serde_json::{Value, json};

/// The test program: an HTTP server that ends immediately on TERM, and a client for load; no shell,
/// no libraries.
pub(crate) const WORKLOAD: &str = "prestop-workload:1";
/// The same with a shell, `sleep` and `cat`, of which prestop does not know.
pub(crate) const WITH_SHELL: &str = "prestop-workload-shell:1";
/// The same program under a name that the catalogue knows as a log shipper.
pub(crate) const SIDECAR: &str = "docker.io/fluent/fluent-bit:prestop-workload";
/// The same under a name that the catalogue knows to have no shell.
pub(crate) const DISTROLESS: &str = "gcr.io/distroless/static-debian12:prestop-workload";

/// Downloads that take 2 and 8 seconds.
const HTTP: &str = "    access_log off;
    keepalive_timeout 65;
    keepalive_requests 100000;
    server {
        listen 8080;
        root /usr/share/nginx/html;
        location = /short { limit_rate 50k; }
        location = /long { limit_rate 50k; }
    }
";

/// A web server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    /// Stop signal TERM, on which it drops its requests.
    Nginx115,
    /// Stop signal QUIT, on which it finishes its requests.
    Nginx127,
    /// Ends immediately on TERM.
    Naive,
    /// The same, in an image that has a shell.
    NaiveWithShell,
}

impl Server {
    pub(crate) fn image(self) -> String {
        let (variable, default) = match self {
            Self::Nginx115 => ("PRESTOP_E2E_NGINX_TERM", "nginx:1.15"),
            Self::Nginx127 => ("PRESTOP_E2E_NGINX_QUIT", "nginx:1.27"),
            Self::Naive => return WORKLOAD.to_owned(),
            Self::NaiveWithShell => return WITH_SHELL.to_owned(),
        };
        std::env::var(variable).unwrap_or_else(|_| default.to_owned())
    }

    /// Returns the name for readers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx115 => "nginx:1.15 (TERM)",
            Self::Nginx127 => "nginx:1.27 (QUIT)",
            Self::Naive | Self::NaiveWithShell => "a server that ends at once",
        }
    }

    /// Returns the paths of the short and the long download.
    pub(crate) fn paths(self) -> [&'static str; 2] {
        if self.is_nginx() { ["/short", "/long"] } else { ["/slow?s=2", "/slow?s=8"] }
    }

    pub(crate) fn is_nginx(self) -> bool {
        matches!(self, Self::Nginx115 | Self::Nginx127)
    }
}

/// Returns nginx's configuration and the files that it serves.
pub(crate) fn content(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "content", "namespace": namespace},
        "data": {
            "nginx.conf": nginx_conf(HTTP), "index.html": "x".repeat(1024),
            "short": "x".repeat(100 * 1024), "long": "x".repeat(400 * 1024),
        },
    })
}

/// Returns a configuration of nginx with this content of its `http` block.
pub(crate) fn nginx_conf(http: &str) -> String {
    format!(
        "user nginx;
worker_processes 1;
error_log /dev/stderr notice;
pid /var/run/nginx.pid;
events {{ worker_connections 1024; }}
http {{
{http}}}
"
    )
}

/// Returns the template of a server's pods. `lifecycle` is the author's own; null if there is none.
pub(crate) fn template(server: Server, lifecycle: &Value) -> Value {
    let mut container = json!({
        "name": "web", "image": server.image(), "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5},
    });
    if !lifecycle.is_null() {
        container["lifecycle"] = lifecycle.clone();
    }
    let mut spec = json!({"os": {"name": "linux"}, "containers": [container]});
    if server.is_nginx() {
        spec["containers"][0]["volumeMounts"] = json!([
            {"name": "content", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf"},
            {"name": "content", "mountPath": "/usr/share/nginx/html"},
        ]);
        spec["volumes"] = json!([{"name": "content", "configMap": {"name": "content"}}]);
    }
    json!({"metadata": {"labels": {"app": "web"}}, "spec": spec})
}

/// Returns a Deployment that never has fewer ready pods than it should.
pub(crate) fn deployment(namespace: &str, replicas: u32, template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
        },
    })
}

pub(crate) fn service(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

pub(crate) fn disruption_budget(namespace: &str, minimum: u32) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"minAvailable": minimum, "selector": {"matchLabels": {"app": "web"}}},
    })
}
