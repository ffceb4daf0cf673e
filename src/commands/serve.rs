//! `prestop serve`: puts the server together out of its parts, and takes it apart again.

mod authority;
mod certificate;
mod files;
mod listening;
mod watching;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::authority::Trust;
use self::certificate::CertificateFiles;
use self::files::{ClientFile, ConfigurationFile, NamespacesFile};
use self::listening::listen;
use self::watching::Cluster;
use super::{Exit, tell};
use crate::cli::ServeArguments;
use crate::cluster::certificates::{ServedCertificate, ephemeral};
use crate::cluster::namespaces::WatchedNamespaces;
use crate::webhook::events::Certificate;
use crate::webhook::memory::Memory;
use crate::webhook::metrics::{ByNamespace, Metrics};
use crate::webhook::reload;
use crate::webhook::server::readiness::Readiness;
use crate::webhook::server::routes::{self, Administration, Webhook};
use crate::webhook::server::tls::{Acceptor, Terms};
use crate::webhook::server::{Server, Transport};
use crate::webhook::settings::{Limits, ServeSettings};
use crate::webhook::shutdown::{Ending, Phase, Shutdown, Signals};
use crate::webhook::telemetry::{self, LevelHandle, Lost};

/// A pod of a `ReplicaSet` as an API server sends it.
const EXAMPLE_REVIEW: &str = include_str!("../../examples/admission-review.json");

/// Serves until a signal ends it.
pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<Exit> {
    if arguments.print_example_review {
        io::stdout().write_all(EXAMPLE_REVIEW.as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut configuration = ConfigurationFile::new(arguments.config.as_deref());
    let (policy, settings) = match configuration.first() {
        Ok(parts) => parts,
        Err(error) => {
            tell(&format!("error: {error}"));
            return Ok(Exit::BadInput);
        }
    };
    let log = telemetry::start(settings.log);
    raise_file_limit();
    let runtime = runtime(&settings)?;
    let parts = match runtime.block_on(Parts::new(arguments, policy, &settings, configuration, log))
    {
        Ok(parts) => parts,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            return Ok(Exit::BadInput);
        }
    };
    let ending = runtime.block_on(parts.run(&settings));
    // Nothing that is still open is waited for.
    runtime.shutdown_background();
    telemetry::write_the_last();
    Ok(match ending {
        Ending::Drained => Exit::Done,
        Ending::AtOnce => Exit::AtOnce,
    })
}

/// As many files as the system allows: each connection is one, and the usual limit for programs is
/// lower than ours for connections.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

fn runtime(settings: &ServeSettings) -> anyhow::Result<Runtime> {
    let mut builder = match settings.server.workers.get() {
        // The fastest on one core, and enough for any cluster.
        1 => Builder::new_current_thread(),
        workers => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    builder.enable_io().enable_time().build().context("threads")
}

/// Everything, ready to run.
struct Parts {
    signals: Signals,
    shutdown: Shutdown,
    reviews: (Server, TcpListener),
    administration: (Server, TcpListener),
    cluster: Option<JoinSet<()>>,
    reloads: Reloads,
    poll_interval: Duration,
}

/// What is read again while the server runs.
struct Reloads {
    configuration: ConfigurationFile,
    certificate: Option<CertificateFiles>,
    clients: Option<ClientFile>,
    namespaces: Option<NamespacesFile>,
    watched: Option<Arc<WatchedNamespaces>>,
    memory: Memory,
    targets: Targets,
}

/// Where it goes.
struct Targets {
    policy: Arc<ArcSwap<Policy>>,
    certificate: Arc<ServedCertificate>,
    acceptor: Arc<Acceptor>,
    metrics: Arc<Metrics>,
    log: Option<LevelHandle>,
}

impl Parts {
    async fn new(
        arguments: &ServeArguments,
        policy: Policy,
        settings: &ServeSettings,
        configuration: ConfigurationFile,
        log: Option<LevelHandle>,
    ) -> anyhow::Result<Self> {
        let by_namespace = if settings.metrics.by_namespace {
            ByNamespace::Counted
        } else {
            ByNamespace::NotCounted
        };
        let profiles = policy.catalogue.profiles().iter().map(|profile| profile.name.as_str());
        let metrics = Arc::new(Metrics::new(by_namespace, profiles));
        let served = ServedCertificate::none();
        let certificate = certificate(arguments, &served, &metrics)?;
        let mut clients = ClientFile::new(&settings.tls);
        let terms = match &mut clients {
            None => Terms::new(settings.tls.minimum_version, served.clone(), None)?,
            Some(file) => file.first(served.clone(), &metrics)?,
        };
        let acceptor = Arc::new(Acceptor::new(terms));
        let mut namespaces = arguments.namespaces_file.as_deref().map(NamespacesFile::new);
        let cluster = if arguments.cluster {
            Some(Cluster::find(arguments, &settings.certificates)?)
        } else {
            None
        };
        let known = match (&cluster, &mut namespaces) {
            (Some(cluster), _) => cluster.namespaces(),
            (None, Some(file)) => file.first()?,
            (None, None) => files::no_namespaces(),
        };
        let policy =
            Arc::new(ArcSwap::from_pointee(for_server(policy, arguments.kubernetes_version)));
        let watched = cluster.as_ref().map(Cluster::watched);
        let trust = cluster.as_ref().and_then(Cluster::trust);
        let fixed_version = arguments.kubernetes_version;
        let cluster = match cluster {
            None => None,
            Some(cluster) => {
                if fixed_version.is_none() {
                    cluster.read_version_once(&policy).await;
                }
                Some(cluster.follow(policy.clone(), fixed_version, served.clone(), metrics.clone()))
            }
        };
        let (signals, shutdown) = Signals::take().context("signals")?;
        let reviews = Server {
            transport: Transport::Tls(acceptor.clone()),
            router: routes::webhook(Webhook {
                policy: policy.clone(),
                namespaces: known,
                metrics: metrics.clone(),
                limits: settings.server.limits,
            }),
            limits: settings.server.limits,
            metrics: Some(metrics.clone()),
        };
        let administration = Server {
            transport: Transport::Plain,
            router: routes::administration(Administration {
                readiness: readiness(&served, &shutdown, watched.clone(), trust),
                metrics: metrics.clone(),
            }),
            limits: Limits { connections: ADMINISTRATION_CONNECTIONS, ..settings.server.limits },
            metrics: None,
        };
        let parts = Self {
            signals,
            shutdown,
            reviews: (reviews, listen(arguments.listen, "--listen").await?),
            administration: (
                administration,
                listen(arguments.admin_listen, "--admin-listen").await?,
            ),
            cluster,
            reloads: Reloads {
                configuration,
                certificate,
                clients,
                namespaces,
                watched,
                memory: Memory::default(),
                targets: Targets { policy, certificate: served, acceptor, metrics, log },
            },
            poll_interval: Duration::from_secs(arguments.poll_interval),
        };
        parts.tell(arguments)?;
        Ok(parts)
    }

    fn tell(&self, arguments: &ServeArguments) -> anyhow::Result<()> {
        let address = self.reviews.1.local_addr()?;
        let administration = self.administration.1.local_addr()?;
        info!(
            %address, %administration, version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        if arguments.tls_cert.is_none() && arguments.authority_secret.is_none() {
            let trust = arguments
                .ca_out
                .as_deref()
                .map_or_else(|| "--insecure".to_owned(), |ca| format!("--cacert {}", ca.display()));
            tell(&format!(
                "The certificate is made in memory, for this machine only. To see what a pod would get:\n  \
                 prestop serve --print-example-review | curl --silent {trust} \
                 --header 'Content-Type: application/json' --data-binary @- https://localhost:{}/mutate",
                address.port()
            ));
        }
        Ok(())
    }

    async fn run(self, settings: &ServeSettings) -> Ending {
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
                info!(seconds = delay.as_secs(), "draining: requests are still taken");
            }
            Phase::Stopping => info!("stopping: requests that have begun are finished"),
        };
        if signals.drain(delay, told).await == Ending::AtOnce {
            warn!("a second signal: ending at once");
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

/// Probes, and a scraper or two.
const ADMINISTRATION_CONNECTIONS: usize = 64;

/// The certificate of files, or one made in memory.
fn certificate(
    arguments: &ServeArguments,
    served: &Arc<ServedCertificate>,
    metrics: &Metrics,
) -> anyhow::Result<Option<CertificateFiles>> {
    if let (Some(chain), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        let mut files = CertificateFiles::new(chain, key);
        files.first(served, metrics, SystemTime::now())?;
        return Ok(Some(files));
    }
    if arguments.authority_secret.is_some() {
        return Ok(None);
    }
    let (authority, leaf) = ephemeral(SystemTime::now())?;
    if let Some(path) = &arguments.ca_out {
        write_whole(path, authority.certificate_pem())
            .with_context(|| format!("--ca-out {}", path.display()))?;
    }
    metrics.certificate_expires(Certificate::Serving, leaf.not_after);
    metrics.certificate_expires(Certificate::ServingAuthority, authority.not_after());
    served.serve(leaf.certified);
    Ok(None)
}

/// Whoever waits for the file never sees half of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    // Nothing in it is secret.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(file.path(), permissions)?;
    file.persist(path)?;
    Ok(())
}

fn readiness(
    served: &Arc<ServedCertificate>,
    shutdown: &Shutdown,
    watched: Option<Arc<WatchedNamespaces>>,
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
        let otherwise = "the webhook configuration does not hold our authority";
        readiness = readiness.with("trust", otherwise, move || trust.is_trusted());
    }
    match watched {
        None => readiness,
        Some(watched) => readiness.telling(
            "namespaces",
            "not read yet; the configured defaults hold",
            move || watched.is_synced(),
        ),
    }
}

/// The rules of a file, as they hold where the API server itself selects the namespaces.
fn for_server(policy: Policy, kubernetes_version: Option<KubernetesVersion>) -> Policy {
    Policy { kubernetes_version, namespaces: NamespaceRule::NotDisabled, ..policy }
}

impl Reloads {
    /// Looks at every file once, and after the memory.
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
        self.memory.look();
    }
}
