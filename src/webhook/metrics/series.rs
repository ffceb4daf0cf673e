//! Counters whose labels are all known in advance: counted without a lock and without building
//! text.

use std::fmt::{self, Debug};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

/// Names and values of labels, in the order of the output.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// A counter for each key; there are few enough keys for a linear search.
#[derive(Debug)]
pub(super) struct Fixed<K, const N: usize>(Arc<[Series<K, N>]>);

#[derive(Debug)]
struct Series<K, const N: usize> {
    key: K,
    labels: Labels<N>,
    counter: Counter,
}

impl<K: Copy + PartialEq, const N: usize> Fixed<K, N> {
    /// Creates all counters at zero.
    pub(super) fn new(keys: impl IntoIterator<Item = K>, labels: impl Fn(K) -> Labels<N>) -> Self {
        let series = |key| Series { key, labels: labels(key), counter: Counter::default() };
        Self(keys.into_iter().map(series).collect())
    }

    /// Counts one event; ignores a key that was not passed to [`Self::new`].
    pub(super) fn count(&self, key: K) {
        if let Some(series) = self.0.iter().find(|series| series.key == key) {
            series.counter.inc();
        }
    }
}

impl<K, const N: usize> Clone for Fixed<K, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Debug, const N: usize> EncodeMetric for Fixed<K, N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|series| series.counter.encode(encoder.encode_family(&series.labels)?))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
