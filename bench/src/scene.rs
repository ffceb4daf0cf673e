//! prestop as pods have it, for what looks at where a program runs: alone with a certificate from files, or
//! in a cluster, which it watches, with a service account and certificates of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::geteuid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::client::Target;
use crate::contestants::Contestant;
use crate::control_plane::{ControlPlane, TOKEN};
use crate::process::{Stage, free_port, interrupt};

/// valgrind takes some seconds, and more where the machine is busy.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// A cluster with all that prestop needs in it.
pub(crate) struct Cluster {
    control_plane: ControlPlane,
    /// What is mounted into its pods.
    account: TempDir,
}

impl Cluster {
    /// A new one, of the control plane that `tests/tools/install` built.
    pub(crate) fn start(stage: &Stage<'_>) -> anyhow::Result<Self> {
        ensure!(
            geteuid().is_root(),
            "this needs root: it shows prestop a service account as pods have it"
        );
        let built = stage.folder.parent().context("the folder of what is built")?;
        let control_plane = ControlPlane::start(built)?;
        let account = tempfile::tempdir()?;
        fs::write(account.path().join("token"), TOKEN)?;
        fs::copy(control_plane.certificate(), account.path().join("ca.crt"))?;
        control_plane.create(SECRETS, &json!({"metadata": {"name": "prestop"}}))?;
        control_plane.create(WEBHOOKS, &webhook())?;
        Ok(Self { control_plane, account })
    }

    /// Runs a program that finds a service account where pods find theirs. The folder is the process's own:
    /// nothing on this machine changes.
    fn pod(&self) -> Command {
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p {ACCOUNT} && cp \"$0\"/* {ACCOUNT} && exec \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(self.account.path());
        command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
        command.env("KUBERNETES_SERVICE_PORT", self.control_plane.port().to_string());
        command
    }

    /// Whom API servers trust.
    fn authorities(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let configuration: Value =
            serde_json::from_str(&self.control_plane.get(&format!("{WEBHOOKS}/prestop"))?)?;
        let bundle = configuration.pointer("/webhooks/0/clientConfig/caBundle");
        let pem = STANDARD.decode(bundle.and_then(Value::as_str).context("no caBundle")?)?;
        Ok(CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?)
    }
}

/// One that is never called.
fn webhook() -> Value {
    json!({
        "metadata": {"name": "prestop"},
        "webhooks": [{
            "name": "prestop.prestop.dev",
            "clientConfig": {"url": "https://localhost/mutate"},
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
}

/// Runs a server from its start to its end, after the words of `wrapper`. Meanwhile kubelets and Prometheus
/// ask it, and `ask` does; and there is what happens to every server.
pub(crate) fn play(
    stage: &Stage<'_>,
    cluster: Option<&Cluster>,
    wrapper: &[&str],
    ask: impl FnOnce(&Target) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (port, administration) = (free_port()?, free_port()?);
    let mut command = cluster.map_or_else(|| Command::new("env"), Cluster::pod);
    command.args(wrapper).arg(Contestant::Prestop.program(stage.folder)).arg("serve");
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--admin-listen", &format!("127.0.0.1:{administration}")]);
    if cluster.is_some() {
        command.args(["--cluster", "--authority-secret", "prestop", "--webhook", "prestop"]);
        command.args(["--service", "prestop", "--namespace", "default"]);
    } else {
        command.args(["--kubernetes-version", "1.37"]);
        command.arg("--tls-cert").arg(stage.certificates.chain());
        command.arg("--tls-key").arg(stage.certificates.key());
    }
    let mut server = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let asked = ready(administration).and_then(|()| {
        let authorities = match cluster {
            None => vec![stage.certificates.authority().clone()],
            Some(cluster) => cluster.authorities()?,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let target = Target::new(address, "localhost", authorities)?;
        ask(&target)?;
        target.connect()?.close()?;
        be_no_client(address)?;
        ["/livez", "/readyz", "/metrics"].iter().try_for_each(|path| get(administration, path))
    });
    let ended = interrupt(&mut server);
    asked.and(ended)
}

/// Connections without a handshake: of load balancers, of strangers, of who trusts somebody else.
fn be_no_client(address: SocketAddr) -> anyhow::Result<()> {
    drop(TcpStream::connect(address)?);
    TcpStream::connect(address)?.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let stranger = Certificates::new()?.authority().clone();
    let distrustful = Target::new(address, "localhost", vec![stranger])?;
    ensure!(distrustful.connect().is_err(), "a stranger's authority is trusted");
    Ok(())
}

fn ready(administration: u16) -> anyhow::Result<()> {
    let until = Instant::now() + START_TIMEOUT;
    while get(administration, "/readyz").is_err() {
        ensure!(Instant::now() < until, "prestop did not become ready");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn get(port: u16, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    Ok(())
}
