//! The cluster while `prestop serve` runs: its namespaces, its version, and the fronts of pods.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use kube::Client;
use prestop_core::policy::{KubernetesVersion, Policy};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::cli::ServeArguments;
use crate::cluster::api::{self, Choice};
use crate::cluster::certificates::ServedCertificate;
use crate::cluster::certificates::store::Names;
use crate::cluster::fronts::WatchedFronts;
use crate::cluster::namespaces::WatchedNamespaces;
use crate::webhook::authority::{Authority, Trust};
use crate::webhook::metrics::Metrics;
use crate::webhook::settings::CertificateSettings;

/// Interval for reading the version: clusters are upgraded while the server runs.
const READ_VERSION_EVERY: Duration = Duration::from_secs(600);
/// Interval for reading the version while it is unknown.
const TRY_VERSION_EVERY: Duration = Duration::from_secs(10);
/// Maximum wait for the version at the start: the first pods should get the right hooks, but not
/// wait long.
const WAIT_FOR_VERSION: Duration = Duration::from_secs(3);

/// The cluster in which the server runs.
pub(super) struct Cluster {
    client: Client,
    namespaces: Arc<WatchedNamespaces>,
    /// `None` if the arguments don't ask for them.
    fronts: Option<Arc<WatchedFronts>>,
    authority: Option<Authority>,
}

impl Cluster {
    pub(super) fn find(
        arguments: &ServeArguments,
        settings: &CertificateSettings,
    ) -> anyhow::Result<Self> {
        let client = api::target(&Choice::default()).context("--cluster")?.client;
        let authority =
            names(arguments).map(|names| Authority::new(client.clone(), names, settings));
        let fronts = arguments.watch_fronts.then(Arc::default);
        Ok(Self { client, namespaces: Arc::default(), fronts, authority })
    }

    /// Returns the result of the last poll of the shared CA; `None` if this replica does not manage
    /// one.
    pub(super) fn trust(&self) -> Option<Arc<Trust>> {
        self.authority.as_ref().map(Authority::trust)
    }

    pub(super) fn watched(&self) -> Arc<WatchedNamespaces> {
        self.namespaces.clone()
    }

    pub(super) fn fronts(&self) -> Option<Arc<WatchedFronts>> {
        self.fronts.clone()
    }

    /// Starts the watches. The version is polled unless the arguments set it.
    pub(super) fn follow(
        self,
        policy: Arc<ArcSwap<Policy>>,
        fixed: Option<KubernetesVersion>,
        served: Arc<ServedCertificate>,
        metrics: Arc<Metrics>,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let Self { client, namespaces, fronts, authority } = self;
        if let Some(authority) = authority {
            tasks.spawn(authority.keep(served, metrics));
        }
        if fixed.is_none() {
            let client = client.clone();
            tasks.spawn(async move {
                loop {
                    let is_known = read_version(&client, &policy).await;
                    sleep(if is_known { READ_VERSION_EVERY } else { TRY_VERSION_EVERY }).await;
                }
            });
        }
        if let Some(fronts) = fronts {
            tasks.spawn(fronts.watch(client.clone(), SystemTime::now));
        }
        tasks.spawn(namespaces.watch(client, SystemTime::now));
        tasks
    }

    /// Reads the version, with a short time limit: [`Cluster::follow`] tries again.
    pub(super) async fn read_version_once(&self, policy: &ArcSwap<Policy>) {
        let _ = timeout(WAIT_FOR_VERSION, read_version(&self.client, policy)).await;
    }
}

fn names(arguments: &ServeArguments) -> Option<Names> {
    Some(Names {
        namespace: arguments.namespace.clone()?,
        secret: arguments.authority_secret.clone()?,
        service: arguments.service.clone()?,
        webhook: arguments.webhook.clone()?,
        warnings: arguments.warnings_webhook.clone(),
    })
}

/// Reads the version. Returns whether it is known now.
async fn read_version(client: &Client, policy: &ArcSwap<Policy>) -> bool {
    match api::version(client).await {
        Ok(version) => {
            if policy.load().kubernetes_version != Some(version) {
                info!(%version, "the API server's version");
                policy.rcu(|policy| Policy {
                    kubernetes_version: Some(version),
                    ..Policy::clone(policy)
                });
            }
            true
        }
        Err(error) => {
            warn!(%error, "the API server's version can't be read; keeping the last known version");
            policy.load().kubernetes_version.is_some()
        }
    }
}
