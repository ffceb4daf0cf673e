//! A cluster as input: the connection, the part that is read, and messages about it.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::tell;
use crate::cli::FromCluster;
use crate::cluster::api::{self, Api, Choice, ClusterError, Target, failure};
use crate::cluster::reading::{Forbidden, Reading, Scope, Wanted};

/// Time limit for the first answer of the API server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster that answers.
pub(super) struct Cluster {
    runtime: Runtime,
    pub(super) api: Api,
    /// Address and context of the cluster, for people.
    pub(super) name: String,
    pub(super) version: KubernetesVersion,
    /// The namespace of the context.
    namespace: Option<String>,
}

impl Cluster {
    /// Connects to the cluster of the kubeconfig, or else to the one that this pod runs in.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub(super) fn connect(choice: &Choice) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().context("threads")?;
        let (target, version) = runtime.block_on(async {
            let target = api::target(choice)?;
            let version = version(&target).await?;
            anyhow::Ok((target, version))
        })?;
        let Target { client, name, namespace } = target;
        Ok(Self { runtime, api: Api::new(client), name, version, namespace })
    }

    /// Returns the part of the cluster that the arguments select.
    pub(super) fn scope(&self, from: &FromCluster, namespace: Option<&str>) -> Scope {
        if from.all_namespaces {
            return Scope::All;
        }
        let namespace = namespace.or(self.namespace.as_deref()).unwrap_or("default");
        Scope::Namespaces(vec![namespace.to_owned()])
    }

    /// Runs a future that reads from the cluster.
    pub(super) fn run<T>(&self, read: impl Future<Output = T>) -> T {
        self.runtime.block_on(read)
    }
}

/// Returns the parameters for reading the cluster.
pub(super) fn wanted<'k>(scope: Scope, from: &FromCluster, kinds: &'k [KindName]) -> Wanted<'k> {
    Wanted { scope, selector: from.selector.clone(), kinds, page: from.page_size }
}

async fn version(target: &Target) -> anyhow::Result<KubernetesVersion> {
    let name = &target.name;
    let asked = timeout(PATIENCE, api::version(&target.client)).await;
    let asked = asked.map_err(|_| anyhow!(failure::silent(name, PATIENCE)))?;
    asked.map_err(|error| match error {
        ClusterError::Request(error) => anyhow!("{name}: {}", failure::reason(&error)),
        error @ ClusterError::Version(_) => anyhow!("{name}: {error}"),
    })
}

/// Reports the kinds that could not be listed, once each, with the consequence.
pub(super) fn tell_missing(
    reading: &Reading<'_>,
    scope: &Scope,
    consequence: impl Fn(&Forbidden) -> &'static str,
) {
    for group in reading.unavailable() {
        tell(&format!("note: the API group {group} does not answer: its kinds are skipped"));
    }
    for it in reading.forbidden() {
        let (resource, place, consequence) = (&it.resource, place(scope), consequence(it));
        tell(&format!("note: you may not list {resource} {place}: {consequence}"));
    }
}

/// Whether the pod is running: not terminating, not ended, and not from a node's own files.
pub(super) fn is_running(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str);
    let is_mirror = pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some();
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && !matches!(phase, Some("Succeeded" | "Failed"))
        && !is_mirror
}

/// Returns the error that not even workloads may be listed.
pub(super) fn nothing_to_read(name: &str, scope: &Scope) -> anyhow::Error {
    let advice = match scope {
        Scope::All => "ask for the ClusterRole of docs/audit.md, or name a namespace with -n",
        Scope::Namespaces(_) => {
            "ask for the ClusterRole of docs/audit.md, or name another namespace with -n"
        }
    };
    anyhow!("{name}: you may list no workloads {}; {advice}", place(scope))
}

/// Returns `metadata.name`.
pub(super) fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Returns the scope in words, such as `in namespace shop`.
fn place(scope: &Scope) -> String {
    match scope {
        Scope::All => "in all namespaces".to_owned(),
        Scope::Namespaces(names) if names.len() == 1 => format!("in namespace {}", names.concat()),
        Scope::Namespaces(names) => format!("in all of the namespaces {}", names.join(", ")),
    }
}

/// Shows on a terminal what is being read.
pub(super) struct Progress {
    is_terminal: bool,
    is_shown: Cell<bool>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_shown: Cell::new(false) }
    }

    /// Clears the line, so that other lines can be printed.
    pub(super) fn clear(&self) {
        if self.is_shown.take() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Shows a line that replaces the previous one.
    pub(super) fn show(&self, resource: &str, count: usize) {
        if self.is_terminal {
            self.is_shown.set(true);
            let _ = write!(io::stderr(), "\r\x1b[Kreading {resource}: {count}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
