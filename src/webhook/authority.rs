//! The shared CA while the server runs: when it is polled, and its state for readiness, metrics and
//! the log.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt};
use kube::Client;
use kube::runtime::watcher;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::cluster::certificates::ServedCertificate;
use crate::cluster::certificates::clock::{Clocks, Difference};
use crate::cluster::certificates::rotation::Lifetimes;
use crate::cluster::certificates::store::{Looked, Names, Problem, Store, StoreError};
use crate::webhook::events::Certificate;
use crate::webhook::metrics::Metrics;
use crate::webhook::settings::CertificateSettings;

/// Time until the next poll while the state is not settled.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Delay before a poll after the webhook configuration was changed, by this replica or others;
/// varied by up to a third.
const AFTER_A_CHANGE: Duration = Duration::from_millis(500);
/// Maximum time until the next poll after a failed one.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The CA that this replica shares with others.
pub(crate) struct Authority {
    store: Store,
    trust: Arc<Trust>,
    look_interval: Duration,
}

/// The result of the last poll of the shared CA, for readiness.
pub(crate) struct Trust {
    is_trusted: AtomicBool,
    difference: AtomicI64,
    clock_tolerance: Duration,
}

/// Problems that were logged: each is logged once, until it changes or is over.
#[derive(Debug, Default)]
struct Log {
    failure: Option<String>,
    problem: Option<Problem>,
}

/// A log message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// Polls succeed again.
    Recovered,
    /// Polls fail, for this reason.
    Failing(String),
    /// The problem has changed or is gone.
    Problem(Option<Problem>),
}

impl Trust {
    /// Whether API servers trust the CA of the served certificate.
    #[must_use]
    pub(crate) fn is_trusted(&self) -> bool {
        self.is_trusted.load(Ordering::Relaxed)
    }

    /// Returns the time by which API servers check the served certificate.
    #[must_use]
    pub(crate) fn time(&self, own: SystemTime) -> SystemTime {
        let difference = Difference::of_milliseconds(self.difference.load(Ordering::Relaxed));
        Clocks::new(own, difference, self.clock_tolerance).checking()
    }
}

impl Authority {
    /// Creates a replica that has not polled the CA yet.
    #[must_use]
    pub(crate) fn new(client: Client, names: Names, settings: &CertificateSettings) -> Self {
        let lifetimes = Lifetimes {
            authority: settings.authority_lifetime,
            leaf: settings.lifetime,
            overlap: settings.overlap,
        };
        let trust = Trust {
            is_trusted: AtomicBool::new(false),
            difference: AtomicI64::new(0),
            clock_tolerance: lifetimes.clock_tolerance(),
        };
        Self {
            store: Store::new(client, names, lifetimes),
            trust: Arc::new(trust),
            look_interval: settings.look_interval,
        }
    }

    /// Returns the result of the last poll, which [`Authority::keep`] updates.
    #[must_use]
    pub(crate) fn trust(&self) -> Arc<Trust> {
        self.trust.clone()
    }

    /// Keeps the CA, its publication and this replica's certificate up to date.
    pub(crate) async fn keep(mut self, served: Arc<ServedCertificate>, metrics: Arc<Metrics>) {
        let mut log = Log::default();
        let mut changes = pin!(self.store.changes());
        let mut is_watched = true;
        loop {
            let looked = self.store.look(&served, SystemTime::now).await;
            self.note(&looked, &metrics);
            for message in log.messages(&looked) {
                message.tell(self.store.difference());
            }
            let wait = wait_after(&looked, self.look_interval, SystemTime::now());
            // Changes by others are seen immediately, regardless of the interval.
            if timeout(wait, changed(changes.as_mut(), &mut is_watched)).await.is_ok() {
                // Spreads the replicas over time, and limits the rate if something keeps changing
                // it.
                sleep(jittered(AFTER_A_CHANGE, SystemTime::now())).await;
            }
        }
    }

    /// Records the result for readiness and metrics.
    fn note(&self, looked: &Result<Looked, StoreError>, metrics: &Metrics) {
        let difference = self.store.difference().milliseconds();
        self.trust.difference.store(difference, Ordering::Relaxed);
        let clocks = self.store.clocks(SystemTime::now());
        self.trust.is_trusted.store(self.store.is_trusted(&clocks), Ordering::Relaxed);
        metrics.clock_difference(difference);
        if let Some(end) = self.store.leaf_end() {
            metrics.certificate_expires(Certificate::Serving, end);
        }
        match looked {
            Ok(looked) => {
                metrics.authority(looked.generation, looked.change);
                metrics.certificate_expires(Certificate::ServingAuthority, looked.authority_end);
                metrics.authority_problem(looked.problem);
            }
            Err(error) => {
                metrics.authority_failed();
                // An API server that does not answer gives no information about known problems.
                if error.problem().is_some() {
                    metrics.authority_problem(error.problem());
                }
            }
        }
    }
}

impl Log {
    /// Returns the new messages after a poll.
    fn messages(&mut self, looked: &Result<Looked, StoreError>) -> Vec<Message> {
        let mut messages = Vec::new();
        match looked {
            Ok(looked) => {
                if self.failure.take().is_some() {
                    messages.push(Message::Recovered);
                }
                if self.problem != looked.problem {
                    self.problem = looked.problem;
                    messages.push(Message::Problem(looked.problem));
                }
            }
            Err(error) => {
                let failure = chain(error);
                if self.failure.as_ref() != Some(&failure) {
                    self.failure = Some(failure.clone());
                    messages.push(Message::Failing(failure));
                }
            }
        }
        messages
    }
}

impl Message {
    fn tell(&self, difference: Difference) {
        match self {
            Self::Recovered => info!("the shared CA can be managed again"),
            Self::Failing(error) => warn!(
                error = error.as_str(),
                "cannot update the shared CA; keeping the current certificate"
            ),
            Self::Problem(None) => info!("managing the shared CA again"),
            Self::Problem(Some(Problem::Clock)) => warn!(
                ahead_seconds = difference.milliseconds() / 1000,
                "the clocks of this replica and the API server differ; the shared CA is not changed"
            ),
            Self::Problem(Some(Problem::NoWebhook)) => warn!(
                "the webhook configuration is missing or empty; API servers do not call this replica"
            ),
            // Reported as an error.
            Self::Problem(Some(Problem::NewerSecret)) => {}
        }
    }
}

/// Returns the time until the next poll, unless the webhook configuration changes.
fn wait_after(
    looked: &Result<Looked, StoreError>,
    interval: Duration,
    now: SystemTime,
) -> Duration {
    match looked {
        Ok(Looked { is_settled: true, .. }) => jittered(interval, now),
        Ok(_) => LOOK_AGAIN_AFTER,
        Err(_) => TRY_AGAIN_AFTER.min(interval),
    }
}

/// Formats an error with its causes.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Waits for a change. A failing watch is logged once.
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
            warn!(%error, "the webhook configuration can't be watched; polling it instead");
        }
    }
    // Watches do not end. If this one does, there are no more changes to report.
    std::future::pending::<()>().await;
}

/// The interval, varied by up to a third, so that replicas do not poll at the same time.
fn jittered(interval: Duration, now: SystemTime) -> Duration {
    let nanoseconds =
        now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    interval.mul_f64(2.0 / 3.0 * (1.0 + f64::from(nanoseconds) / 1e9))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn looked(is_settled: bool, problem: Option<Problem>) -> Looked {
        Looked {
            is_settled,
            change: None,
            problem,
            is_trusted: true,
            generation: 1,
            authority_end: UNIX_EPOCH,
            leaf_end: None,
        }
    }

    #[test]
    fn the_next_look_is_soon_after_a_change_and_after_a_failure() {
        let minute = Duration::from_secs(60);
        let wait = |looked, nanoseconds| {
            wait_after(&looked, minute, UNIX_EPOCH + Duration::from_nanos(nanoseconds))
        };
        assert_eq!(wait(Ok(looked(false, None)), 0), LOOK_AGAIN_AFTER);
        assert_eq!(wait(Err(StoreError::TooLate), 0), TRY_AGAIN_AFTER);
        let second = Duration::from_secs(1);
        assert_eq!(wait_after(&Err(StoreError::TooLate), second, UNIX_EPOCH), second);
        // Varied by up to a third.
        assert_eq!(wait(Ok(looked(true, None)), 0), Duration::from_secs(40));
        assert_eq!(wait(Ok(looked(true, None)), 500_000_000), minute);
        assert!(wait(Ok(looked(true, None)), 999_999_999) <= Duration::from_secs(80));
    }

    #[test]
    fn each_problem_is_reported_once_until_it_is_over() {
        let mut log = Log::default();
        let no_secret = || Err(StoreError::NoSecret("x".to_owned()));
        let missing = "the Secret x is missing; the chart creates it empty".to_owned();
        for (looked, expected) in [
            (Ok(looked(true, None)), vec![]),
            (no_secret(), vec![Message::Failing(missing)]),
            (no_secret(), vec![]),
            (
                Ok(looked(true, Some(Problem::Clock))),
                vec![Message::Recovered, Message::Problem(Some(Problem::Clock))],
            ),
            (Ok(looked(true, Some(Problem::Clock))), vec![]),
            (Ok(looked(true, None)), vec![Message::Problem(None)]),
        ] {
            assert_eq!(log.messages(&looked), expected, "{looked:?}");
        }
    }
}
