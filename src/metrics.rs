//! Counters for Prometheus. Every series that can be known beforehand is there from the start, so
//! that a rate is never missing its first step. No label comes from a user's text but the
//! namespace's name, and that one is bounded and can be switched off.
//!
//! `docs/metrics.md` is the reference; a test keeps it equal to this module.

mod format;
mod labels;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::admission::{Event, Operation, Unchanged, Verdict};
use crate::engine::reason::{ContainerReason, ProblemCode, SkipReason};
use crate::engine::{Decision, Outcome};

pub use self::format::Format;
pub use self::labels::{Certificate, ConnectionEnd, HandshakeError, Reload, ReloadResult};

/// In seconds. The API server's own histogram begins at 5 ms.
const BUCKETS: [f64; 12] =
    [50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 500e-3, 2.5];

/// Namespaces that are counted by name; further ones are `other`.
const MOST_NAMESPACES: usize = 1000;
const OTHER: &str = "other";
const NO_PROFILE: &str = "none";
const HOOK_FORMS: [&str; 3] = ["sleep", "exec-sleep", "quit"];
const REFUSED_STATUSES: [u16; 8] = [400, 404, 405, 408, 413, 415, 500, 503];

type Counters<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

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
    requests: Counters<2>,
    duration: Histogram,
    in_flight: Gauge,
    injected: Family<[(&'static str, String); 2], Counter>,
    profiles: Vec<String>,
    skipped_pods: Counters<1>,
    skipped_containers: Counters<1>,
    problems: Counters<1>,
    namespaces: Option<Namespaces>,
    shed: Counter,
    panics: Counter,
    selfcheck_failures: Counter,
    refused: Family<[(&'static str, u16); 1], Counter>,
    connections: Gauge,
    connections_closed: Counters<1>,
    handshake_errors: Counters<1>,
    certificate_expiry: Family<[(&'static str, &'static str); 1], Gauge>,
    reloads: Counters<2>,
}

/// Decisions by namespace.
#[derive(Debug)]
struct Namespaces {
    /// The series of each name: injected, skipped.
    known: Mutex<HashMap<String, [Counter; 2]>>,
    family: Family<[(&'static str, String); 2], Counter>,
}

impl Metrics {
    /// All at zero. `profiles` are the names of profiles that are counted by name.
    pub fn new<'a>(by_namespace: ByNamespace, profiles: impl Iterator<Item = &'a str>) -> Self {
        let mut registry = Registry::with_prefix("prestop");
        let mut metrics = Self {
            requests: Family::default(),
            duration: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            injected: Family::default(),
            profiles: profiles.map(str::to_owned).collect(),
            skipped_pods: Family::default(),
            skipped_containers: Family::default(),
            problems: Family::default(),
            namespaces: (by_namespace == ByNamespace::Counted).then(Namespaces::new),
            shed: Counter::default(),
            panics: Counter::default(),
            selfcheck_failures: Counter::default(),
            refused: Family::default(),
            connections: Gauge::default(),
            connections_closed: Family::default(),
            handshake_errors: Family::default(),
            certificate_expiry: Family::default(),
            reloads: Family::default(),
            registry: Registry::default(),
        };
        metrics.create_series();
        metrics.register(&mut registry);
        metrics.registry = registry;
        metrics
    }

    /// Every series whose labels are known beforehand.
    fn create_series(&self) {
        for operation in Operation::ALL {
            for result in ["injected", "skipped", "selfcheck_failed"] {
                touch(&self.requests, &request(operation.name(), result));
            }
        }
        for why in Unchanged::ALL {
            touch(&self.requests, &request("unknown", why.code()));
        }
        for form in HOOK_FORMS {
            touch(&self.injected, &[("form", form.to_owned()), ("profile", NO_PROFILE.to_owned())]);
        }
        for reason in SkipReason::ALL {
            touch(&self.skipped_pods, &[("reason", reason.code())]);
        }
        for reason in ContainerReason::ALL {
            touch(&self.skipped_containers, &[("reason", reason.code())]);
        }
        for code in ProblemCode::ALL {
            touch(&self.problems, &[("code", code.code())]);
        }
        for status in REFUSED_STATUSES {
            touch(&self.refused, &[("status", status)]);
        }
        for end in ConnectionEnd::ALL {
            touch(&self.connections_closed, &[("reason", end.name())]);
        }
        for why in HandshakeError::ALL {
            touch(&self.handshake_errors, &[("reason", why.name())]);
        }
        for what in Reload::ALL {
            for result in ReloadResult::ALL {
                touch(&self.reloads, &[("what", what.name()), ("result", result.name())]);
            }
        }
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
                namespaces.family.clone(),
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
            "tls_handshake_errors",
            "TLS handshakes that failed, by reason",
            self.handshake_errors.clone(),
        );
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
        let build: Family<[(&'static str, &'static str); 1], Gauge> = Family::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "The version of this program; always 1", build);
    }

    /// A review was answered.
    pub fn answered(&self, event: &Event<'_>, duration: Duration) {
        let result = match event.verdict {
            Verdict::Decided(decision) => {
                self.decided(event, decision);
                if decision.is_injected() { "injected" } else { "skipped" }
            }
            Verdict::SelfCheckFailed(_) => {
                self.selfcheck_failures.inc();
                "selfcheck_failed"
            }
        };
        self.requests.get_or_create(&request(event.operation.name(), result)).inc();
        self.duration.observe(duration.as_secs_f64());
    }

    fn decided(&self, event: &Event<'_>, decision: &Decision<'_>) {
        let is_pod = match decision.outcome {
            Outcome::Injected(_) => true,
            Outcome::Skipped(reason) => {
                self.skipped_pods.get_or_create(&[("reason", reason.code())]).inc();
                reason != SkipReason::NotAPodCreation
            }
        };
        for container in &decision.containers {
            if let Some(injected) = container.injected() {
                let profile = injected.profile.map_or(NO_PROFILE, |name| self.known_profile(name));
                let form = injected.hook.form();
                let labels = [("form", form.to_owned()), ("profile", profile.to_owned())];
                self.injected.get_or_create(&labels).inc();
            } else if let Some(reason) = container.reason() {
                self.skipped_containers.get_or_create(&[("reason", reason.code())]).inc();
            }
        }
        for problem in &decision.problems {
            self.problems.get_or_create(&[("code", problem.code.code())]).inc();
        }
        if let Some(namespaces) = self.namespaces.as_ref().filter(|_| is_pod) {
            namespaces.count(event.namespace, decision.is_injected());
        }
    }

    /// Profiles of a configuration that was read later are not counted by name.
    fn known_profile<'a>(&self, name: &'a str) -> &'a str {
        if self.profiles.iter().any(|known| known == name) { name } else { OTHER }
    }

    /// A pod was let through without being looked at.
    pub fn unchanged(&self, why: Unchanged, duration: Duration) {
        match why {
            Unchanged::Overloaded | Unchanged::Deadline => self.shed.inc(),
            Unchanged::Panic => self.panics.inc(),
        };
        self.requests.get_or_create(&request("unknown", why.code())).inc();
        self.duration.observe(duration.as_secs_f64());
    }

    /// A request was no review.
    pub fn refused(&self, status: u16) {
        let status = if REFUSED_STATUSES.contains(&status) { status } else { 400 };
        self.refused.get_or_create(&[("status", status)]).inc();
    }

    /// A request begins.
    pub fn request_begins(&self) {
        self.in_flight.inc();
    }

    /// A request ends.
    pub fn request_ends(&self) {
        self.in_flight.dec();
    }

    /// A connection begins.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A connection ends.
    pub fn connection_closed(&self, why: ConnectionEnd) {
        self.connections.dec();
        self.connections_closed.get_or_create(&[("reason", why.name())]).inc();
    }

    /// A handshake failed.
    pub fn handshake_failed(&self, why: HandshakeError) {
        self.handshake_errors.get_or_create(&[("reason", why.name())]).inc();
    }

    /// A certificate is in use from now on.
    pub fn certificate_expires(&self, which: Certificate, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.certificate_expiry.get_or_create(&[("certificate", which.name())]).set(seconds);
    }

    /// A file changed and was read.
    pub fn reloaded(&self, what: Reload, result: ReloadResult) {
        let labels = [("what", what.name()), ("result", result.name())];
        self.reloads.get_or_create(&labels).inc();
    }

    /// Everything, as text.
    #[must_use]
    pub fn encode(&self, format: Format) -> String {
        format.encode(&self.registry)
    }
}

impl Namespaces {
    fn new() -> Self {
        Self { known: Mutex::default(), family: Family::default() }
    }

    fn count(&self, namespace: &str, is_injected: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::from(!is_injected);
        if let Some(counters) = known.get(namespace) {
            counters.get(index).map(Counter::inc);
            return;
        }
        let name = if known.len() < MOST_NAMESPACES { namespace } else { OTHER };
        let counters = ["injected", "skipped"].map(|decision| {
            let labels = [("namespace", name.to_owned()), ("decision", decision.to_owned())];
            self.family.get_or_create_owned(&labels)
        });
        counters.get(index).map(Counter::inc);
        if known.len() < MOST_NAMESPACES {
            known.insert(name.to_owned(), counters);
        }
    }
}

const fn request(
    operation: &'static str,
    result: &'static str,
) -> [(&'static str, &'static str); 2] {
    [("operation", operation), ("result", result)]
}

fn touch<L>(family: &Family<L, Counter>, labels: &L)
where
    L: Clone + std::hash::Hash + Eq + EncodeLabelSet,
{
    drop(family.get_or_create(labels));
}
