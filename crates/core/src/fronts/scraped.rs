//! Ports that monitoring scrapes and probes ask, by their names. A lost scrape is no lost request.

use super::objects::ServicePort;

/// Words of such names, between dashes.
const WORDS: [&str; 16] = [
    "exporter",
    "health",
    "healthcheck",
    "healthz",
    "liveness",
    "metric",
    "metrics",
    "monitoring",
    "pprof",
    "probe",
    "probes",
    "profiling",
    "prom",
    "prometheus",
    "readiness",
    "telemetry",
];

/// Whether a port of that name is for monitoring or probes.
pub(super) fn is_scraped(name: &str) -> bool {
    words(name).any(|word| WORDS.contains(&word))
}

impl ServicePort {
    /// Whether the port is for monitoring or probes. Grafana's charts call the port of the whole application
    /// `http-metrics`, also behind port 80.
    pub(super) fn is_scraped(&self) -> bool {
        let name = if self.name.is_empty() {
            self.target.as_deref().unwrap_or_default()
        } else {
            &*self.name
        };
        let is_web = matches!(self.number, Some(80 | 443))
            && words(name).any(|word| matches!(word, "http" | "https"));
        is_scraped(name) && !is_web
    }
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['-', '_'])
}
