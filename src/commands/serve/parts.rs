//! The parts of `prestop serve`: created once, run until a signal arrives, and reloaded while it runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use prestop_core::admission::{Fronts, Namespaces, NoFronts};
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::certificate::{CertificateFiles, CertificateSource};
use super::files::{ClientFile, ConfigurationFile, NamespacesFile};
use super::listening::listen;
use super::tell;
use super::watching::Cluster;
use crate::cli::ServeArguments;
use crate::cluster::certificates::ServedCertificate;
use crate::cluster::fronts::WatchedFronts;
use crate::cluster::namespaces::WatchedNamespaces;
use crate::webhook::authority::Trust;
use crate::webhook::memory::Memory;
use crate::webhook::metrics::{ByNamespace, Metrics};
use crate::webhook::namespaces::AnyNamespace;
use crate::webhook::reload;
use crate::webhook::server::readiness::Readiness;
use crate::webhook::server::routes::{self, Administration, Webhook};
use crate::webhook::server::tls::{Acceptor, Terms};
use crate::webhook::server::{Server, Transport};
use crate::webhook::settings::{Limits, ServeSettings};
use crate::webhook::shutdown::{Ending, Phase, Shutdown, Signals};
use crate::webhook::telemetry::{self, LevelHandle, Lost};

/// Maximum number of connections for probes and one or two scrapers.
const ADMINISTRATION_CONNECTIONS: usize = 64;

/// All parts of the server, ready to run.
pub(super) struct Parts {
    signals: Signals,
    shutdown: Shutdown,
    reviews: (Server, TcpListener),
    administration: (Server, TcpListener),
    cluster: Option<JoinSet<()>>,
    reloads: Reloads,
    poll_interval: Duration,
}

/// Everything that is reloaded or checked regularly while the server runs.
struct Reloads {
    configuration: ConfigurationFile,
    certificate: Option<CertificateFiles>,
    clients: Option<ClientFile>,
    namespaces: Option<NamespacesFile>,
    watched: Option<Arc<WatchedNamespaces>>,
    fronts: Option<Arc<WatchedFronts>>,
    memory: Memory,
    targets: Targets,
}

/// Destinations of reloaded data.
struct Targets {
    policy: Arc<ArcSwap<Policy>>,
    certificate: Arc<ServedCertificate>,
    acceptor: Arc<Acceptor>,
    metrics: Arc<Metrics>,
    log: Option<LevelHandle>,
}

/// Data about the cluster, and its sources.
struct Surroundings {
    namespaces: Arc<dyn Namespaces>,
    file: Option<NamespacesFile>,
    watched: Option<Arc<WatchedNamespaces>>,
    fronts: Option<Arc<WatchedFronts>>,
    trust: Option<Arc<Trust>>,
    /// Tasks that keep the data up to date.
    tasks: Option<JoinSet<()>>,
}

impl Parts {
    /// Reads every file, connects to the cluster and starts listening.
    pub(super) async fn new(
        arguments: &ServeArguments,
        policy: Policy,
        settings: &ServeSettings,
        configuration: ConfigurationFile,
        log: Option<LevelHandle>,
    ) -> anyhow::Result<Self> {
        let metrics = metrics(settings, &policy);
        let served = ServedCertificate::none();
        let source = CertificateSource::of(arguments);
        let certificate = source.first(&served, &metrics, SystemTime::now())?;
        let mut clients = ClientFile::new(&settings.tls);
        let terms = match &mut clients {
            None => Terms::new(settings.tls.minimum_version, served.clone(), None)?,
            Some(file) => file.first(served.clone(), &metrics)?,
        };
        let policy = for_server(policy, arguments.kubernetes_version);
        let targets = Targets {
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            certificate: served,
            acceptor: Arc::new(Acceptor::new(terms)),
            metrics,
            log,
        };
        let Surroundings { namespaces, file, watched, fronts, trust, tasks } =
            Surroundings::find(arguments, settings, &targets).await?;
        let (signals, shutdown) = Signals::take().context("signals")?;
        let readiness =
            readiness(&targets.certificate, &shutdown, (watched.clone(), fronts.clone()), trust);
        let limits = settings.server.limits;
        let reviews = targets.reviews(namespaces, fronts.clone(), limits);
        let administration = targets.administration(readiness, limits);
        let parts = Self {
            signals,
            shutdown,
            reviews: (reviews, listen(arguments.listen, "--listen").await?),
            administration: (
                administration,
                listen(arguments.admin_listen, "--admin-listen").await?,
            ),
            cluster: tasks,
            reloads: Reloads {
                configuration,
                certificate,
                clients,
                namespaces: file,
                watched,
                fronts,
                memory: Memory::default(),
                targets,
            },
            poll_interval: Duration::from_secs(arguments.poll_interval),
        };
        parts.tell(source)?;
        Ok(parts)
    }

    fn tell(&self, certificate: CertificateSource<'_>) -> anyhow::Result<()> {
        let address = self.reviews.1.local_addr()?;
        let administration = self.administration.1.local_addr()?;
        info!(
            %address, %administration, version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        if let CertificateSource::Memory { ca_out } = certificate {
            let trust = ca_out
                .map_or_else(|| "--insecure".to_owned(), |ca| format!("--cacert {}", ca.display()));
            tell(&format!(
                "The certificate was created in memory, for this machine only. To try the server:\n  \
                 prestop serve --print-example-review | curl --silent {trust} \
                 --header 'Content-Type: application/json' --data-binary @- https://localhost:{}/mutate",
                address.port()
            ));
        }
        Ok(())
    }

    /// Serves until a signal ends the server.
    pub(super) async fn run(self, settings: &ServeSettings) -> Ending {
        let Self {
            mut signals,
            shutdown,
            reviews,
            administration,
            cluster,
            mut reloads,
            poll_interval,
        } = self;
        let (delay, timeout) = (settings.server.drain_delay, settings.server.drain_timeout);
        let reviews = tokio::spawn(reviews.0.serve(reviews.1, shutdown.clone(), timeout));
        let administration =
            tokio::spawn(administration.0.serve(administration.1, shutdown, timeout));
        let metrics = reloads.targets.metrics.clone();
        tokio::spawn(telemetry::write_together(move |lost| match lost {
            Lost::NoRoom(lines) => metrics.log_lines_dropped(lines),
            Lost::Failed(lines) => metrics.log_lines_failed(lines),
        }));
        let polling = tokio::spawn(async move {
            reloads.memory.after_start();
            reload::poll(poll_interval, || reloads.look()).await;
        });
        let told = |phase| match phase {
            Phase::Serving => {}
            Phase::Draining => {
                info!(seconds = delay.as_secs(), "draining: still accepting requests");
            }
            Phase::Stopping => info!("stopping: finishing open requests"),
        };
        if signals.drain(delay, told).await == Ending::AtOnce {
            warn!("second signal: ending immediately");
            return Ending::AtOnce;
        }
        let ending = tokio::select! {
            // Probes are answered as long as reviews are.
            _ = reviews => Ending::Drained,
            () = signals.next() => Ending::AtOnce,
        };
        administration.abort();
        polling.abort();
        drop(cluster);
        info!("ended");
        ending
    }
}

impl Targets {
    fn reviews(
        &self,
        namespaces: Arc<dyn Namespaces>,
        fronts: Option<Arc<WatchedFronts>>,
        limits: Limits,
    ) -> Server {
        let fronts: Arc<dyn Fronts> = match fronts {
            Some(fronts) => fronts,
            None => Arc::new(NoFronts),
        };
        Server {
            transport: Transport::Tls(self.acceptor.clone()),
            router: routes::webhook(Webhook {
                policy: self.policy.clone(),
                namespaces,
                fronts,
                metrics: self.metrics.clone(),
                limits,
            }),
            limits,
            metrics: Some(self.metrics.clone()),
        }
    }

    fn administration(&self, readiness: Readiness, limits: Limits) -> Server {
        let metrics = self.metrics.clone();
        Server {
            transport: Transport::Plain,
            router: routes::administration(Administration { readiness, metrics }),
            limits: Limits { connections: ADMINISTRATION_CONNECTIONS, ..limits },
            metrics: None,
        }
    }
}

impl Surroundings {
    async fn find(
        arguments: &ServeArguments,
        settings: &ServeSettings,
        targets: &Targets,
    ) -> anyhow::Result<Self> {
        if arguments.cluster {
            return Self::of_cluster(arguments, settings, targets).await;
        }
        let mut file = arguments.namespaces_file.as_deref().map(NamespacesFile::new);
        let namespaces = match &mut file {
            Some(file) => file.first()?,
            None => Arc::new(AnyNamespace),
        };
        Ok(Self { namespaces, file, watched: None, fronts: None, trust: None, tasks: None })
    }

    async fn of_cluster(
        arguments: &ServeArguments,
        settings: &ServeSettings,
        targets: &Targets,
    ) -> anyhow::Result<Self> {
        let cluster = Cluster::find(arguments, &settings.certificates)?;
        let (watched, fronts, trust) = (cluster.watched(), cluster.fronts(), cluster.trust());
        let fixed_version = arguments.kubernetes_version;
        if fixed_version.is_none() {
            cluster.read_version_once(&targets.policy).await;
        }
        let Targets { policy, certificate, metrics, .. } = targets;
        let tasks =
            cluster.follow(policy.clone(), fixed_version, certificate.clone(), metrics.clone());
        let namespaces = watched.clone();
        let watched = Some(watched);
        Ok(Self { namespaces, file: None, watched, fronts, trust, tasks: Some(tasks) })
    }
}

fn metrics(settings: &ServeSettings, policy: &Policy) -> Arc<Metrics> {
    let by_namespace =
        if settings.metrics.by_namespace { ByNamespace::Counted } else { ByNamespace::NotCounted };
    let profiles = policy.catalogue.profiles().iter().map(|profile| profile.name.as_str());
    Arc::new(Metrics::new(by_namespace, profiles))
}

fn readiness(
    served: &Arc<ServedCertificate>,
    shutdown: &Shutdown,
    (namespaces, fronts): (Option<Arc<WatchedNamespaces>>, Option<Arc<WatchedFronts>>),
    trust: Option<Arc<Trust>>,
) -> Readiness {
    let (served, shutdown) = (served.clone(), shutdown.clone());
    let is_valid = {
        let trust = trust.clone();
        move || {
            let own = SystemTime::now();
            let now = trust.as_ref().map_or(own, |trust| trust.time(own));
            served.validity().is_some_and(|validity| validity.holds(now))
        }
    };
    let mut readiness = Readiness::new()
        .with("certificate", "there is no certificate that is valid now", is_valid)
        .with("shutdown", "the server is draining", move || shutdown.phase() == Phase::Serving);
    if let Some(trust) = trust {
        let otherwise = "the webhook configuration does not contain the CA of this replica";
        readiness = readiness.with("trust", otherwise, move || trust.is_trusted());
    }
    if let Some(namespaces) = namespaces {
        let otherwise = "not read yet; using the configured defaults";
        readiness = readiness.telling("namespaces", otherwise, move || namespaces.is_synced());
    }
    if let Some(fronts) = fronts {
        let otherwise = "not completely read yet; until then, the delay auto is at least 10s";
        readiness = readiness.telling("fronts", otherwise, move || fronts.is_synced());
    }
    readiness
}

/// Returns the policy of a file as it applies if the API server selects the namespaces.
fn for_server(policy: Policy, kubernetes_version: Option<KubernetesVersion>) -> Policy {
    Policy { kubernetes_version, namespaces: NamespaceRule::NotDisabled, ..policy }
}

impl Reloads {
    /// Checks every file once, and returns unused memory to the system.
    fn look(&mut self) {
        let targets = &self.targets;
        if let Some((policy, settings)) = self.configuration.changed(&targets.metrics) {
            let kubernetes_version = targets.policy.load().kubernetes_version;
            targets.policy.store(Arc::new(for_server(policy, kubernetes_version)));
            if let Some(log) = &targets.log {
                log.set(settings.log.level);
            }
        }
        if let Some(files) = &mut self.certificate {
            files.look(&targets.certificate, &targets.metrics, SystemTime::now());
        }
        if let Some(file) = &mut self.clients
            && let Some(terms) = file.changed(targets.certificate.clone(), &targets.metrics)
        {
            targets.acceptor.set(terms);
        }
        if let Some(file) = &mut self.namespaces {
            file.look(&targets.metrics);
        }
        if let Some(watched) = &self.watched {
            targets.metrics.namespaces_failing_since(watched.failing_since());
        }
        if let Some(fronts) = &self.fronts {
            targets.metrics.fronts_failing_since(fronts.failing_since());
        }
        self.memory.look();
    }
}
