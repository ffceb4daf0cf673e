//! The functions that a start and requests run through, by their names. The linker puts them beside each
//! other (`.ci/ordered-cc`), so that the system need not keep the rest of the program in memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prestop_bench::reviews::Review;
use rustix::process::geteuid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::client::{Request, Target};
use crate::contestants::Contestant;
use crate::control_plane::{ControlPlane, TOKEN};
use crate::process::{Stage, free_port, interrupt};

/// valgrind takes some seconds, and more where the machine is busy.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Of each kind. The first ones run through what later ones do not.
const REQUESTS: usize = 3;
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// Writes `.ci/link-order`.
pub(crate) fn run(stage: &Stage<'_>) -> anyhow::Result<()> {
    ensure!(
        geteuid().is_root(),
        "order needs root: it shows prestop a service account as pods have it"
    );
    let built = stage.folder.parent().context("the folder of what is built")?;
    let control_plane = ControlPlane::start(built)?;
    let account = tempfile::tempdir()?;
    fs::write(account.path().join("token"), TOKEN)?;
    fs::copy(control_plane.certificate(), account.path().join("ca.crt"))?;
    control_plane.create(SECRETS, &json!({"metadata": {"name": "prestop"}}))?;
    control_plane.create(WEBHOOKS, &webhook())?;
    // First what always runs, then what a cluster adds.
    let always = functions(stage, None)?;
    let cluster = functions(stage, Some((&control_plane, account.path())))?;
    let names: Vec<_> = always.iter().chain(cluster.difference(&always)).collect();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.ci/link-order");
    let mut text = String::new();
    for name in &names {
        text.push_str(name);
        text.push('\n');
    }
    fs::write(&file, text)?;
    println!("{} functions: {}", names.len(), file.display());
    Ok(())
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

/// What runs from the start to the end of a server, which may be in a cluster with a service account,
/// watch it, and make its own certificates.
fn functions(
    stage: &Stage<'_>,
    cluster: Option<(&ControlPlane, &Path)>,
) -> anyhow::Result<BTreeSet<String>> {
    let out = tempfile::NamedTempFile::new()?;
    let (port, administration) = (free_port()?, free_port()?);
    let mut command = match cluster {
        None => Command::new("env"),
        Some((control_plane, account)) => in_a_pod(control_plane, account),
    };
    command.args(["valgrind", "--tool=callgrind", "--quiet", "--demangle=no"]);
    command.arg(format!("--callgrind-out-file={}", out.path().display()));
    command.arg(Contestant::Prestop.program(stage.folder)).arg("serve");
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--admin-listen", &format!("127.0.0.1:{administration}")]);
    if cluster.is_some() {
        command.args(["--cluster", "--authority-secret", "prestop", "--webhook", "prestop"]);
        command.args(["--service", "prestop", "--namespace", "default"]);
    } else {
        command.arg("--tls-cert").arg(stage.certificates.chain());
        command.arg("--tls-key").arg(stage.certificates.key());
    }
    let mut server = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let authorities = || match cluster {
        None => Ok(vec![stage.certificates.authority().clone()]),
        Some((control_plane, _)) => published(control_plane),
    };
    let asked = ask(authorities, port, administration);
    let ended = interrupt(&mut server);
    asked?;
    ended?;
    Ok(names(&fs::read_to_string(out.path())?))
}

/// Runs a program that finds a service account where pods find theirs. The folder is the process's own:
/// nothing on this machine changes.
fn in_a_pod(control_plane: &ControlPlane, account: &Path) -> Command {
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p {ACCOUNT} && cp \"$0\"/* {ACCOUNT} && exec \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(account);
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    command.env("KUBERNETES_SERVICE_PORT", control_plane.port().to_string());
    command
}

/// What API servers, kubelets and Prometheus ask.
fn ask(
    authorities: impl Fn() -> anyhow::Result<Vec<CertificateDer<'static>>>,
    port: u16,
    administration: u16,
) -> anyhow::Result<()> {
    let until = Instant::now() + START_TIMEOUT;
    while get(administration, "/readyz").is_err() {
        ensure!(Instant::now() < until, "prestop did not become ready");
        thread::sleep(Duration::from_millis(100));
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let target = Target::new(address, "localhost", authorities()?)?;
    for review in Review::ALL {
        let request = Request::mutate(&review.committed()?);
        for _ in 0..REQUESTS {
            target.connect()?.review(&request)?;
        }
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        get(administration, path)?;
    }
    Ok(())
}

/// Whom API servers trust.
fn published(control_plane: &ControlPlane) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let configuration: Value =
        serde_json::from_str(&control_plane.get(&format!("{WEBHOOKS}/prestop"))?)?;
    let bundle = configuration.pointer("/webhooks/0/clientConfig/caBundle");
    let pem = STANDARD.decode(bundle.and_then(Value::as_str).context("no caBundle")?)?;
    Ok(CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?)
}

fn get(port: u16, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    Ok(())
}

/// The functions in callgrind's account, without the hash that differs from build to build.
fn names(account: &str) -> BTreeSet<String> {
    let functions = account.lines().filter_map(|line| {
        let (_, name) =
            line.strip_prefix("fn=(").or_else(|| line.strip_prefix("cfn=("))?.split_once(") ")?;
        // Calls of itself have a number.
        Some(name.split('\'').next().unwrap_or(name))
    });
    let known = functions.filter(|name| !name.starts_with("0x") && !name.starts_with('('));
    known.map(without_hashes).collect()
}

/// Rust's names (v0) have `Cs`, a number in letters and digits, and `_` before the name of each crate.
fn without_hashes(name: &str) -> String {
    let mut parts = name.split("Cs");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('_') {
            Some((hash, rest))
                if !hash.is_empty() && hash.bytes().all(|it| it.is_ascii_alphanumeric()) =>
            {
                short.push('C');
                short.push_str(rest);
            }
            _ => {
                short.push_str("Cs");
                short.push_str(part);
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_hashes_and_nothing_else() {
        let account = "fl=(1) x\nfn=(1) _RNvNtCs8fgnRPphQ7q_4core3fmt5write\ncfn=(2) memcpy\nfn=(1)\n\
                       cfn=(3) _RNvCsAbC_7prestop4mainCs1_3std'2\nfn=(4) 0x0019a630\nfn=(5) (below main)\n";
        let expected = ["_RNvC7prestop4mainC3std", "_RNvNtC4core3fmt5write", "memcpy"];
        assert_eq!(names(account), BTreeSet::from(expected.map(str::to_owned)));
    }
}
