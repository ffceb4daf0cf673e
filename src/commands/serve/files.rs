//! The files of `prestop serve`. At the start an invalid file is an error. When a file changes, it is
//! reloaded; an invalid one is logged and counted, and the last valid version stays in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use prestop_core::admission::Namespaces;
use prestop_core::policy::Policy;
use tracing::{error, info, warn};

use crate::cluster::certificates::{Authorities, ServedCertificate};
use crate::config::Config;
use crate::webhook::events::{Certificate, Reload, ReloadResult};
use crate::webhook::metrics::Metrics;
use crate::webhook::namespaces::{self, ByName, ListedNamespaces};
use crate::webhook::reload::Files;
use crate::webhook::server::tls::{Clients, Terms};
use crate::webhook::settings::{ClientCertificates, ServeSettings, TlsSettings, TlsVersion};

/// The content of a file, or the reason why it can't be used.
pub(super) type Content<T> = anyhow::Result<T>;

/// The configuration file; without one, the built-in values apply.
pub(super) struct ConfigurationFile {
    file: Option<(PathBuf, Files)>,
    /// The settings that the server was started with.
    started_with: ServeSettings,
}

impl ConfigurationFile {
    pub(super) fn new(path: Option<&Path>) -> Self {
        let file = path.map(|path| (path.to_owned(), Files::new([path])));
        Self { file, started_with: ServeSettings::default() }
    }

    pub(super) fn first(&mut self) -> Content<(Policy, ServeSettings)> {
        let parts =
            self.read().unwrap_or_else(|| Ok((Policy::built_in(), ServeSettings::default())))?;
        self.started_with = parts.1.clone();
        Ok(parts)
    }

    pub(super) fn changed(&mut self, metrics: &Metrics) -> Option<(Policy, ServeSettings)> {
        let (policy, settings) = told(self.read()?, Reload::Configuration, metrics)?;
        let mut but_for_the_level = settings.clone();
        but_for_the_level.log.level = self.started_with.log.level;
        if but_for_the_level != self.started_with {
            warn!("changes of server, tls, log.format and metrics take effect after a restart");
        }
        Some((policy, settings))
    }

    fn read(&mut self) -> Option<Content<(Policy, ServeSettings)>> {
        let (path, files) = self.file.as_mut()?;
        let name = path.display().to_string();
        let contents = files.changed()?.map_err(|error| anyhow!("configuration {error}"));
        Some(contents.and_then(|contents| {
            let text = str::from_utf8(only(contents))
                .map_err(|error| anyhow!("configuration {name}: not UTF-8: {error}"))?;
            let config = Config::parse(text)
                .map_err(|error| anyhow!("invalid configuration\n{}", error.in_file(&name)))?;
            Ok(config.into_parts())
        }))
    }
}

/// The CAs of clients.
pub(super) struct ClientFile {
    files: Files,
    allowed_names: Vec<String>,
    minimum_version: TlsVersion,
}

impl ClientFile {
    pub(super) fn new(tls: &TlsSettings) -> Option<Self> {
        let ClientCertificates { authorities_file, allowed_names } = tls.clients.clone()?;
        let minimum_version = tls.minimum_version;
        Some(Self { files: Files::new([authorities_file]), allowed_names, minimum_version })
    }

    pub(super) fn first(
        &mut self,
        served: Arc<ServedCertificate>,
        metrics: &Metrics,
    ) -> Content<Terms> {
        self.read(served, metrics).unwrap_or_else(|| Err(anyhow!("nothing was read")))
    }

    pub(super) fn changed(
        &mut self,
        served: Arc<ServedCertificate>,
        metrics: &Metrics,
    ) -> Option<Terms> {
        told(self.read(served, metrics)?, Reload::ClientAuthority, metrics)
    }

    fn read(
        &mut self,
        served: Arc<ServedCertificate>,
        metrics: &Metrics,
    ) -> Option<Content<Terms>> {
        let contents = self.files.changed()?.map_err(|error| anyhow!("tls.clientCA {error}"));
        Some(contents.and_then(|contents| {
            let (authorities, first_end) =
                Authorities::read(only(contents)).all().context("tls.clientCA")?;
            let clients = Clients { authorities, allowed_names: self.allowed_names.clone() };
            let terms = Terms::new(self.minimum_version, served, Some(clients))?;
            metrics.certificate_expires(Certificate::ClientAuthority, first_end);
            Ok(terms)
        }))
    }
}

/// Manifests of Namespaces.
pub(super) struct NamespacesFile {
    name: String,
    files: Files,
    known: Arc<ListedNamespaces>,
}

impl NamespacesFile {
    pub(super) fn new(path: &Path) -> Self {
        let name = path.display().to_string();
        Self { name, files: Files::new([path]), known: Arc::default() }
    }

    pub(super) fn first(&mut self) -> Content<Arc<dyn Namespaces>> {
        let known = self.read().unwrap_or_else(|| Err(anyhow!("nothing was read")))?;
        self.known.replace(known);
        Ok(self.known.clone())
    }

    pub(super) fn look(&mut self, metrics: &Metrics) {
        if let Some(read) = self.read()
            && let Some(known) = told(read, Reload::Namespaces, metrics)
        {
            self.known.replace(known);
        }
    }

    fn read(&mut self) -> Option<Content<ByName>> {
        let contents = self.files.changed()?.map_err(|error| anyhow!("--namespaces-file {error}"));
        Some(contents.and_then(|contents| {
            let known = namespaces::read(only(contents));
            known.map_err(|error| anyhow!("--namespaces-file {}: {error}", self.name))
        }))
    }
}

/// Returns the content of the only file.
fn only(contents: &[Vec<u8>]) -> &[u8] {
    contents.first().map_or(&[], Vec::as_slice)
}

/// Logs and counts the reload of a changed file.
pub(super) fn told<T>(content: Content<T>, what: Reload, metrics: &Metrics) -> Option<T> {
    match content {
        Ok(content) => {
            info!(what = what.name(), "reloaded");
            metrics.reloaded(what, ReloadResult::Changed);
            Some(content)
        }
        Err(error) => {
            error!(
                what = what.name(),
                error = format!("{error:#}"),
                "keeping the last valid version"
            );
            metrics.reloaded(what, ReloadResult::Failed);
            None
        }
    }
}
