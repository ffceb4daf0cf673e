//! Certificates in files, renewed while the server runs; client certificates.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use prestop_test_support::process::{Serve, configuration};
use prestop_test_support::wire::{ClientTerms, Connection, body};

struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        Self::named("authority of a test")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, common_name: &str, names: &[&str]) -> Signed {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        self.sign_these(params)
    }

    /// Signs a certificate with this validity, in seconds from now.
    fn sign_for(&self, name: &str, from: i64, until: i64) -> Signed {
        let at = |seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            let now = SystemTime::now();
            if seconds < 0 { now - by } else { now + by }
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (at(from).into(), at(until).into());
        self.sign_these(params)
    }

    fn sign_these(&self, mut params: CertificateParams) -> Signed {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn trusted(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }
}

impl Signed {
    fn for_clients(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        (vec![chain], PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

/// Mounts a pair as the kubelet mounts a Secret: `tls.crt -> ..data/tls.crt`, `..data -> VERSION`.
fn mount(folder: &Path, version: &str, pair: &Signed) {
    let new = folder.join(version);
    fs::create_dir(&new).unwrap();
    fs::write(new.join("tls.crt"), &pair.certificate).unwrap();
    fs::write(new.join("tls.key"), &pair.key).unwrap();
    let _ = fs::remove_file(folder.join("..data_tmp"));
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        let _ = symlink(format!("..data/{name}"), folder.join(name));
    }
}

const FILES: [&str; 4] = ["--tls-cert", "{folder}/tls.crt", "--tls-key", "{folder}/tls.key"];
const CHANGED: &str = "prestop_reloads_total{what=\"certificate\",result=\"changed\"}";
const FAILED: &str = "prestop_reloads_total{what=\"certificate\",result=\"failed\"}";

/// Whether a client that trusts this CA accepts a new connection.
fn is_trusted(serve: &Serve, authority: &Authority) -> bool {
    let mut connection =
        Connection::begin(serve.address, Some(authority.trusted()), ClientTerms::default());
    if connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").is_err() {
        return false;
    }
    connection.answer().is_ok()
}

#[test]
fn a_certificate_is_renewed_by_swapping_a_link() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    mount(folder.path(), "1", &old.sign("prestop", &["localhost"]));
    let serve = Serve::start_in(folder, &FILES);
    assert!(is_trusted(&serve, &old) && !is_trusted(&serve, &new));
    let mut open = Connection::begin(serve.address, Some(old.trusted()), ClientTerms::default());
    open.post(body()).response();
    mount(serve.folder.path(), "2", &new.sign("prestop", &["localhost"]));
    serve.wait_for_metric(CHANGED, 1);
    assert!(is_trusted(&serve, &new) && !is_trusted(&serve, &old));
    // Open connections continue.
    open.post(body()).response();
    assert_eq!(serve.metric(FAILED), 0);
}

#[test]
fn a_broken_pair_keeps_the_old_one_and_is_reported() {
    let authority = Authority::new();
    let pair = authority.sign("prestop", &["localhost"]);
    let folder = tempfile::tempdir().unwrap();
    mount(folder.path(), "1", &pair);
    let mut serve = Serve::start_in(folder, &FILES);
    let expiry = "prestop_certificate_expiry_timestamp_seconds{certificate=\"serving\"}";
    assert!(serve.metric(expiry) > 1_800_000_000);
    let other = authority.sign("prestop", &["localhost"]);
    let path = serve.folder.path().to_owned();
    let mut failures = 0;
    for (name, text) in [
        ("tls.key", other.key.as_str()),
        ("tls.key", "no key"),
        ("tls.crt", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"),
        ("tls.crt", ""),
    ] {
        fs::write(path.join("..data").join(name), text).unwrap();
        failures += 1;
        serve.wait_for_metric(FAILED, failures);
        assert!(is_trusted(&serve, &authority), "{name}: {text}");
    }
    let line = serve.wait_for_line("keeping the last valid version");
    assert!(line["error"].as_str().unwrap().contains("--tls-cert and --tls-key"), "{line}");
    fs::remove_file(path.join("..data/tls.crt")).unwrap();
    serve.wait_for_metric(FAILED, failures + 1);
    mount(&path, "2", &other);
    serve.wait_for_metric(CHANGED, 1);
    assert!(is_trusted(&serve, &authority));
}

const EXPIRY: &str = "prestop_certificate_expiry_timestamp_seconds{certificate=\"serving\"}";
const IN_USE: &str = "prestop_last_reload_successful{what=\"certificate\"}";
const HOUR: i64 = 3600;

/// Each of these pairs is readable, but no API server would accept it.
#[test]
fn what_api_servers_would_refuse_does_not_replace_a_good_pair() {
    let (authority, other) = (Authority::named("ours"), Authority::named("other"));
    let folder = tempfile::tempdir().unwrap();
    mount(folder.path(), "good", &authority.sign("prestop", &["localhost"]));
    let mut serve = Serve::start_in(folder, &FILES);
    let path = serve.folder.path().to_owned();
    let expiry = serve.metric(EXPIRY);
    for (failures, (what, pair)) in [
        ("has ended", authority.sign_for("localhost", -2 * HOUR, -HOUR)),
        ("is not valid yet", authority.sign_for("localhost", HOUR, 2 * HOUR)),
        ("of another authority", other.sign_for("localhost", -HOUR, HOUR)),
        ("of another server", authority.sign_for("elsewhere.example", -HOUR, HOUR)),
    ]
    .into_iter()
    .enumerate()
    {
        mount(&path, what, &pair);
        serve.wait_for_metric(FAILED, u64::try_from(failures).unwrap() + 1);
        assert!(is_trusted(&serve, &authority), "{what}");
        assert_eq!((serve.metric(EXPIRY), serve.metric(IN_USE)), (expiry, 0), "{what}");
        assert_eq!(serve.get("/readyz").0, 200, "{what}");
    }
    let line = serve.wait_for_line("keeping the last valid version");
    assert!(
        line["error"].as_str().unwrap().contains("--tls-cert: the certificate is expired"),
        "{line}"
    );
    // A pair of the other CA, first without and then with a `ca.crt` that confirms the CA.
    let meant = other.sign_for("localhost", -HOUR, HOUR);
    mount(&path, "meant", &meant);
    serve.wait_for_metric(FAILED, 5);
    fs::write(path.join("ca.crt"), other.0.pem()).unwrap();
    serve.wait_for_metric(CHANGED, 1);
    assert!(is_trusted(&serve, &other) && serve.metric(IN_USE) == 1);
}

/// As time passes, a pair that is not valid yet becomes valid, and the pair in use expires.
#[test]
fn a_pair_that_waits_is_used_when_its_time_comes() {
    let (authority, other) = (Authority::named("ours"), Authority::named("other"));
    let folder = tempfile::tempdir().unwrap();
    mount(folder.path(), "1", &authority.sign_for("localhost", -HOUR, HOUR));
    let serve = Serve::start_in(folder, &FILES);
    let path = serve.folder.path().to_owned();
    // Valid in a few seconds.
    mount(&path, "2", &authority.sign_for("localhost", 4, 20));
    serve.wait_for_metric(FAILED, 1);
    let before = serve.metric(EXPIRY);
    serve.wait_for_metric(CHANGED, 1);
    assert!(serve.metric(EXPIRY) < before);
    // That pair expires, and the files have a certificate of another CA.
    mount(&path, "3", &other.sign_for("localhost", -HOUR, 3 * HOUR));
    serve.wait_for_metric(FAILED, 2);
    serve.wait_for_metric(EXPIRY, before);
    assert!(is_trusted(&serve, &other));
}

/// At the start there is no better certificate: the server uses it and reports that it is not
/// ready.
#[test]
fn a_pair_that_is_not_valid_at_the_start_is_not_ready() {
    let authority = Authority::new();
    for (from, until) in [(-2 * HOUR, -HOUR), (HOUR, 2 * HOUR)] {
        let folder = tempfile::tempdir().unwrap();
        mount(folder.path(), "1", &authority.sign_for("localhost", from, until));
        let mut serve = Serve::start_in(folder, &FILES);
        serve.wait_for_line("used nevertheless: there is no other certificate");
        let (status, text) = serve.get("/readyz?verbose");
        assert_eq!(status, 503);
        assert!(text.contains("[-]certificate failed: there is no certificate that is valid now"));
        assert_eq!(serve.metric(IN_USE), 0);
        mount(serve.folder.path(), "2", &authority.sign("prestop", &["localhost"]));
        serve.wait_for_metric(CHANGED, 1);
        assert!(is_trusted(&serve, &authority));
        assert_eq!((serve.get("/readyz").0, serve.metric(IN_USE)), (200, 1));
    }
}

#[test]
fn only_clients_with_a_certificate_of_the_right_name_are_let_in() {
    let (clients, strangers) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("clients.crt"), clients.0.pem()).unwrap();
    let tls = format!(
        "tls:\n  clientCA: {}/clients.crt\n  allowedNames: [kube-apiserver, api.example]\n",
        folder.path().display()
    );
    fs::write(folder.path().join("prestop.yaml"), configuration(&tls)).unwrap();
    let serve = Serve::start_in(folder, &["--config", "{folder}/prestop.yaml"]);
    let is_served = |signed: Option<&Signed>| {
        let certificate = signed.map(Signed::for_clients);
        let terms = ClientTerms { certificate, ..ClientTerms::default() };
        let mut connection = Connection::begin(serve.address, serve.authority.clone(), terms);
        connection
            .send(
                [
                    &prestop_test_support::wire::head("/mutate", body().len()).into_bytes()[..],
                    &body(),
                ]
                .concat(),
            )
            .is_ok()
            && connection.answer().is_ok_and(|answer| answer.response().get("patch").is_some())
    };
    assert!(is_served(Some(&clients.sign("kube-apiserver", &[]))));
    assert!(is_served(Some(&clients.sign("x", &["other.example", "api.example"]))));
    assert!(!is_served(Some(&clients.sign("somebody", &["kube-apiserver.example"]))));
    assert!(!is_served(Some(&strangers.sign("kube-apiserver", &[]))));
    assert!(!is_served(None));
    serve.wait_for_metric("prestop_tls_handshake_errors_total{reason=\"client_certificate\"}", 3);
    let expiry = "prestop_certificate_expiry_timestamp_seconds{certificate=\"client_authority\"}";
    assert!(serve.metric(expiry) > 1_800_000_000);
    // The client CA is replaced: from now on, clients of the new one are let in.
    fs::write(serve.folder.path().join("clients.crt"), strangers.0.pem()).unwrap();
    serve.wait_for_metric("prestop_reloads_total{what=\"client_authority\",result=\"changed\"}", 1);
    assert!(is_served(Some(&strangers.sign("kube-apiserver", &[]))));
    assert!(!is_served(Some(&clients.sign("kube-apiserver", &[]))));
}

/// Runs the program with settings that are refused. Returns its exit status and message.
fn refusal(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let path = |text: &str| text.replace("{folder}", folder.path().to_str().unwrap());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_prestop"))
        .args(["serve", "--admin-listen", "127.0.0.1:0"])
        .args(arguments.iter().map(|argument| path(argument)))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_cannot_be_used_at_the_start_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Authority::new().sign("prestop", &["localhost"]);
    let other = Authority::new().sign("prestop", &["localhost"]);
    for (name, text) in [
        ("tls.crt", pair.certificate.as_str()),
        ("tls.key", &pair.key),
        ("other.key", &other.key),
        ("broken.yaml", "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\nsever: {}\n"),
        ("clients.yaml", &configuration("tls: {clientCA: /nowhere/ca.crt}\n")),
        ("namespaces.yaml", "kind: [\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for (arguments, status, part) in [
        (
            &["--tls-cert", "{folder}/tls.crt", "--tls-key", "{folder}/other.key"][..],
            3,
            "the key does not belong to the certificate",
        ),
        (
            &["--tls-cert", "{folder}/tls.crt", "--tls-key", "{folder}/none.key"],
            3,
            "none.key: No such file",
        ),
        (
            &["--tls-cert", "{folder}/tls.key", "--tls-key", "{folder}/tls.key"],
            3,
            "it has no BEGIN CERTIFICATE section",
        ),
        (&["--tls-cert", "{folder}/tls.crt"], 2, "--tls-key"),
        (&["--config", "{folder}/broken.yaml"], 3, "did you mean server?"),
        (&["--config", "{folder}/none.yaml"], 3, "none.yaml: No such file"),
        (&["--config", "{folder}/clients.yaml"], 3, "tls.clientCA"),
        (&["--namespaces-file", "{folder}/namespaces.yaml"], 3, "namespaces.yaml"),
        (&["--ca-out", "/nowhere/ca.crt"], 3, "--ca-out /nowhere/ca.crt"),
        (&["--kubernetes-version", "new"], 2, "write for example 1.33"),
    ] {
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        let (code, told) = refusal(&folder, &arguments);
        assert_eq!(code, Some(status), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
    let serve = Serve::start(&[]);
    let taken = serve.address.to_string();
    let (code, told) = refusal(&folder, &["--listen", &taken]);
    assert!(code != Some(0) && told.contains(&taken), "{told}");
}
