//! The sections that `prestop serve` reads.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::config::profiles::DurationText;
use crate::webhook::settings::{LogFormat, LogLevel, TlsVersion};

/// Least and most of the numbers, for the schema and the rules.
pub(in crate::config) const WORKERS: (u64, u64) = (1, 64);
pub(in crate::config) const BODY_BYTES: (u64, u64) = (64 << 10, 64 << 20);
pub(in crate::config) const BODIES_IN_FLIGHT_BYTES: (u64, u64) = (64 << 10, 4 << 30);
pub(in crate::config) const CONNECTIONS: (u64, u64) = (16, 65_536);

/// Threads, draining and limits of `prestop serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::config) struct ServerSection {
    /// Threads that serve requests, 1 to 64. One serves tens of thousands of requests a second.
    #[serde(default)]
    #[schemars(with = "u64", range(min = WORKERS.0, max = WORKERS.1), extend("default" = 1))]
    pub(in crate::config) workers: Option<Spanned<i128>>,
    /// From SIGTERM on, how long requests are still taken while the pod's address is withdrawn.
    /// 0s to 10m.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "15s"))]
    pub(in crate::config) drain_delay: Option<DurationText>,
    /// After that, how long requests that have begun may take to end. 1s to 10m.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "5s"))]
    pub(in crate::config) drain_timeout: Option<DurationText>,
    /// The longest request body. The API server takes objects of 3 MiB. 64 KiB to 64 MiB.
    #[serde(default)]
    #[schemars(
        with = "u64",
        range(min = BODY_BYTES.0, max = BODY_BYTES.1),
        extend("default" = 7_340_032)
    )]
    pub(in crate::config) maximum_body_bytes: Option<Spanned<i128>>,
    /// Unfinished bodies together; pods beyond that go through without being looked at. Not below
    /// `maximumBodyBytes`, at most 4 GiB.
    #[serde(default)]
    #[schemars(
        with = "u64",
        range(min = BODIES_IN_FLIGHT_BYTES.0, max = BODIES_IN_FLIGHT_BYTES.1),
        extend("default" = 67_108_864)
    )]
    pub(in crate::config) maximum_bodies_in_flight_bytes: Option<Spanned<i128>>,
    /// Open connections; beyond that one that is slow or has been idle long is closed for a new one.
    /// 16 to 65536.
    #[serde(default)]
    #[schemars(
        with = "u64",
        range(min = CONNECTIONS.0, max = CONNECTIONS.1),
        extend("default" = 1024)
    )]
    pub(in crate::config) maximum_connections: Option<Spanned<i128>>,
    /// For the TLS handshake. 1s to 1m.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "5s"))]
    pub(in crate::config) handshake_timeout: Option<DurationText>,
    /// From the handshake to the head of the first request. 1s to 1m.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "10s"))]
    pub(in crate::config) first_request_timeout: Option<DurationText>,
    /// From the head of a request to the end of its body. 1s to 30s.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "5s"))]
    pub(in crate::config) body_timeout: Option<DurationText>,
    /// Between two requests. The API server closes idle connections after 90s; whoever closes first
    /// cuts a request now and then. 91s to 1h.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "2m"))]
    pub(in crate::config) idle_timeout: Option<DurationText>,
}

/// The TLS port.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::config) struct TlsSection {
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    #[schemars(with = "TlsVersionSetting", extend("default" = "1.3"))]
    pub(in crate::config) min_version: Option<TlsVersionSetting>,
    /// A PEM file with the authorities of clients. With it only clients with a certificate of
    /// theirs may connect. Read again when it changes.
    #[serde(default, rename = "clientCA")]
    #[schemars(with = "String")]
    pub(in crate::config) client_ca: Option<Spanned<String>>,
    /// Common names or DNS names of clients, one of which a certificate must have. Without: any
    /// that `clientCA` signed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(in crate::config) allowed_names: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(in crate::config) enum TlsVersionSetting {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Log lines of `prestop serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::config) struct LogSection {
    /// Their form.
    #[serde(default)]
    #[schemars(with = "LogFormatSetting", extend("default" = "auto"))]
    pub(in crate::config) format: Option<LogFormatSetting>,
    /// The least important that are written. Changes while the server runs.
    #[serde(default)]
    #[schemars(with = "LogLevelSetting", extend("default" = "info"))]
    pub(in crate::config) level: Option<LogLevelSetting>,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum LogFormatSetting {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum LogLevelSetting {
    /// Faults of prestop, and what keeps it from working.
    Error,
    /// What will keep it from working.
    Warn,
    /// Each pod that was changed or has a problem; starts, stops, reloads.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// Certificates that the replicas of `prestop serve` manage themselves.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::config) struct CertificatesSection {
    /// How long the shared authority lives. Its successor is made when two thirds are over. 40s to
    /// 87600h.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "8760h"))]
    pub(in crate::config) authority_lifetime: Option<DurationText>,
    /// How long a replica's own certificate lives. Renewed when two thirds are over. 10s to 8760h, and
    /// at most a quarter of `authorityLifetime`.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "168h"))]
    pub(in crate::config) lifetime: Option<DurationText>,
    /// How long an authority has been published before it signs. 1s to 24h, and at most a quarter of
    /// `authorityLifetime`.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "10m"))]
    pub(in crate::config) overlap: Option<DurationText>,
    /// How often the Secret and the webhook configuration are read, more or less a third. 1s to 10m, and
    /// at most a tenth of `lifetime`.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "30s"))]
    pub(in crate::config) look_interval: Option<DurationText>,
}

/// Metrics of `prestop serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::config) struct MetricsSection {
    /// Whether decisions are also counted for each namespace.
    #[serde(default)]
    #[schemars(with = "bool", extend("default" = true))]
    pub(in crate::config) by_namespace: Option<bool>,
}

impl From<TlsVersionSetting> for TlsVersion {
    fn from(setting: TlsVersionSetting) -> Self {
        match setting {
            TlsVersionSetting::V1_2 => Self::V1_2,
            TlsVersionSetting::V1_3 => Self::V1_3,
        }
    }
}

impl From<LogFormatSetting> for LogFormat {
    fn from(setting: LogFormatSetting) -> Self {
        match setting {
            LogFormatSetting::Auto => Self::Auto,
            LogFormatSetting::Json => Self::Json,
            LogFormatSetting::Text => Self::Text,
        }
    }
}

impl From<LogLevelSetting> for LogLevel {
    fn from(setting: LogLevelSetting) -> Self {
        match setting {
            LogLevelSetting::Error => Self::Error,
            LogLevelSetting::Warn => Self::Warn,
            LogLevelSetting::Info => Self::Info,
            LogLevelSetting::Debug => Self::Debug,
            LogLevelSetting::Trace => Self::Trace,
        }
    }
}
