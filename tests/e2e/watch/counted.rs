//! The number of requests that servers answered, according to their logs, compared with
//! `prestop watch --url`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::super::cluster::{Cluster, Namespace, state};
use super::super::workloads::nginx_conf;

/// Logs a line for each request, in a file for each pod.
const HTTP: &str = "    log_format counted '$request_uri $status';
    access_log /counted/$hostname counted;
    keepalive_requests 100000;
    server {
        listen 80;
        root /usr/share/nginx/html;
    }
";

/// The logs of the servers, in a folder that the node shares with this test, as in the scripts'
/// cluster.
pub(super) struct Counted {
    folder: tempfile::TempDir,
}

impl Counted {
    /// Creates the configuration of the servers; `None` in another cluster.
    pub(super) fn new(cluster: &Cluster, namespace: &Namespace) -> Option<Self> {
        state()?;
        cluster.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "counted", "namespace": namespace.name},
            "data": {"nginx.conf": nginx_conf(HTTP)}}));
        let folder = tempfile::tempdir().unwrap();
        // The servers run as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Some(Self { folder })
    }

    pub(super) fn mount(&self, template: &mut Value) {
        template["containers"][0]["volumeMounts"] = json!([
            {"name": "configuration", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf"},
            {"name": "counted", "mountPath": "/counted"},
        ]);
        template["volumes"] = json!([
            {"name": "configuration", "configMap": {"name": "counted"}},
            {"name": "counted", "hostPath": {"path": self.folder.path(), "type": "Directory"}},
        ]);
    }

    /// Returns the number of requests with this path that were answered with 200.
    pub(super) fn answered(&self, path: &str) -> u64 {
        let line = format!("{path} 200");
        let files = fs::read_dir(self.folder.path()).unwrap();
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        texts.map(|text| text.lines().filter(|it| *it == line).count() as u64).sum()
    }
}
