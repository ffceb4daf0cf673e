//! An API server of one's own on loopback: etcd and kube-apiserver, from `KUBEBUILDER_ASSETS` or as
//! tests/tools/install builds them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Connection, Request, Target};
use crate::process::{cpu_of, free_port};

/// Of somebody who may do everything.
const TOKEN: &str = "token-of-a-benchmark";
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Running; ends when this is dropped.
pub(crate) struct ControlPlane {
    etcd: Child,
    server: Child,
    target: Option<Target>,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts it and waits until it is ready. `built` is where programs are built.
    pub(crate) fn start(built: &Path) -> anyhow::Result<Self> {
        let binaries = binaries(built)?;
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let [client, peer, port] = [free_port()?, free_port()?, free_port()?];
        let key = KeyPair::generate()?;
        fs::write(path("sa.key"), key.serialize_pem())?;
        fs::write(path("sa.pub"), key.public_key_pem())?;
        fs::write(path("tokens.csv"), format!("{TOKEN},admin,1,system:masters\n"))?;
        let etcd = Command::new(binaries.join("etcd"))
            .args(["--data-dir", &path("etcd"), "--unsafe-no-fsync", "--log-level", "error"])
            .args(["--listen-client-urls", &format!("http://127.0.0.1:{client}")])
            .args(["--advertise-client-urls", &format!("http://127.0.0.1:{client}")])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("etcd.log"))?)
            .spawn()
            .context("etcd")?;
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
            .stderr(fs::File::create(path("server.log"))?)
            .spawn()
            .context("kube-apiserver")?;
        let mut started = Self { etcd, server, target: None, folder };
        started.wait(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(started)
    }

    fn wait(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(target) = self.find(address) {
                self.target = Some(target);
                return Ok(());
            }
            if Instant::now() > until || self.server.try_wait()?.is_some() {
                let log = fs::read_to_string(self.folder.path().join("server.log"))?;
                bail!("the API server did not become ready:\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn find(&self, address: SocketAddr) -> anyhow::Result<Target> {
        let chain = self.folder.path().join("certs/apiserver.crt");
        // The last of them signed the first.
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(chain)?.collect();
        let target = Target::new(address, "kubernetes", chain?)?;
        let ready = Request::new("GET", "/readyz", TOKEN, b"");
        let (status, _) = target.connect()?.send(&ready)?;
        ensure!(status == 200, "not ready");
        Ok(target)
    }

    /// A connection for requests of one's own.
    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        self.target.as_ref().context("not started")?.connect()
    }

    /// A request, by whoever may do everything.
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

    /// What is at a path, as text.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        let (status, answer) = self.connect()?.send(&Self::request("GET", path, b""))?;
        let text = String::from_utf8(answer)?;
        ensure!(status == 200, "{status}: {text}");
        Ok(text)
    }

    /// CPU time of the API server.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.server.id())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.etcd] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn binaries(built: &Path) -> anyhow::Result<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let has_all =
        |folder: &PathBuf| ["etcd", "kube-apiserver"].iter().all(|name| folder.join(name).exists());
    let found = assets.into_iter().chain([built.join("tools/control-plane-1.37")]).find(has_all);
    found.context("the control plane is missing: tests/tools/install builds it")
}
