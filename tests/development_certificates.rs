//! `certs/make-development-certificates`: its output, and that the server accepts it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{ClientTerms, Connection, body};

fn make(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-development-certificates"))
        .arg("--folder")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
#[ignore = "needs openssl; run: just test-tools"]
fn the_server_takes_what_the_script_makes() {
    let folder = tempfile::tempdir().unwrap();
    let made = make(folder.path(), &["web.example", "10.1.2.3"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = folder.path().join("tls.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let authority = CertificateDer::from_pem_file(folder.path().join("ca.crt")).unwrap();
    let text = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(folder.path().join("tls.crt"))
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for name in
        ["DNS:localhost", "DNS:prestop.prestop.svc", "DNS:web.example", "IP Address:10.1.2.3"]
    {
        assert!(text.contains(name), "{name} in {text}");
    }
    let serve = Serve::start_in(
        folder,
        &["--tls-cert", "{folder}/tls.crt", "--tls-key", "{folder}/tls.key"],
    );
    let mut connection = Connection::begin(serve.address, Some(authority), ClientTerms::default());
    assert!(connection.post(body()).response().get("patch").is_some());
}

#[test]
#[ignore = "needs openssl; run: just test-tools"]
fn nothing_is_written_over_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    assert!(make(folder.path(), &[]).status.success());
    let first = std::fs::read(folder.path().join("tls.crt")).unwrap();
    let refused = make(folder.path(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--force"));
    assert_eq!(std::fs::read(folder.path().join("tls.crt")).unwrap(), first);
    assert!(make(folder.path(), &["--force"]).status.success());
    assert_ne!(std::fs::read(folder.path().join("tls.crt")).unwrap(), first);
    assert_eq!(make(folder.path(), &["--unknown"]).status.code(), Some(2));
}
