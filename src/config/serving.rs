//! From the sections of the right shape to [`Serving`]: bounds, and what goes together.

use std::num::NonZeroUsize;
use std::time::Duration;

use prestop_core::duration::HumanSeconds;
use serde_saphyr::Spanned;

use super::error::{Finding, Place};
use super::format::serving::{
    BODIES_IN_FLIGHT_BYTES, BODY_BYTES, CONNECTIONS, CertificatesSection, LogSection,
    MetricsSection, ServerSection, TlsSection, WORKERS,
};
use crate::config::profiles::DurationText;
use crate::webhook::settings::{
    CertificateSettings, ClientCertificates, Limits, LogSettings, MetricsSettings, ServerSettings,
    Serving, TlsSettings,
};

/// Go's client closes idle connections after 90 s; a server that closes first cuts a request now and
/// then.
const LEAST_IDLE_TIMEOUT_SECONDS: i64 = 91;
const WHY_LONGER_THAN_THE_CLIENT: &str = ": the API server closes idle connections after 90s, and \
                                          whoever closes first cuts a request now and then";

/// The API server's `timeoutSeconds` is 30 at most.
const MOST_BODY_TIMEOUT_SECONDS: i64 = 30;
const WHY_NOT_LONGER_THAN_THE_CALLER: &str = ": the API server waits no longer";

/// The sections of a file.
pub(super) struct Sections {
    pub(super) server: ServerSection,
    pub(super) tls: TlsSection,
    pub(super) log: LogSection,
    pub(super) metrics: MetricsSection,
    pub(super) certificates: CertificatesSection,
}

/// What was found wrong so far.
#[derive(Default)]
struct Bounds(Vec<Finding>);

/// Checks the sections; everything wrong is told together.
pub(super) fn serving(sections: Sections) -> Result<Serving, Vec<Finding>> {
    let Sections { server, tls, log, metrics, certificates } = sections;
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
    let certificates = bounds.certificates(&certificates, built_in.certificates);
    if bounds.0.is_empty() {
        Ok(Serving { server, tls, log, metrics, certificates })
    } else {
        Err(bounds.0)
    }
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
        let workers =
            self.number("server.workers", workers.as_ref(), WORKERS, built_in.workers.get());
        let body_bytes = self.number(
            "server.maximumBodyBytes",
            maximum_body_bytes.as_ref(),
            BODY_BYTES,
            limits.body_bytes,
        );
        let bodies_in_flight_bytes = self.number(
            "server.maximumBodiesInFlightBytes",
            maximum_bodies_in_flight_bytes.as_ref(),
            BODIES_IN_FLIGHT_BYTES,
            limits.bodies_in_flight_bytes,
        );
        // Only where both are in their own bounds: one mistake is told once. By default as many
        // bytes are in flight as the longest body may have, so this needs the field in the file.
        if let (Some(body), Some(in_flight)) = (body_bytes, bodies_in_flight_bytes)
            && let Some(value) = maximum_bodies_in_flight_bytes
            && in_flight < body
        {
            let by_default = if maximum_body_bytes.is_none() { " by default" } else { "" };
            let message = format!(
                "{in_flight} has to be at least server.maximumBodyBytes, which is {body}{by_default}"
            );
            self.find("server.maximumBodiesInFlightBytes", value.referenced.into(), message);
        }
        let connections = self.number(
            "server.maximumConnections",
            maximum_connections.as_ref(),
            CONNECTIONS,
            limits.connections,
        );
        ServerSettings {
            workers: workers.and_then(NonZeroUsize::new).unwrap_or(built_in.workers),
            drain_delay: self.duration(
                "server.drainDelay",
                drain_delay.as_ref(),
                (0, 600),
                built_in.drain_delay,
            ),
            drain_timeout: self.duration(
                "server.drainTimeout",
                drain_timeout.as_ref(),
                (1, 600),
                built_in.drain_timeout,
            ),
            limits: Limits {
                body_bytes: body_bytes.unwrap_or(limits.body_bytes),
                bodies_in_flight_bytes: bodies_in_flight_bytes
                    .unwrap_or(limits.bodies_in_flight_bytes),
                connections: connections.unwrap_or(limits.connections),
                handshake_timeout: self.duration(
                    "server.handshakeTimeout",
                    handshake_timeout.as_ref(),
                    (1, 60),
                    limits.handshake_timeout,
                ),
                first_request_timeout: self.duration(
                    "server.firstRequestTimeout",
                    first_request_timeout.as_ref(),
                    (1, 60),
                    limits.first_request_timeout,
                ),
                body_timeout: self.duration(
                    "server.bodyTimeout",
                    body_timeout.as_ref(),
                    (1, MOST_BODY_TIMEOUT_SECONDS),
                    limits.body_timeout,
                ),
                idle_timeout: self.duration(
                    "server.idleTimeout",
                    idle_timeout.as_ref(),
                    (LEAST_IDLE_TIMEOUT_SECONDS, 3600),
                    limits.idle_timeout,
                ),
            },
        }
    }

    fn certificates(
        &mut self,
        section: &CertificatesSection,
        built_in: CertificateSettings,
    ) -> CertificateSettings {
        let CertificatesSection { authority_lifetime, lifetime, overlap, look_interval } = section;
        let of = |bounds: &mut Self, name, text: &Option<DurationText>, range, default| {
            bounds.duration(name, text.as_ref(), range, default)
        };
        let [year, day] = [8760 * 3600, 24 * 3600];
        let names = ["certificates.lifetime", "certificates.overlap", "certificates.lookInterval"];
        let [name_of_lifetime, name_of_overlap, name_of_interval] = names;
        let settings = CertificateSettings {
            authority_lifetime: of(
                self,
                "certificates.authorityLifetime",
                authority_lifetime,
                (40, 10 * year),
                built_in.authority_lifetime,
            ),
            lifetime: of(self, name_of_lifetime, lifetime, (10, year), built_in.lifetime),
            overlap: of(self, name_of_overlap, overlap, (1, day), built_in.overlap),
            look_interval: of(
                self,
                name_of_interval,
                look_interval,
                (1, 600),
                built_in.look_interval,
            ),
        };
        // Told at the field that is in the file; the whole is the other one's default if it is not.
        for (name, part, text, (of_what, whole), share) in [
            (
                name_of_lifetime,
                settings.lifetime,
                lifetime,
                ("a quarter of certificates.authorityLifetime", settings.authority_lifetime),
                4,
            ),
            (
                name_of_overlap,
                settings.overlap,
                overlap,
                ("a quarter of certificates.authorityLifetime", settings.authority_lifetime),
                4,
            ),
            (
                name_of_interval,
                settings.look_interval,
                look_interval,
                ("a tenth of certificates.lifetime", settings.lifetime),
                10,
            ),
        ] {
            let most = whole / share;
            let place = text.as_ref().or(lifetime.as_ref()).or(authority_lifetime.as_ref());
            if let Some(place) = place.filter(|_| self.0.is_empty() && part > most) {
                let [part, most] = [part, most].map(|it| {
                    HumanSeconds(i64::try_from(it.as_secs()).unwrap_or(i64::MAX)).to_string()
                });
                let by_default = if text.is_none() { ", its default," } else { "" };
                let message = format!("{part}{by_default} is more than {of_what}, which is {most}");
                self.find(name, place.location().into(), message);
            }
        }
        settings
    }

    fn clients(&mut self, section: &TlsSection) -> Option<ClientCertificates> {
        let TlsSection { min_version: _, client_ca, allowed_names } = section;
        if let Some(file) = client_ca.as_ref().filter(|file| file.value.trim().is_empty()) {
            self.find("tls.clientCA", file.referenced.into(), "expected a file".to_owned());
        }
        if let (None, Some(names)) = (client_ca, allowed_names) {
            let message =
                "only together with tls.clientCA: without it no client is asked".to_owned();
            self.find("tls.allowedNames", names.referenced.into(), message);
        }
        let names = allowed_names.as_ref().map(|names| names.value.as_slice()).unwrap_or_default();
        for (index, name) in names.iter().enumerate() {
            if name.value.trim().is_empty() {
                let message = "empty; no certificate has this name".to_owned();
                self.find(&format!("tls.allowedNames[{index}]"), name.referenced.into(), message);
            }
        }
        client_ca.as_ref().map(|file| ClientCertificates {
            authorities_file: file.value.clone(),
            allowed_names: names.iter().map(|name| name.value.clone()).collect(),
        })
    }

    fn number(
        &mut self,
        name: &str,
        value: Option<&Spanned<i128>>,
        (least, most): (u64, u64),
        default: usize,
    ) -> Option<usize> {
        let Some(value) = value else { return Some(default) };
        if (i128::from(least)..=i128::from(most)).contains(&value.value) {
            return usize::try_from(value.value).ok();
        }
        let message = format!("allowed are {least} to {most}");
        self.find(name, value.referenced.into(), message);
        None
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
            Ok(seconds) => {
                let why = match name {
                    "server.idleTimeout" if seconds < least => WHY_LONGER_THAN_THE_CLIENT,
                    "server.bodyTimeout" if seconds > most => WHY_NOT_LONGER_THAN_THE_CALLER,
                    _ => "",
                };
                format!("allowed are {} to {}{why}", HumanSeconds(least), HumanSeconds(most))
            }
            Err(cause) => cause.to_string(),
        };
        self.find(name, text.location().into(), fault);
        default
    }

    fn find(&mut self, path: &str, place: Place, message: String) {
        self.0.push(Finding { path: path.to_owned(), place, message });
    }
}
