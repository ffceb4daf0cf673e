//! The two text formats that scrapers request.

use std::fmt::Write as _;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), if the scraper
    /// accepts it.
    OpenMetrics,
    /// [Prometheus' own](https://prometheus.io/docs/instrumenting/exposition_formats/), for all
    /// other scrapers.
    Prometheus,
}

impl Format {
    /// Returns the format for a request's `Accept` header.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns the media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(super) fn encode(self, registry: &Registry) -> String {
        let mut all = String::new();
        // Writing to a String never fails.
        let _ = text::encode(&mut all, registry);
        match self {
            Self::OpenMetrics => all,
            Self::Prometheus => as_prometheus(&all),
        }
    }
}

/// Converts to Prometheus' own format: a counter has the name of its samples, `…_total`, and there
/// is no end mark.
fn as_prometheus(all: &str) -> String {
    let mut result = String::with_capacity(all.len() + 1024);
    let mut help = "";
    for line in all.lines() {
        if line.starts_with("# HELP ") {
            help = line;
        } else if let Some(metric) = line.strip_prefix("# TYPE ") {
            let (name, kind) = metric.split_once(' ').unwrap_or((metric, "untyped"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let told = help.strip_prefix("# HELP ").and_then(|help| help.strip_prefix(name));
            let told = told.unwrap_or_default();
            // Writing to a String never fails.
            let _ = writeln!(result, "# HELP {name}{suffix}{told}\n# TYPE {name}{suffix} {kind}");
        } else if line != "# EOF" {
            result.push_str(line);
            result.push('\n');
        }
    }
    result
}
