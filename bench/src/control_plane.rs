//! The API server of the tests, used by the measuring client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use prestop_test_support::control_plane::{self, TOKEN};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::client::{Connection, Request, Target};
use crate::process::cpu_of;

/// A running control plane; it is stopped when this is dropped.
pub(crate) struct ControlPlane {
    server: control_plane::ControlPlane,
    target: Target,
}

impl ControlPlane {
    /// Starts it and waits until it is ready. `built` is the folder in which programs are built.
    pub(crate) fn start(built: &Path) -> anyhow::Result<Self> {
        let server = control_plane::ControlPlane::start_from(&binaries(built)?);
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(server.certificates())?.collect();
        let target = Target::new(server.address(), "kubernetes", chain?)?;
        Ok(Self { server, target })
    }

    /// Opens a connection for other requests.
    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        self.target.connect()
    }

    /// Creates a request of a user who may do everything.
    pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Request {
        Request::new(method, path, TOKEN, body)
    }

    /// Creates an object.
    pub(crate) fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        let request = Self::request("POST", path, object.to_string().as_bytes());
        let (status, answer) = self.connect()?.send(&request)?;
        ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Returns the text at a path.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        let (status, answer) = self.connect()?.send(&Self::request("GET", path, b""))?;
        let text = String::from_utf8(answer)?;
        ensure!(status == 200, "{status}: {text}");
        Ok(text)
    }

    /// Returns the CPU time of the API server.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.server.id())
    }
}

fn binaries(built: &Path) -> anyhow::Result<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let has_all =
        |folder: &PathBuf| ["etcd", "kube-apiserver"].iter().all(|name| folder.join(name).exists());
    let found = assets.into_iter().chain([built.join("tools/control-plane-1.37")]).find(has_all);
    found.context("the control plane is missing: tests/tools/install builds it")
}
