//! Groups of metrics. Each group registers its metrics where it creates them, in the order of the
//! output: a new metric is a field and its line in `new`.

use std::sync::atomic::AtomicU64;

use prestop_core::admission::Operation;
use prestop_core::audit::Rule;
use prestop_core::engine::reason::{ContainerReason, ProblemCode, SkipReason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::namespaces::Namespaces;
use super::profiles::Injected;
use super::series::{Fixed, Labels};
use super::{Answered, ByNamespace, REFUSED_STATUSES, answers, status_label};
use crate::cluster::certificates::rotation::Change;
use crate::webhook::events::{ConnectionEnd, HandshakeError, Reload, ReloadResult};

/// Upper bounds of the buckets, in seconds. The API server's own histogram begins at 5 ms.
const BUCKETS: [f64; 12] =
    [50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 500e-3, 2.5];

/// Reviews and their decisions.
#[derive(Debug)]
pub(super) struct ReviewMetrics {
    pub(super) requests: Fixed<(Operation, Answered), 2>,
    pub(super) duration: Histogram,
    pub(super) in_flight: Gauge,
    pub(super) injected: Injected,
    pub(super) skipped_pods: Fixed<SkipReason, 1>,
    pub(super) skipped_containers: Fixed<ContainerReason, 1>,
    pub(super) problems: Fixed<ProblemCode, 1>,
    pub(super) namespaces: Option<Namespaces>,
}

/// Warnings shown when workloads are applied.
#[derive(Debug)]
pub(super) struct WarningMetrics {
    pub(super) reviews: Fixed<&'static str, 1>,
    pub(super) warnings: Fixed<Rule, 1>,
}

/// Requests without a decision.
#[derive(Debug)]
pub(super) struct FaultMetrics {
    pub(super) shed: Counter,
    pub(super) panics: Counter,
    pub(super) selfcheck_failures: Counter,
    pub(super) refused: Fixed<u16, 1>,
}

#[derive(Debug)]
pub(super) struct ConnectionMetrics {
    pub(super) open: Gauge,
    pub(super) closed: Fixed<ConnectionEnd, 1>,
    pub(super) not_accepted: Counter,
    pub(super) handshake_errors: Fixed<HandshakeError, 1>,
}

/// Certificates, reloads and watches.
#[derive(Debug)]
pub(super) struct FileMetrics {
    pub(super) certificate_expiry: Family<Labels<1>, Gauge>,
    pub(super) reloads: Fixed<(Reload, ReloadResult), 2>,
    pub(super) last_reload_successful: Family<Labels<1>, Gauge>,
    pub(super) namespaces_failing_since: Gauge,
    pub(super) fronts_failing_since: Gauge,
}

/// The CA that replicas share.
#[derive(Debug)]
pub(super) struct AuthorityMetrics {
    pub(super) generation: Gauge,
    pub(super) changes: Fixed<Change, 1>,
    pub(super) failures: Counter,
    pub(super) problem: Family<Labels<1>, Gauge>,
    pub(super) clock_difference: Gauge<f64, AtomicU64>,
}

#[derive(Debug)]
pub(super) struct LogMetrics {
    pub(super) dropped: Counter,
    pub(super) failed: Counter,
}

/// Registers metrics, and returns them for counting.
struct Registered<'a>(&'a mut Registry);

impl ReviewMetrics {
    pub(super) fn new<'a>(
        registry: &mut Registry,
        by_namespace: ByNamespace,
        profiles: impl Iterator<Item = &'a str>,
    ) -> Self {
        let requests = Fixed::new(answers(), |(operation, answered)| {
            [("operation", operation.name()), ("result", answered.name())]
        });
        let skipped_pods = Fixed::new(SkipReason::ALL, |reason| [("reason", reason.code())]);
        let skipped_containers =
            Fixed::new(ContainerReason::ALL, |reason| [("reason", reason.code())]);
        let problems = Fixed::new(ProblemCode::ALL, |code| [("code", code.code())]);
        let mut registered = Registered(registry);
        Self {
            requests: registered.metric(
                "admission_requests",
                "Admission reviews answered, by operation and result",
                requests,
            ),
            duration: registered.metric(
                "admission_duration_seconds",
                "Time from the head of a request to its answer",
                Histogram::new(BUCKETS),
            ),
            in_flight: registered.at_zero("admission_in_flight", "Requests in flight"),
            injected: registered.metric(
                "injected_containers",
                "Containers that got a hook, by form and profile",
                Injected::new(profiles),
            ),
            skipped_pods: registered.metric(
                "skipped_pods",
                "Pods skipped, by reason",
                skipped_pods,
            ),
            skipped_containers: registered.metric(
                "skipped_containers",
                "Containers skipped, by reason",
                skipped_containers,
            ),
            problems: registered.metric(
                "problems",
                "Problems reported to authors, by code",
                problems,
            ),
            namespaces: (by_namespace == ByNamespace::Counted).then(|| {
                registered.at_zero(
                    "namespace_decisions",
                    "Decisions on pods that are created, by namespace",
                )
            }),
        }
    }
}

impl WarningMetrics {
    /// Results of a workload's review.
    pub(super) const WARNED: &str = "warned";
    pub(super) const QUIET: &str = "quiet";

    pub(super) fn new(registry: &mut Registry) -> Self {
        let reviews = Fixed::new([Self::WARNED, Self::QUIET], |result| [("result", result)]);
        let rules = Rule::ALL.iter().copied().filter(|rule| rule.warns_at_apply());
        let warnings = Fixed::new(rules, |rule| [("rule", rule.text().id)]);
        let mut registered = Registered(registry);
        Self {
            reviews: registered.metric(
                "workload_reviews",
                "Workloads reviewed at apply, by whether there were warnings",
                reviews,
            ),
            warnings: registered.metric(
                "warnings",
                "Findings in workloads at apply, by rule",
                warnings,
            ),
        }
    }
}

impl FaultMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let statuses = REFUSED_STATUSES.map(|(status, _)| status);
        let refused = Fixed::new(statuses, |status| [("status", status_label(status).1)]);
        let mut registered = Registered(registry);
        Self {
            shed: registered
                .at_zero("shed", "Pods admitted without evaluation, for lack of time or memory"),
            panics: registered.at_zero("panics", "Panics while answering a review"),
            selfcheck_failures: registered
                .at_zero("selfcheck_failures", "Patches withheld because they failed their check"),
            refused: registered.metric(
                "refused_requests",
                "Requests that are not admission reviews, by HTTP status",
                refused,
            ),
        }
    }
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let closed = Fixed::new(ConnectionEnd::ALL, |end| [("reason", end.name())]);
        let errors = Fixed::new(HandshakeError::ALL, |why| [("reason", why.name())]);
        let mut registered = Registered(registry);
        Self {
            open: registered.at_zero("connections", "Open connections to the TLS port"),
            closed: registered.metric(
                "connections_closed",
                "Connections to the TLS port that ended, by reason",
                closed,
            ),
            not_accepted: registered.at_zero(
                "connections_not_accepted",
                "Connections to the TLS port that could not be accepted, for lack of file descriptors",
            ),
            handshake_errors: registered.metric(
                "tls_handshake_errors",
                "TLS handshakes that failed, by reason",
                errors,
            ),
        }
    }
}

impl FileMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let all = Reload::ALL.into_iter();
        let all = all.flat_map(|what| ReloadResult::ALL.map(|result| (what, result)));
        let reloads =
            Fixed::new(all, |(what, result)| [("what", what.name()), ("result", result.name())]);
        // The server starts only with files that can be used.
        let last_reload_successful = Family::<Labels<1>, Gauge>::default();
        for what in Reload::ALL {
            last_reload_successful.get_or_create(&[("what", what.name())]).set(1);
        }
        let mut registered = Registered(registry);
        Self {
            certificate_expiry: registered.at_zero(
                "certificate_expiry_timestamp_seconds",
                "Expiry of a certificate, in seconds since 1970",
            ),
            reloads: registered.metric(
                "reloads",
                "File reloads, by content and result",
                reloads,
            ),
            last_reload_successful: registered.metric(
                "last_reload_successful",
                "Whether the current content of a file is in use: 1, or 0 if the last valid version is",
                last_reload_successful,
            ),
            namespaces_failing_since: registered.at_zero(
                "namespaces_failing_since_timestamp_seconds",
                "Time since which namespaces can't be watched, in seconds since 1970; 0 if they can",
            ),
            fronts_failing_since: registered.at_zero(
                "fronts_failing_since_timestamp_seconds",
                "Time since which a kind of front can't be watched, in seconds since 1970; 0 if all can",
            ),
        }
    }
}

impl AuthorityMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let changes = Fixed::new(Change::ALL, |change| [("change", change.name())]);
        let mut registered = Registered(registry);
        Self {
            generation: registered.at_zero(
                "authority_generation",
                "Changes of the CA bundle that API servers trust, for self-managed certificates",
            ),
            changes: registered.metric(
                "authority_changes",
                "Changes of the shared CA by this replica, by change",
                changes,
            ),
            failures: registered.at_zero(
                "authority_failures",
                "Failed polls of the shared CA; the current certificate stays in use",
            ),
            problem: registered.at_zero(
                "authority_problem",
                "Whether a problem keeps this replica from managing the shared CA: 1 or 0",
            ),
            clock_difference: registered.at_zero(
                "clock_difference_seconds",
                "Minimum by which the clock of this replica is ahead of the API server's, in seconds",
            ),
        }
    }
}

impl LogMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut registered = Registered(registry);
        Self {
            dropped: registered.at_zero(
                "log_lines_dropped",
                "Log lines dropped because the log was not read in time",
            ),
            failed: registered.at_zero(
                "log_lines_failed",
                "Log lines that could not be written, for example to a full disk",
            ),
        }
    }
}

impl Registered<'_> {
    /// Registers a metric at zero.
    fn at_zero<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.metric(name, help, M::default())
    }

    fn metric<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}
