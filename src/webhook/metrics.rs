//! Metrics for Prometheus. Every series that can be known in advance exists from the start, so that
//! a rate does not miss its first increment. The only label from a user's text is the name of the
//! namespace, which is bounded and can be switched off.
//!
//! `docs/metrics.md` is the reference; a test keeps it equal to this module.

mod format;
mod groups;
mod namespaces;
#[cfg(target_os = "linux")]
mod process;
mod profiles;
mod series;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prestop_core::admission::{Event, Operation, Unchanged, Verdict, Warned};
use prestop_core::engine::reason::SkipReason;
use prestop_core::engine::{Decision, Outcome};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::groups::{
    AuthorityMetrics, ConnectionMetrics, FaultMetrics, FileMetrics, LogMetrics, ReviewMetrics,
    WarningMetrics,
};
use self::series::Labels;
use crate::cluster::certificates::rotation::Change;
use crate::cluster::certificates::store::Problem;
use crate::version::Version;
use crate::webhook::events::{Certificate, ConnectionEnd, HandshakeError, Reload, ReloadResult};

pub use self::format::Format;

/// Label value for everything without its own series.
const OTHER: &str = "other";

/// HTTP statuses of refused requests, with their labels; 0: any other status.
const REFUSED_STATUSES: [(u16, &str); 9] = [
    (400, "400"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (413, "413"),
    (415, "415"),
    (500, "500"),
    (503, "503"),
    (0, OTHER),
];

/// Whether to count decisions for each namespace as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByNamespace {
    /// Decisions are counted by namespace.
    Counted,
    /// Decisions are not counted by namespace.
    NotCounted,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: ReviewMetrics,
    warnings: WarningMetrics,
    faults: FaultMetrics,
    connections: ConnectionMetrics,
    files: FileMetrics,
    authority: AuthorityMetrics,
    log_lines: LogMetrics,
}

/// A request in flight, until this is dropped.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Gauge);

/// Result of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Injected,
    Skipped,
    SelfCheckFailed,
    Unchanged(Unchanged),
}

impl Metrics {
    /// Creates all metrics at zero. `profiles`: the profiles that are counted by name.
    pub fn new<'a>(by_namespace: ByNamespace, profiles: impl Iterator<Item = &'a str>) -> Self {
        let mut registry = Registry::default();
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(process::ThisProcess));
        let own = registry.sub_registry_with_prefix("prestop");
        let metrics = Self {
            reviews: ReviewMetrics::new(own, by_namespace, profiles),
            warnings: WarningMetrics::new(own),
            faults: FaultMetrics::new(own),
            connections: ConnectionMetrics::new(own),
            files: FileMetrics::new(own),
            authority: AuthorityMetrics::new(own),
            log_lines: LogMetrics::new(own),
            registry: Registry::default(),
        };
        let build = Family::<Labels<3>, Gauge>::default();
        let Version { version, revision, date } = Version::this();
        let known = |text: &'static Option<String>| text.as_deref().unwrap_or_default();
        let labels =
            [("version", version.as_str()), ("revision", known(revision)), ("date", known(date))];
        build.get_or_create(&labels).set(1);
        own.register("build_info", "The version of this program; always 1", build);
        metrics.authority_problem(None);
        Self { registry, ..metrics }
    }

    /// Counts an answered review. Its namespace is empty if there is none of that name.
    pub fn answered(&self, event: &Event<'_>, duration: Duration) {
        let answered = match event.verdict {
            Verdict::Decided(decision) => {
                self.decided(event, decision);
                if decision.is_injected() { Answered::Injected } else { Answered::Skipped }
            }
            Verdict::SelfCheckFailed(_) => {
                self.faults.selfcheck_failures.inc();
                Answered::SelfCheckFailed
            }
        };
        self.reviews.requests.count((event.operation, answered));
        self.reviews.duration.observe(duration.as_secs_f64());
    }

    fn decided(&self, event: &Event<'_>, decision: &Decision<'_>) {
        let is_pod = match decision.outcome {
            Outcome::Injected(_) => true,
            Outcome::Skipped(reason) => {
                self.reviews.skipped_pods.count(reason);
                reason != SkipReason::NotAPodCreation
            }
        };
        for container in &decision.containers {
            if let Some(injected) = container.injected() {
                self.reviews.injected.count(injected.hook.form(), injected.profile);
            } else if let Some(reason) = container.reason() {
                self.reviews.skipped_containers.count(reason);
            }
        }
        for problem in &decision.problems {
            self.reviews.problems.count(problem.code);
        }
        if let Some(namespaces) = self.reviews.namespaces.as_ref().filter(|_| is_pod) {
            namespaces.count(event.namespace, decision.is_injected());
        }
    }

    /// Counts the review of a workload.
    pub fn warned(&self, warned: &Warned<'_>) {
        let is_quiet = warned.rules.is_empty();
        let result = if is_quiet { WarningMetrics::QUIET } else { WarningMetrics::WARNED };
        self.warnings.reviews.count(result);
        for rule in warned.rules {
            self.warnings.warnings.count(*rule);
        }
    }

    /// Counts a pod that was admitted without evaluation.
    pub fn unchanged(&self, why: Unchanged, duration: Duration) {
        match why {
            Unchanged::Overloaded | Unchanged::Deadline => self.faults.shed.inc(),
            Unchanged::Panic => self.faults.panics.inc(),
        };
        self.reviews.requests.count((Operation::Unknown, Answered::Unchanged(why)));
        self.reviews.duration.observe(duration.as_secs_f64());
    }

    /// Counts a request that was refused with this status.
    pub fn refused(&self, status: u16) {
        self.faults.refused.count(status_label(status).0);
    }

    /// Counts a request in flight until the result is dropped, even if the client has disconnected.
    #[must_use]
    pub fn request_begins(&self) -> InFlight<'_> {
        self.reviews.in_flight.inc();
        InFlight(&self.reviews.in_flight)
    }

    /// Counts a new connection.
    pub fn connection_opened(&self) {
        self.connections.open.inc();
    }

    /// Counts the end of a connection.
    pub fn connection_closed(&self, why: ConnectionEnd) {
        self.connections.open.dec();
        self.connections.closed.count(why);
    }

    /// Counts a connection that could not be accepted.
    pub fn connection_not_accepted(&self) {
        self.connections.not_accepted.inc();
    }

    /// Counts a failed handshake.
    pub fn handshake_failed(&self, why: HandshakeError) {
        self.connections.handshake_errors.count(why);
    }

    /// Records the expiry of a certificate that is now in use.
    pub fn certificate_expires(&self, which: Certificate, at: SystemTime) {
        self.files
            .certificate_expiry
            .get_or_create(&[("certificate", which.name())])
            .set(seconds(at));
    }

    /// Counts the reload of a changed file.
    pub fn reloaded(&self, what: Reload, result: ReloadResult) {
        self.files.reloads.count((what, result));
        let is_in_use = i64::from(result == ReloadResult::Changed);
        self.files.last_reload_successful.get_or_create(&[("what", what.name())]).set(is_in_use);
    }

    /// Sets the time since which a kind of front can't be watched; `None` if all can, or none is to
    /// be watched.
    pub fn fronts_failing_since(&self, since: Option<SystemTime>) {
        self.files.fronts_failing_since.set(since.map_or(0, seconds));
    }

    /// Sets the time since which namespaces can't be watched; `None` if they can, or are not to be
    /// watched.
    pub fn namespaces_failing_since(&self, since: Option<SystemTime>) {
        self.files.namespaces_failing_since.set(since.map_or(0, seconds));
    }

    /// Records a successful poll of the shared CA.
    pub fn authority(&self, generation: u64, change: Option<Change>) {
        self.authority.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        if let Some(change) = change {
            self.authority.changes.count(change);
        }
    }

    /// Counts a failed poll of the shared CA.
    pub fn authority_failed(&self) {
        self.authority.failures.inc();
    }

    /// Sets the problem that currently keeps this replica from managing the shared CA.
    pub fn authority_problem(&self, problem: Option<Problem>) {
        for known in Problem::ALL {
            let is_so = i64::from(problem == Some(known));
            self.authority.problem.get_or_create(&[("problem", known.name())]).set(is_so);
        }
    }

    /// Sets how far this replica's clock is ahead of the API server's.
    pub fn clock_difference(&self, milliseconds: i64) {
        // Exact for 285,000 years.
        #[allow(clippy::cast_precision_loss)]
        self.authority.clock_difference.set(milliseconds as f64 / 1000.0);
    }

    /// Counts log lines that were dropped for lack of room.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.log_lines.dropped.inc_by(lines);
    }

    /// Counts log lines that could not be written.
    pub fn log_lines_failed(&self, lines: u64) {
        self.log_lines.failed.inc_by(lines);
    }

    /// Returns all metrics as text.
    #[must_use]
    pub fn encode(&self, format: Format) -> String {
        format.encode(&self.registry)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Answered {
    const fn name(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Skipped => "skipped",
            Self::SelfCheckFailed => "selfcheck_failed",
            Self::Unchanged(why) => why.code(),
        }
    }
}

/// Returns all possible pairs: the operation of a review that was not read is unknown.
fn answers() -> impl Iterator<Item = (Operation, Answered)> {
    let read = [Answered::Injected, Answered::Skipped, Answered::SelfCheckFailed];
    let unread = Unchanged::ALL.map(|why| (Operation::Unknown, Answered::Unchanged(why)));
    Operation::ALL
        .into_iter()
        .flat_map(move |operation| read.map(|answered| (operation, answered)))
        .chain(unread)
}

/// Returns the key and the label of a status.
fn status_label(status: u16) -> (u16, &'static str) {
    REFUSED_STATUSES.into_iter().find(|(known, _)| *known == status).unwrap_or((0, OTHER))
}

/// Returns the seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}
