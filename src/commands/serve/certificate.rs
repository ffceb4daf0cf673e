//! The source of the server's certificate: created in memory, from the cluster, or from files that
//! are renewed by something else. Not every readable certificate is used: while the certificate in
//! use is valid, it is kept rather than replaced by one that API servers would refuse.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, anyhow};
use rustls::RootCertStore;
use tracing::warn;

use super::super::certificates::stamp;
use super::files::{Content, told};
use crate::cli::ServeArguments;
use crate::cluster::certificates::renewal::{Objection, objection};
use crate::cluster::certificates::{Authorities, Pair, ServedCertificate, ephemeral, read_pair};
use crate::webhook::events::{Certificate, Reload, ReloadResult};
use crate::webhook::metrics::Metrics;
use crate::webhook::reload::Files;

/// Name of the CA file in cert-manager and in Secrets of the type `kubernetes.io/tls`.
const AUTHORITIES_FILE: &str = "ca.crt";

/// A certificate and its key, and a CA file that may be next to them.
pub(super) struct CertificateFiles {
    files: Files,
    authorities: PathBuf,
    served: Option<Pair>,
    /// The content of the files, while there is an objection to it, which may change over time.
    waiting: Option<Pair>,
}

/// The source of the server's certificate.
#[derive(Clone, Copy)]
pub(super) enum CertificateSource<'a> {
    /// Files that are renewed by something else.
    Files { chain: &'a Path, key: &'a Path },
    /// The CA in the cluster that all replicas share.
    SharedAuthority,
    /// Created in memory, for this machine only.
    Memory { ca_out: Option<&'a Path> },
}

impl<'a> CertificateSource<'a> {
    pub(super) fn of(arguments: &'a ServeArguments) -> Self {
        match (&arguments.tls_cert, &arguments.tls_key) {
            (Some(chain), Some(key)) => Self::Files { chain, key },
            _ if arguments.authority_secret.is_some() => Self::SharedAuthority,
            _ => Self::Memory { ca_out: arguments.ca_out.as_deref() },
        }
    }

    /// Serves the first certificate, unless the cluster provides it. Returns the files if they are
    /// to be reloaded.
    pub(super) fn first(
        self,
        served: &ServedCertificate,
        metrics: &Metrics,
        now: SystemTime,
    ) -> anyhow::Result<Option<CertificateFiles>> {
        match self {
            Self::Files { chain, key } => {
                let mut files = CertificateFiles::new(chain, key);
                files.first(served, metrics, now)?;
                Ok(Some(files))
            }
            Self::SharedAuthority => Ok(None),
            Self::Memory { ca_out } => {
                let (authority, leaf) = ephemeral(now)?;
                if let Some(path) = ca_out {
                    write_whole(path, authority.certificate_pem())
                        .with_context(|| format!("--ca-out {}", path.display()))?;
                }
                metrics.certificate_expires(Certificate::Serving, leaf.not_after);
                metrics.certificate_expires(Certificate::ServingAuthority, authority.not_after());
                served.serve(leaf.certified);
                Ok(None)
            }
        }
    }
}

impl CertificateFiles {
    pub(super) fn new(chain: &Path, key: &Path) -> Self {
        let authorities = chain.with_file_name(AUTHORITIES_FILE);
        Self { files: Files::new([chain, key]), authorities, served: None, waiting: None }
    }

    /// Serves the certificate in the files even if it is not valid now, because there is no other.
    pub(super) fn first(
        &mut self,
        served: &ServedCertificate,
        metrics: &Metrics,
        now: SystemTime,
    ) -> Content<()> {
        let pair = self.read().unwrap_or_else(|| Err(anyhow!("nothing was read")))?;
        if let Some(objection) = self.objection(&pair, now) {
            warn!(error = %objected(&pair, objection), "used nevertheless: there is no other certificate");
            metrics.reloaded(Reload::Certificate, ReloadResult::Failed);
            self.waiting = Some(pair.clone());
        }
        self.take(pair, served, metrics);
        Ok(())
    }

    /// Replaces the certificate in use by the one in the files, unless there is an objection to
    /// that one and the one in use is still valid.
    pub(super) fn look(&mut self, served: &ServedCertificate, metrics: &Metrics, now: SystemTime) {
        let read = self.read();
        let is_new = read.is_some();
        match read {
            Some(Ok(pair)) => self.waiting = Some(pair),
            Some(Err(error)) => {
                self.waiting = None;
                told::<()>(Err(error), Reload::Certificate, metrics);
            }
            None => {}
        }
        let Some(pair) = self.waiting.take() else { return };
        let Some(objection) = self.objection(&pair, now) else {
            if let Some(pair) = told(Ok(pair), Reload::Certificate, metrics) {
                self.take(pair, served, metrics);
            }
            return;
        };
        if is_new {
            told::<()>(Err(objected(&pair, objection)), Reload::Certificate, metrics);
        }
        let is_served_valid = self.served.as_ref().is_some_and(|it| it.validity.holds(now));
        let is_served = self.served.as_ref().is_some_and(|it| it.is_same(&pair));
        if !is_served_valid && !is_served {
            warn!(
                "the certificate in use is not valid now: replacing it with the one in the files"
            );
            self.take(pair.clone(), served, metrics);
        }
        self.waiting = Some(pair);
    }

    fn take(&mut self, pair: Pair, served: &ServedCertificate, metrics: &Metrics) {
        metrics.certificate_expires(Certificate::Serving, pair.validity.not_after);
        served.serve(pair.certified.clone());
        self.served = Some(pair);
    }

    fn objection(&self, pair: &Pair, now: SystemTime) -> Option<Objection> {
        // Without this file, or without a certificate in it, there are no declared CAs.
        let beside = fs::read(&self.authorities).unwrap_or_default();
        let beside = Authorities::read(&beside).all();
        let beside = beside.map_or_else(|_| RootCertStore::empty(), |(roots, _)| roots);
        let served = self.served.as_ref().filter(|served| !served.is_same(pair));
        objection(pair, served, &beside, now)
    }

    fn read(&mut self) -> Option<Content<Pair>> {
        let contents = self.files.changed()?.map_err(|error| anyhow!("certificate {error}"));
        Some(contents.and_then(|contents| match contents {
            [chain, key] => read_pair(chain, key).context("--tls-cert and --tls-key"),
            _ => Err(anyhow!("two files were to be read")),
        }))
    }
}

fn objected(pair: &Pair, objection: Objection) -> anyhow::Error {
    let (from, until) = (stamp(pair.validity.not_before), stamp(pair.validity.not_after));
    anyhow!("--tls-cert: {objection} (valid from {from} until {until})")
}

/// Writes a file in one step, so that readers that wait for it never see a part of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    // Its content is not secret.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(file.path(), permissions)?;
    file.persist(path)?;
    Ok(())
}
