//! Settings of `prestop serve`: validated, with the defaults of a new installation.
//! [`crate::config`] has their names and bounds in the configuration file; tests set them without
//! these bounds.

use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All settings of the server that are not rules for pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServeSettings {
    /// Threads, draining, limits.
    pub server: ServerSettings,
    /// The TLS port.
    pub tls: TlsSettings,
    /// Log lines.
    pub log: LogSettings,
    /// Metrics.
    pub metrics: MetricsSettings,
    /// Certificates that the replicas manage themselves.
    pub certificates: CertificateSettings,
}

/// Threads and draining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Number of threads that serve requests. One thread serves tens of thousands of requests per
    /// second; more threads than cores make the slowest requests slower.
    pub workers: NonZeroUsize,
    /// Time after the first SIGTERM for which requests are still accepted, while the pod's address
    /// is withdrawn from the Service.
    pub drain_delay: Duration,
    /// Maximum time after the drain delay for open requests to finish.
    pub drain_timeout: Duration,
    /// Limits for one client, and for all clients together.
    pub limits: Limits,
}

/// Limits for one client, and for all clients together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of a request body. The API server accepts objects of up to 3 MiB.
    pub body_bytes: usize,
    /// Maximum bytes of bodies being read and answers being sent, together; further pods are
    /// admitted without evaluation.
    pub bodies_in_flight_bytes: usize,
    /// Maximum number of open connections; beyond that, one that is slow or long idle is closed for
    /// a new one.
    pub connections: usize,
    /// Time limit for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time limit from the handshake to the head of the first request.
    pub first_request_timeout: Duration,
    /// Time limit from the head of a request to the end of its body.
    pub body_timeout: Duration,
    /// Time limit between two requests. The API server closes idle connections after 90 s: if the
    /// server closes first, it can cut off a request.
    pub idle_timeout: Duration,
}

/// The TLS port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The oldest version that is accepted.
    pub minimum_version: TlsVersion,
    /// Clients that may connect; `None`: any client.
    pub clients: Option<ClientCertificates>,
}

/// Versions of TLS: 1.2 (RFC 5246) and 1.3 (RFC 8446).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Requirements for clients' certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// A PEM file with the CAs that sign these certificates.
    pub authorities_file: String,
    /// Common names or DNS names, one of which the certificate must have; empty: any.
    pub allowed_names: Vec<String>,
}

/// Log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Format of log lines.
    pub format: LogFormat,
    /// Lowest level that is written. Can be changed while the server runs.
    pub level: LogLevel,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for humans.
    Text,
}

/// Level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Faults of prestop, and conditions that prevent it from working.
    Error,
    /// Conditions that will prevent it from working.
    Warn,
    /// Each pod that was changed or has a problem; starts, stops, reloads.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// Metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Whether to count decisions for each namespace as well.
    pub by_namespace: bool,
}

/// Certificates that the replicas manage themselves. All times may be in the range of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateSettings {
    /// Lifetime of the shared CA. Its successor is created after two thirds of it.
    pub authority_lifetime: Duration,
    /// Lifetime of a replica's own certificate. Renewed after two thirds of it.
    pub lifetime: Duration,
    /// Time for which a CA is published before it signs.
    pub overlap: Duration,
    /// Interval at which the Secret and the webhook configuration are read, varied by up to a
    /// third.
    pub look_interval: Duration,
}

impl Default for CertificateSettings {
    fn default() -> Self {
        Self {
            authority_lifetime: Duration::from_secs(365 * 86_400),
            lifetime: Duration::from_secs(7 * 86_400),
            overlap: Duration::from_secs(600),
            look_interval: Duration::from_secs(30),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            workers: NonZeroUsize::MIN,
            drain_delay: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(5),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 7 << 20,
            bodies_in_flight_bytes: 64 << 20,
            connections: 1024,
            handshake_timeout: Duration::from_secs(5),
            first_request_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { minimum_version: TlsVersion::V1_3, clients: None }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: LogLevel::Info }
    }
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { by_namespace: true }
    }
}
