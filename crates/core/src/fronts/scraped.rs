//! Ports that are used only by monitoring and probes, recognised by their names. A lost scrape is
//! not a lost request.

use super::objects::ServicePort;

/// Words in such names, separated by dashes or underscores.
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

/// Returns whether a port with this name is for monitoring or probes.
pub(super) fn is_scraped(name: &str) -> bool {
    words(name).any(|word| WORDS.contains(&word))
}

impl ServicePort {
    /// Returns whether the port is for monitoring or probes. In Grafana's charts, the port of the
    /// whole application is called `http-metrics`, even if its number is 80.
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
