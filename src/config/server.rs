//! The sections for `prestop serve`: each field with its bounds, and its conversion to a setting. A
//! new setting of the server is a field here and one in [`crate::webhook::settings`], which has its
//! default.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::bounded::{Number, Seconds, Why, human};
use super::error::Finding;
use crate::webhook::settings::{
    ClientCertificates, Limits, LogFormat, LogLevel, LogSettings, MetricsSettings, ServerSettings,
    TlsSettings, TlsVersion,
};

/// Go's client closes idle connections after 90 s.
const WHY_LONGER_THAN_THE_CLIENT: &str = ": the API server closes idle connections after 90s; if the \
                                          server closes first, it can cut off a request";
const WHY_NOT_LONGER_THAN_THE_CALLER: &str = ": the API server waits no longer";

/// Threads, draining and limits of `prestop serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ServerSection {
    /// Threads that serve requests, 1 to 64. One thread serves tens of thousands of requests per second.
    #[serde(default)]
    #[schemars(extend("default" = ServerSettings::default().workers))]
    workers: Number<1, 64>,
    /// How long to accept requests after SIGTERM, while the endpoint is withdrawn. 0s to 10m.
    #[serde(default)]
    #[schemars(extend("default" = human(ServerSettings::default().drain_delay)))]
    drain_delay: Seconds<0, 600>,
    /// How long open requests may take to finish after the drain delay. 1s to 10m.
    #[serde(default)]
    #[schemars(extend("default" = human(ServerSettings::default().drain_timeout)))]
    drain_timeout: Seconds<1, 600>,
    /// The longest request body. The API server takes objects of 3 MiB. 64 KiB to 64 MiB.
    #[serde(default)]
    #[schemars(extend("default" = Limits::default().body_bytes))]
    maximum_body_bytes: Number<{ 64 << 10 }, { 64 << 20 }>,
    /// The limit of all request bodies in flight; pods beyond it are admitted without evaluation. Not
    /// below `maximumBodyBytes`, at most 4 GiB.
    #[serde(default)]
    #[schemars(extend("default" = Limits::default().bodies_in_flight_bytes))]
    maximum_bodies_in_flight_bytes: Number<{ 64 << 10 }, { 4 << 30 }>,
    /// The maximum number of open connections; beyond it a slow or idle one is closed for a new one. 16
    /// to 65536.
    #[serde(default)]
    #[schemars(extend("default" = Limits::default().connections))]
    maximum_connections: Number<16, 65_536>,
    /// Time limit of the TLS handshake. 1s to 1m.
    #[serde(default)]
    #[schemars(extend("default" = human(Limits::default().handshake_timeout)))]
    handshake_timeout: Seconds<1, 60>,
    /// Time limit from the handshake to the end of the first request's head. 1s to 1m.
    #[serde(default)]
    #[schemars(extend("default" = human(Limits::default().first_request_timeout)))]
    first_request_timeout: Seconds<1, 60>,
    /// Time limit from the head of a request to the end of its body. 1s to 30s.
    #[serde(default)]
    #[schemars(extend("default" = human(Limits::default().body_timeout)))]
    body_timeout: Seconds<1, 30>,
    /// Time limit between two requests. The API server closes idle connections after 90s; if the server
    /// closes first, it can cut off a request. 91s to 1h.
    #[serde(default)]
    #[schemars(extend("default" = human(Limits::default().idle_timeout)))]
    idle_timeout: Seconds<91, 3600>,
}

/// The TLS port.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TlsSection {
    /// The oldest supported version of TLS.
    #[serde(default)]
    #[schemars(with = "TlsVersion", extend("default" = TlsSettings::default().minimum_version))]
    min_version: Option<TlsVersion>,
    /// A PEM file with the CAs of clients. If set, only clients with a certificate of these CAs may
    /// connect. Reloaded on change.
    #[serde(default, rename = "clientCA")]
    #[schemars(with = "String")]
    client_ca: Option<Spanned<String>>,
    /// Common names or DNS names of which a client certificate must have one. Default: every
    /// certificate that `clientCA` signed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    allowed_names: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Log of `prestop serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LogSection {
    /// Format of log lines.
    #[serde(default)]
    #[schemars(with = "LogFormat", extend("default" = LogSettings::default().format))]
    format: Option<LogFormat>,
    /// The lowest level that is written. Can change while the server runs.
    #[serde(default)]
    #[schemars(with = "LogLevel", extend("default" = LogSettings::default().level))]
    level: Option<LogLevel>,
}

/// Metrics of `prestop serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MetricsSection {
    /// Whether to count decisions for each namespace as well.
    #[serde(default)]
    #[schemars(with = "bool", extend("default" = MetricsSettings::default().by_namespace))]
    by_namespace: Option<bool>,
}

impl ServerSection {
    pub(super) fn settings(&self, findings: &mut Vec<Finding>) -> ServerSettings {
        let default = ServerSettings::default();
        let workers = self.workers.read("server.workers", default.workers.get(), findings);
        ServerSettings {
            workers: workers.and_then(NonZeroUsize::new).unwrap_or(default.workers),
            drain_delay: self.drain_delay.read("server.drainDelay", default.drain_delay, findings),
            drain_timeout: self.drain_timeout.read(
                "server.drainTimeout",
                default.drain_timeout,
                findings,
            ),
            limits: self.limits(default.limits, findings),
        }
    }

    fn limits(&self, default: Limits, findings: &mut Vec<Finding>) -> Limits {
        let (body_bytes, bodies_in_flight_bytes) = self.bytes(default, findings);
        let connections = self.maximum_connections.read(
            "server.maximumConnections",
            default.connections,
            findings,
        );
        Limits {
            body_bytes,
            bodies_in_flight_bytes,
            connections: connections.unwrap_or(default.connections),
            handshake_timeout: self.handshake_timeout.read(
                "server.handshakeTimeout",
                default.handshake_timeout,
                findings,
            ),
            first_request_timeout: self.first_request_timeout.read(
                "server.firstRequestTimeout",
                default.first_request_timeout,
                findings,
            ),
            body_timeout: self.body_timeout.read_with(
                "server.bodyTimeout",
                default.body_timeout,
                Why { most: WHY_NOT_LONGER_THAN_THE_CALLER, ..Why::default() },
                findings,
            ),
            idle_timeout: self.idle_timeout.read_with(
                "server.idleTimeout",
                default.idle_timeout,
                Why { least: WHY_LONGER_THAN_THE_CLIENT, ..Why::default() },
                findings,
            ),
        }
    }

    /// Returns the maximum bytes of one body, and of all bodies in flight.
    fn bytes(&self, default: Limits, findings: &mut Vec<Finding>) -> (usize, usize) {
        let path = "server.maximumBodiesInFlightBytes";
        let of_all = &self.maximum_bodies_in_flight_bytes;
        let body =
            self.maximum_body_bytes.read("server.maximumBodyBytes", default.body_bytes, findings);
        let in_flight = of_all.read(path, default.bodies_in_flight_bytes, findings);
        // Checked only if both are within their own bounds, so that an error is reported once. The
        // default for all bodies in flight is as large as the longest allowed body, so this needs
        // the field in the file.
        if let (Some(body), Some(in_flight), Some(place)) = (body, in_flight, of_all.place())
            && in_flight < body
        {
            let is_default = self.maximum_body_bytes.place().is_none();
            let by_default = if is_default { " by default" } else { "" };
            let message = format!(
                "{in_flight} must be at least server.maximumBodyBytes, which is {body}{by_default}"
            );
            findings.push(Finding::new(path, place, message));
        }
        (body.unwrap_or(default.body_bytes), in_flight.unwrap_or(default.bodies_in_flight_bytes))
    }
}

impl TlsSection {
    pub(super) fn settings(&self, findings: &mut Vec<Finding>) -> TlsSettings {
        let default = TlsSettings::default();
        TlsSettings {
            minimum_version: self.min_version.unwrap_or(default.minimum_version),
            clients: self.clients(findings),
        }
    }

    fn clients(&self, findings: &mut Vec<Finding>) -> Option<ClientCertificates> {
        let mut find = |path: &str, place: serde_saphyr::Location, message: &str| {
            findings.push(Finding::new(path, place.into(), message.to_owned()));
        };
        let Self { min_version: _, client_ca, allowed_names } = self;
        if let Some(file) = client_ca.as_ref().filter(|file| file.value.trim().is_empty()) {
            find("tls.clientCA", file.referenced, "expected a file");
        }
        if let (None, Some(names)) = (client_ca, allowed_names) {
            let message = "needs tls.clientCA: without it, clients are not asked for certificates";
            find("tls.allowedNames", names.referenced, message);
        }
        let names = allowed_names.as_ref().map(|names| names.value.as_slice()).unwrap_or_default();
        for (index, name) in names.iter().enumerate() {
            if name.value.trim().is_empty() {
                let message = "empty; write the name in the client's certificate";
                find(&format!("tls.allowedNames[{index}]"), name.referenced, message);
            }
        }
        client_ca.as_ref().map(|file| ClientCertificates {
            authorities_file: file.value.clone(),
            allowed_names: names.iter().map(|name| name.value.clone()).collect(),
        })
    }
}

impl LogSection {
    pub(super) fn settings(&self) -> LogSettings {
        let default = LogSettings::default();
        LogSettings {
            format: self.format.unwrap_or(default.format),
            level: self.level.unwrap_or(default.level),
        }
    }
}

impl MetricsSection {
    pub(super) fn settings(&self) -> MetricsSettings {
        let default = MetricsSettings::default();
        MetricsSettings { by_namespace: self.by_namespace.unwrap_or(default.by_namespace) }
    }
}
