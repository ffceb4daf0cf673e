//! The cluster, while `prestop serve` runs: its namespaces and its version.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt};
use kube::Client;
use kube::runtime::watcher;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::admission::Namespaces;
use crate::api;
use crate::certificates::ServedCertificate;
use crate::certificates::rotation::Lifetimes;
use crate::certificates::store::{Names, Store};
use crate::cli::ServeArguments;
use crate::cluster::{self, WatchedNamespaces};
use crate::metrics::{Certificate, Metrics};
use crate::policy::{KubernetesVersion, Policy};
use crate::serving::CertificateSettings;

/// Clusters are upgraded while we run.
const READ_VERSION_EVERY: Duration = Duration::from_secs(600);
/// While it is not known.
const TRY_VERSION_EVERY: Duration = Duration::from_secs(10);
/// At the start: the first pods are to have the right hooks, but not to wait for long.
const WAIT_FOR_VERSION: Duration = Duration::from_secs(3);

/// After something changed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// After the webhook configuration was changed, by us or by others.
const AFTER_A_CHANGE: Duration = Duration::from_millis(500);
/// After something failed.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The cluster that is served.
pub(super) struct Cluster {
    client: Client,
    namespaces: Arc<WatchedNamespaces>,
    authority: Option<Authority>,
}

/// The authority that this replica shares with others.
pub(super) struct Authority {
    store: Store,
    is_trusted: Arc<AtomicBool>,
    look_interval: Duration,
}

impl Cluster {
    pub(super) async fn find(
        arguments: &ServeArguments,
        settings: &CertificateSettings,
    ) -> anyhow::Result<Self> {
        let client = api::client().await.context("--cluster")?;
        let authority = names(arguments).map(|names| Authority {
            store: Store::new(
                client.clone(),
                names,
                Lifetimes {
                    authority: settings.authority_lifetime,
                    leaf: settings.lifetime,
                    overlap: settings.overlap,
                },
            ),
            is_trusted: Arc::default(),
            look_interval: settings.look_interval,
        });
        Ok(Self { client, namespaces: Arc::default(), authority })
    }

    /// Whether API servers trust what is served, by what was last read; `None` where that is not for
    /// us to know.
    pub(super) fn trust(&self) -> Option<Arc<AtomicBool>> {
        self.authority.as_ref().map(|authority| authority.is_trusted.clone())
    }

    pub(super) fn namespaces(&self) -> Arc<dyn Namespaces> {
        self.namespaces.clone()
    }

    pub(super) fn watched(&self) -> Arc<WatchedNamespaces> {
        self.namespaces.clone()
    }

    /// Begins to watch. The version is followed unless the arguments fix it.
    pub(super) fn follow(
        self,
        policy: Arc<ArcSwap<Policy>>,
        fixed: Option<KubernetesVersion>,
        served: Arc<ServedCertificate>,
        metrics: Arc<Metrics>,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let Self { client, namespaces, authority } = self;
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
        tasks.spawn(namespaces.watch(client, SystemTime::now));
        tasks
    }

    /// Reads the version, and gives up soon: [`Cluster::follow`] tries again.
    pub(super) async fn read_version_once(&self, policy: &ArcSwap<Policy>) {
        let _ = timeout(WAIT_FOR_VERSION, read_version(&self.client, policy)).await;
    }
}

impl Authority {
    /// Keeps the authority, what is published of it, and this replica's certificate up to date.
    async fn keep(mut self, served: Arc<ServedCertificate>, metrics: Arc<Metrics>) {
        let mut is_failing = false;
        let mut changes = pin!(self.store.changes());
        let mut is_watched = true;
        loop {
            let wait = match self.store.look(&served, SystemTime::now).await {
                Ok(looked) => {
                    is_failing = false;
                    self.is_trusted.store(looked.is_trusted, Ordering::Relaxed);
                    metrics.authority(looked.generation, looked.change);
                    metrics
                        .certificate_expires(Certificate::ServingAuthority, looked.authority_end);
                    if let Some(end) = looked.leaf_end {
                        metrics.certificate_expires(Certificate::Serving, end);
                    }
                    if looked.is_settled {
                        jittered(self.look_interval, SystemTime::now())
                    } else {
                        LOOK_AGAIN_AFTER
                    }
                }
                Err(error) => {
                    // Told once; it is tried again for as long as it takes.
                    if !is_failing {
                        warn!(
                            error = format!("{:#}", anyhow::Error::from(error)),
                            "the shared authority; what is served stays"
                        );
                    }
                    is_failing = true;
                    metrics.authority_failed();
                    if let Some(end) = self.store.leaf_end() {
                        metrics.certificate_expires(Certificate::Serving, end);
                    }
                    TRY_AGAIN_AFTER.min(self.look_interval)
                }
            };
            // What others change is seen at once, whatever the interval is.
            if timeout(wait, changed(changes.as_mut(), &mut is_watched)).await.is_ok() {
                // Not all replicas at once, and not as fast as somebody who keeps changing it.
                sleep(jittered(AFTER_A_CHANGE, SystemTime::now())).await;
            }
        }
    }
}

/// Waits for a change. That none can be seen is told once.
async fn changed(
    mut changes: Pin<&mut impl Stream<Item = Result<(), watcher::Error>>>,
    is_watched: &mut bool,
) {
    while let Some(change) = changes.next().await {
        let Err(error) = change else {
            *is_watched = true;
            return;
        };
        if std::mem::take(is_watched) {
            warn!(%error, "the webhook configuration can't be watched; it is read now and then");
        }
    }
    // Watches do not end. If this one does, there is nothing to see.
    std::future::pending::<()>().await;
}

/// The interval, more or less a third: replicas should not all come at once.
fn jittered(interval: Duration, now: SystemTime) -> Duration {
    let nanoseconds =
        now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    interval.mul_f64(2.0 / 3.0 * (1.0 + f64::from(nanoseconds) / 1e9))
}

fn names(arguments: &ServeArguments) -> Option<Names> {
    Some(Names {
        namespace: arguments.namespace.clone()?,
        secret: arguments.authority_secret.clone()?,
        service: arguments.service.clone()?,
        webhook: arguments.webhook.clone()?,
    })
}

/// Whether the version is known now.
async fn read_version(client: &Client, policy: &ArcSwap<Policy>) -> bool {
    match cluster::version(client).await {
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
            warn!(%error, "the API server's version is not known; what was known still holds");
            policy.load().kubernetes_version.is_some()
        }
    }
}
