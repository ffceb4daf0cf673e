//! Containers that got a hook, by form and profile. There are many profiles, so a series begins
//! with its first container; only profiles that are known at the start are counted by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

use super::OTHER;

const FORMS: [&str; 4] = ["sleep", "exec-sleep", "quit", "drain"];
const NO_PROFILE: &str = "none";

/// A counter for each profile and form.
#[derive(Debug, Clone)]
pub(super) struct Injected(Arc<BTreeMap<String, [OnceLock<Counter>; FORMS.len()]>>);

impl Injected {
    pub(super) fn new<'a>(profiles: impl Iterator<Item = &'a str>) -> Self {
        let names = profiles.chain([NO_PROFILE, OTHER]);
        let injected =
            Self(Arc::new(names.map(|name| (name.to_owned(), Default::default())).collect()));
        for counter in injected.0.get(NO_PROFILE).into_iter().flatten() {
            counter.get_or_init(Counter::default);
        }
        injected
    }

    /// Counts one container.
    pub(super) fn count(&self, form: &str, profile: Option<&str>) {
        // Profiles of a configuration that was loaded later are counted as `other`.
        let counters =
            self.0.get(profile.unwrap_or(NO_PROFILE)).or_else(|| self.0.get(OTHER)).into_iter();
        for (known, counter) in FORMS.iter().zip(counters.flatten()) {
            if *known == form {
                counter.get_or_init(Counter::default).inc();
            }
        }
    }
}

impl EncodeMetric for Injected {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (profile, counters) in self.0.iter() {
            for (form, counter) in FORMS.iter().zip(counters) {
                if let Some(counter) = counter.get() {
                    let labels = [("form", *form), ("profile", profile.as_str())];
                    counter.encode(encoder.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
