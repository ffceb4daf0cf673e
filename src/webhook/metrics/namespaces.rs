//! Decisions by namespace: the only label whose values come from requests, so clients can invent names.
//! If namespaces are watched or read from a file, only those are counted by name; otherwise the number
//! and length of names are bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

use super::OTHER;

/// Maximum number of namespaces that are counted by name.
const MOST_NAMESPACES: usize = 1000;
/// Maximum length of a name in the API server: names of namespaces are DNS labels (RFC 1123).
const LONGEST_NAME_BYTES: usize = 63;

/// Two counters for each namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Namespaces {
    known: Arc<Mutex<BTreeMap<Arc<str>, Counters>>>,
    other: Counters,
}

#[derive(Debug, Clone, Default)]
struct Counters {
    injected: Counter,
    skipped: Counter,
}

impl Namespaces {
    /// Counts one pod.
    pub(super) fn count(&self, namespace: &str, is_injected: bool) {
        let mut known = self.lock();
        if let Some(counters) = known.get(namespace) {
            counters.count(is_injected);
        } else if known.len() < MOST_NAMESPACES && is_name(namespace) {
            known.entry(namespace.into()).or_default().count(is_injected);
        } else {
            self.other.count(is_injected);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Counters>> {
        // No code that holds the lock can leave the value inconsistent.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn count(&self, is_injected: bool) {
        if is_injected { &self.injected } else { &self.skipped }.inc();
    }
}

impl EncodeMetric for Namespaces {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        // Copies the counters, so that requests don't wait until all text is written.
        let mut all: Vec<(Arc<str>, Counters)> =
            self.lock().iter().map(|(name, counters)| (name.clone(), counters.clone())).collect();
        all.push((OTHER.into(), self.other.clone()));
        for (name, Counters { injected, skipped }) in &all {
            for (decision, counter) in [("injected", injected), ("skipped", skipped)] {
                let labels = [("resource_namespace", &**name), ("decision", decision)];
                counter.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// Whether a namespace can have this name. A namespace called `other` is counted with the others.
fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME_BYTES).contains(&text.len())
        && text != OTHER
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}
