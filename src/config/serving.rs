//! From the sections of the right shape to [`Serving`]: bounds, and what goes together.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::error::{Finding, Place};
use super::format::serving::{LogSection, MetricsSection, ServerSection, TlsSection};
use crate::catalogue::format::DurationText;
use crate::duration::HumanSeconds;
use crate::serving::{
    ClientCertificates, Limits, LogSettings, MetricsSettings, ServerSettings, Serving, TlsSettings,
};

/// The sections of a file.
pub(super) struct Sections {
    pub(super) server: ServerSection,
    pub(super) tls: TlsSection,
    pub(super) log: LogSection,
    pub(super) metrics: MetricsSection,
}

/// What was found wrong so far.
#[derive(Default)]
struct Bounds(Vec<Finding>);

/// Checks the sections; everything wrong is told together.
pub(super) fn serving(sections: Sections) -> Result<Serving, Vec<Finding>> {
    let Sections { server, tls, log, metrics } = sections;
    let built_in = Serving::default();
    let mut bounds = Bounds::default();
    let server = bounds.server(&server, &built_in.server);
    let clients = bounds.clients(&tls);
    let tls = TlsSettings {
        minimum_version: tls.min_version.map_or(built_in.tls.minimum_version, Into::into),
        clients,
    };
    let log = LogSettings {
        format: log.format.map_or(built_in.log.format, Into::into),
        level: log.level.map_or(built_in.log.level, Into::into),
    };
    let by_namespace = metrics.by_namespace.unwrap_or(built_in.metrics.by_namespace);
    let metrics = MetricsSettings { by_namespace };
    if bounds.0.is_empty() { Ok(Serving { server, tls, log, metrics }) } else { Err(bounds.0) }
}

impl Bounds {
    fn server(&mut self, section: &ServerSection, built_in: &ServerSettings) -> ServerSettings {
        // Exhaustive, so that a new field can't be forgotten here.
        let ServerSection {
            workers,
            drain_delay,
            drain_timeout,
            maximum_body_bytes,
            maximum_bodies_in_flight_bytes,
            maximum_connections,
            handshake_timeout,
            first_request_timeout,
            body_timeout,
            idle_timeout,
        } = section;
        let limits = &built_in.limits;
        let workers = self.number("workers", workers.as_ref(), (1, 64), built_in.workers.get());
        let body_bytes = self.number(
            "maximumBodyBytes",
            maximum_body_bytes.as_ref(),
            (64 << 10, 64 << 20),
            limits.body_bytes,
        );
        let bodies_in_flight_bytes = self.number(
            "maximumBodiesInFlightBytes",
            maximum_bodies_in_flight_bytes.as_ref(),
            (64 << 10, 4 << 30),
            limits.bodies_in_flight_bytes,
        );
        if bodies_in_flight_bytes < body_bytes {
            let place = [maximum_bodies_in_flight_bytes, maximum_body_bytes];
            let message = format!(
                "{bodies_in_flight_bytes} has to be at least server.maximumBodyBytes, which is {body_bytes}"
            );
            let place = place.into_iter().flatten().next().map(|value| value.referenced.into());
            self.find("server.maximumBodiesInFlightBytes", place, message);
        }
        ServerSettings {
            workers: NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN),
            drain_delay: self.duration(
                "drainDelay",
                drain_delay.as_ref(),
                (0, 600),
                built_in.drain_delay,
            ),
            drain_timeout: self.duration(
                "drainTimeout",
                drain_timeout.as_ref(),
                (1, 600),
                built_in.drain_timeout,
            ),
            limits: Limits {
                body_bytes,
                bodies_in_flight_bytes,
                connections: self.number(
                    "maximumConnections",
                    maximum_connections.as_ref(),
                    (16, 65_536),
                    limits.connections,
                ),
                handshake_timeout: self.duration(
                    "handshakeTimeout",
                    handshake_timeout.as_ref(),
                    (1, 60),
                    limits.handshake_timeout,
                ),
                first_request_timeout: self.duration(
                    "firstRequestTimeout",
                    first_request_timeout.as_ref(),
                    (1, 60),
                    limits.first_request_timeout,
                ),
                // The API server waits 30 s at most (`timeoutSeconds`).
                body_timeout: self.duration(
                    "bodyTimeout",
                    body_timeout.as_ref(),
                    (1, 30),
                    limits.body_timeout,
                ),
                // Go's client closes idle connections after 90 s.
                idle_timeout: self.duration(
                    "idleTimeout",
                    idle_timeout.as_ref(),
                    (91, 3600),
                    limits.idle_timeout,
                ),
            },
        }
    }

    fn clients(&mut self, section: &TlsSection) -> Option<ClientCertificates> {
        let TlsSection { min_version: _, client_ca, allowed_names } = section;
        if let Some(file) = client_ca.as_ref().filter(|file| file.value.trim().is_empty()) {
            self.find("tls.clientCA", Some(file.referenced.into()), "expected a file".to_owned());
        }
        if let (None, Some(names)) = (client_ca, allowed_names) {
            let message =
                "only together with tls.clientCA: without it no client is asked".to_owned();
            self.find("tls.allowedNames", Some(names.referenced.into()), message);
        }
        let names = allowed_names.as_ref().map(|names| names.value.clone()).unwrap_or_default();
        client_ca.as_ref().map(|file| ClientCertificates {
            authorities_file: file.value.clone(),
            allowed_names: names,
        })
    }

    fn number(
        &mut self,
        name: &str,
        value: Option<&Spanned<u64>>,
        (least, most): (u64, u64),
        default: usize,
    ) -> usize {
        let Some(value) = value else { return default };
        if !(least..=most).contains(&value.value) {
            let message = format!("allowed are {least} to {most}");
            self.find(&format!("server.{name}"), Some(value.referenced.into()), message);
        }
        usize::try_from(value.value).unwrap_or(default)
    }

    fn duration(
        &mut self,
        name: &str,
        text: Option<&DurationText>,
        (least, most): (i64, i64),
        default: Duration,
    ) -> Duration {
        let Some(text) = text else { return default };
        let fault = match text.seconds() {
            Ok(seconds) if (least..=most).contains(&seconds) => {
                return Duration::from_secs(seconds.unsigned_abs());
            }
            Ok(_) => format!("allowed are {} to {}", HumanSeconds(least), HumanSeconds(most)),
            Err(cause) => cause.to_string(),
        };
        self.find(&format!("server.{name}"), Some(text.location().into()), fault);
        default
    }

    fn find(&mut self, path: &str, place: Option<Place>, message: String) {
        let place = place.unwrap_or(Place::START);
        self.0.push(Finding { path: path.to_owned(), place, message });
    }
}
