//! Counters for Prometheus. Every series that can be known beforehand is there from the start, so
//! that a rate is never missing its first step. No label comes from a user's text but the
//! namespace's name, and that one is bounded and can be switched off.
//!
//! `docs/metrics.md` is the reference; a test keeps it equal to this module.

mod format;
mod namespaces;
mod profiles;
mod series;

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prestop_core::admission::{Event, Operation, Unchanged, Verdict};
use prestop_core::engine::reason::{ContainerReason, ProblemCode, SkipReason};
use prestop_core::engine::{Decision, Outcome};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::namespaces::Namespaces;
use self::profiles::Injected;
use self::series::{Fixed, Labels};
use crate::cluster::certificates::rotation::Change;
use crate::cluster::certificates::store::Problem;
use crate::webhook::events::{Certificate, ConnectionEnd, HandshakeError, Reload, ReloadResult};

pub use self::format::Format;

/// In seconds. The API server's own histogram begins at 5 ms.
const BUCKETS: [f64; 12] =
    [50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 500e-3, 2.5];

/// What has no series of its own.
const OTHER: &str = "other";

/// Statuses of answers to what is no review, and their labels.
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

/// Whether decisions are also counted for each namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByNamespace {
    /// They are.
    Counted,
    /// They are not.
    NotCounted,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Fixed<(Operation, Answered), 2>,
    duration: Histogram,
    in_flight: Gauge,
    injected: Injected,
    skipped_pods: Fixed<SkipReason, 1>,
    skipped_containers: Fixed<ContainerReason, 1>,
    problems: Fixed<ProblemCode, 1>,
    namespaces: Option<Namespaces>,
    shed: Counter,
    panics: Counter,
    selfcheck_failures: Counter,
    refused: Fixed<u16, 1>,
    connections: Gauge,
    connections_closed: Fixed<ConnectionEnd, 1>,
    connections_not_accepted: Counter,
    handshake_errors: Fixed<HandshakeError, 1>,
    certificate_expiry: Family<Labels<1>, Gauge>,
    reloads: Fixed<(Reload, ReloadResult), 2>,
    last_reload_successful: Family<Labels<1>, Gauge>,
    namespaces_failing_since: Gauge,
    authority_generation: Gauge,
    authority_changes: Fixed<Change, 1>,
    authority_failures: Counter,
    authority_problem: Family<Labels<1>, Gauge>,
    clock_difference: Gauge<f64, AtomicU64>,
    log_lines_dropped: Counter,
    log_lines_failed: Counter,
}

/// A request is being answered; until this is dropped.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Gauge);

/// What became of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Injected,
    Skipped,
    SelfCheckFailed,
    Unchanged(Unchanged),
}

impl Metrics {
    /// All at zero. `profiles` are the names of profiles that are counted by name.
    pub fn new<'a>(by_namespace: ByNamespace, profiles: impl Iterator<Item = &'a str>) -> Self {
        let statuses = REFUSED_STATUSES.map(|(status, _)| status);
        let mut metrics = Self {
            requests: Fixed::new(answers(), |(operation, answered)| {
                [("operation", operation.name()), ("result", answered.name())]
            }),
            duration: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            injected: Injected::new(profiles),
            skipped_pods: Fixed::new(SkipReason::ALL, |reason| [("reason", reason.code())]),
            skipped_containers: Fixed::new(ContainerReason::ALL, |reason| {
                [("reason", reason.code())]
            }),
            problems: Fixed::new(ProblemCode::ALL, |code| [("code", code.code())]),
            namespaces: (by_namespace == ByNamespace::Counted).then(Namespaces::default),
            shed: Counter::default(),
            panics: Counter::default(),
            selfcheck_failures: Counter::default(),
            refused: Fixed::new(statuses, |status| [("status", status_label(status).1)]),
            connections: Gauge::default(),
            connections_closed: Fixed::new(ConnectionEnd::ALL, |end| [("reason", end.name())]),
            connections_not_accepted: Counter::default(),
            handshake_errors: Fixed::new(HandshakeError::ALL, |why| [("reason", why.name())]),
            certificate_expiry: Family::default(),
            reloads: Fixed::new(
                Reload::ALL
                    .into_iter()
                    .flat_map(|what| ReloadResult::ALL.map(|result| (what, result))),
                |(what, result)| [("what", what.name()), ("result", result.name())],
            ),
            last_reload_successful: Family::default(),
            namespaces_failing_since: Gauge::default(),
            authority_generation: Gauge::default(),
            authority_changes: Fixed::new(Change::ALL, |change| [("change", change.name())]),
            authority_failures: Counter::default(),
            authority_problem: Family::default(),
            clock_difference: Gauge::default(),
            log_lines_dropped: Counter::default(),
            log_lines_failed: Counter::default(),
            registry: Registry::default(),
        };
        // The server starts only with files that can be used.
        for what in Reload::ALL {
            metrics.last_reload_successful.get_or_create(&[("what", what.name())]).set(1);
        }
        metrics.authority_problem(None);
        let mut registry = Registry::with_prefix("prestop");
        metrics.register(&mut registry);
        metrics.registry = registry;
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "admission_requests",
            "Reviews answered, by operation and result",
            self.requests.clone(),
        );
        registry.register(
            "admission_duration_seconds",
            "From the head of a request to its answer",
            self.duration.clone(),
        );
        registry.register("admission_in_flight", "Requests being answered", self.in_flight.clone());
        registry.register(
            "injected_containers",
            "Containers that got a hook, by its form and profile",
            self.injected.clone(),
        );
        registry.register(
            "skipped_pods",
            "Pods left as they are, by reason",
            self.skipped_pods.clone(),
        );
        registry.register(
            "skipped_containers",
            "Containers left as they are, by reason",
            self.skipped_containers.clone(),
        );
        registry.register("problems", "Problems told to authors, by code", self.problems.clone());
        if let Some(namespaces) = &self.namespaces {
            registry.register(
                "namespace_decisions",
                "Decisions on pods that are created, by namespace",
                namespaces.clone(),
            );
        }
        registry.register(
            "shed",
            "Pods let through without being looked at, for want of time or memory",
            self.shed.clone(),
        );
        registry.register("panics", "Panics while a review was answered", self.panics.clone());
        registry.register(
            "selfcheck_failures",
            "Patches held back because they did not fit their pod",
            self.selfcheck_failures.clone(),
        );
        registry.register(
            "refused_requests",
            "Requests that are no reviews, by HTTP status",
            self.refused.clone(),
        );
        registry.register(
            "connections",
            "Open connections to the TLS port",
            self.connections.clone(),
        );
        registry.register(
            "connections_closed",
            "Connections to the TLS port that ended, by reason",
            self.connections_closed.clone(),
        );
        registry.register(
            "connections_not_accepted",
            "Connections to the TLS port that could not be accepted, for want of file descriptors",
            self.connections_not_accepted.clone(),
        );
        registry.register(
            "tls_handshake_errors",
            "TLS handshakes that failed, by reason",
            self.handshake_errors.clone(),
        );
        self.register_what_changes(registry);
        let build: Family<Labels<1>, Gauge> = Family::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "The version of this program; always 1", build);
    }

    /// Certificates, files, namespaces: what changes while the server runs.
    fn register_what_changes(&self, registry: &mut Registry) {
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When a certificate ends, in seconds since 1970",
            self.certificate_expiry.clone(),
        );
        registry.register(
            "reloads",
            "Files read anew, by what they hold and result",
            self.reloads.clone(),
        );
        registry.register(
            "last_reload_successful",
            "Whether what a file holds now is in use: 1, or 0 where the last good one still holds",
            self.last_reload_successful.clone(),
        );
        registry.register(
            "namespaces_failing_since_timestamp_seconds",
            "Since when namespaces can't be watched, in seconds since 1970; 0 where they can",
            self.namespaces_failing_since.clone(),
        );
        registry.register(
            "authority_generation",
            "How often what API servers are to trust has changed, of self-managed certificates",
            self.authority_generation.clone(),
        );
        registry.register(
            "authority_changes",
            "Changes of the shared authority that this replica made, by change",
            self.authority_changes.clone(),
        );
        registry.register(
            "authority_failures",
            "Looks at the shared authority that failed; what was served stays",
            self.authority_failures.clone(),
        );
        registry.register(
            "authority_problem",
            "Whether something keeps this replica from looking after the shared authority: 1 or 0",
            self.authority_problem.clone(),
        );
        registry.register(
            "clock_difference_seconds",
            "How far this replica's clock is ahead of the API server's, at the least",
            self.clock_difference.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Log lines that found no room, because nobody read the log",
            self.log_lines_dropped.clone(),
        );
        registry.register(
            "log_lines_failed",
            "Log lines that could not be written, as to a full disk",
            self.log_lines_failed.clone(),
        );
    }

    /// A review was answered. Its namespace is empty where there is none of that name.
    pub fn answered(&self, event: &Event<'_>, duration: Duration) {
        let answered = match event.verdict {
            Verdict::Decided(decision) => {
                self.decided(event, decision);
                if decision.is_injected() { Answered::Injected } else { Answered::Skipped }
            }
            Verdict::SelfCheckFailed(_) => {
                self.selfcheck_failures.inc();
                Answered::SelfCheckFailed
            }
        };
        self.requests.count((event.operation, answered));
        self.duration.observe(duration.as_secs_f64());
    }

    fn decided(&self, event: &Event<'_>, decision: &Decision<'_>) {
        let is_pod = match decision.outcome {
            Outcome::Injected(_) => true,
            Outcome::Skipped(reason) => {
                self.skipped_pods.count(reason);
                reason != SkipReason::NotAPodCreation
            }
        };
        for container in &decision.containers {
            if let Some(injected) = container.injected() {
                self.injected.count(injected.hook.form(), injected.profile);
            } else if let Some(reason) = container.reason() {
                self.skipped_containers.count(reason);
            }
        }
        for problem in &decision.problems {
            self.problems.count(problem.code);
        }
        if let Some(namespaces) = self.namespaces.as_ref().filter(|_| is_pod) {
            namespaces.count(event.namespace, decision.is_injected());
        }
    }

    /// A pod was let through without being looked at.
    pub fn unchanged(&self, why: Unchanged, duration: Duration) {
        match why {
            Unchanged::Overloaded | Unchanged::Deadline => self.shed.inc(),
            Unchanged::Panic => self.panics.inc(),
        };
        self.requests.count((Operation::Unknown, Answered::Unchanged(why)));
        self.duration.observe(duration.as_secs_f64());
    }

    /// A request was no review.
    pub fn refused(&self, status: u16) {
        self.refused.count(status_label(status).0);
    }

    /// A request begins. It ends when the result is dropped, also where the client went away and
    /// nobody waits for an answer.
    #[must_use]
    pub fn request_begins(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// A connection begins.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A connection ends.
    pub fn connection_closed(&self, why: ConnectionEnd) {
        self.connections.dec();
        self.connections_closed.count(why);
    }

    /// A connection could not be accepted.
    pub fn connection_not_accepted(&self) {
        self.connections_not_accepted.inc();
    }

    /// A handshake failed.
    pub fn handshake_failed(&self, why: HandshakeError) {
        self.handshake_errors.count(why);
    }

    /// A certificate is in use from now on.
    pub fn certificate_expires(&self, which: Certificate, at: SystemTime) {
        self.certificate_expiry.get_or_create(&[("certificate", which.name())]).set(seconds(at));
    }

    /// A file changed and was read.
    pub fn reloaded(&self, what: Reload, result: ReloadResult) {
        self.reloads.count((what, result));
        let is_in_use = i64::from(result == ReloadResult::Changed);
        self.last_reload_successful.get_or_create(&[("what", what.name())]).set(is_in_use);
    }

    /// Since when namespaces can't be watched; `None`: they can, or nobody wants to.
    pub fn namespaces_failing_since(&self, since: Option<SystemTime>) {
        self.namespaces_failing_since.set(since.map_or(0, seconds));
    }

    /// The shared authority was looked at.
    pub fn authority(&self, generation: u64, change: Option<Change>) {
        self.authority_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        if let Some(change) = change {
            self.authority_changes.count(change);
        }
    }

    /// The shared authority could not be looked at.
    pub fn authority_failed(&self) {
        self.authority_failures.inc();
    }

    /// What keeps this replica from looking after the shared authority now.
    pub fn authority_problem(&self, problem: Option<Problem>) {
        for known in Problem::ALL {
            let is_so = i64::from(problem == Some(known));
            self.authority_problem.get_or_create(&[("problem", known.name())]).set(is_so);
        }
    }

    /// How far this replica's clock is ahead of the API server's.
    pub fn clock_difference(&self, milliseconds: i64) {
        // Exact for 285,000 years.
        #[allow(clippy::cast_precision_loss)]
        self.clock_difference.set(milliseconds as f64 / 1000.0);
    }

    /// Log lines found no room.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.log_lines_dropped.inc_by(lines);
    }

    /// Log lines could not be written.
    pub fn log_lines_failed(&self, lines: u64) {
        self.log_lines_failed.inc_by(lines);
    }

    /// Everything, as text.
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

/// Every pair that there can be: nobody knows the operation of a review that was not read.
fn answers() -> impl Iterator<Item = (Operation, Answered)> {
    let read = [Answered::Injected, Answered::Skipped, Answered::SelfCheckFailed];
    let unread = Unchanged::ALL.map(|why| (Operation::Unknown, Answered::Unchanged(why)));
    Operation::ALL
        .into_iter()
        .flat_map(move |operation| read.map(|answered| (operation, answered)))
        .chain(unread)
}

/// The key and the label of a status.
fn status_label(status: u16) -> (u16, &'static str) {
    REFUSED_STATUSES.into_iter().find(|(known, _)| *known == status).unwrap_or((0, OTHER))
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}
