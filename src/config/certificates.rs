//! The section for certificates that the replicas of `prestop serve` manage themselves.

use schemars::JsonSchema;
use serde::Deserialize;

use super::bounded::{Seconds, human};
use super::error::{Finding, Position};
use crate::webhook::settings::CertificateSettings;

const DAY: i64 = 24 * 3600;
const YEAR: i64 = 365 * DAY;

/// Certificates managed by the replicas of `prestop serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CertificatesSection {
    /// Lifetime of the shared CA. Its successor is created after two thirds of it. 40s to 87600h.
    #[serde(default)]
    #[schemars(extend("default" = human(CertificateSettings::default().authority_lifetime)))]
    authority_lifetime: Seconds<40, { 10 * YEAR }>,
    /// Lifetime of a replica's certificate. Renewed after two thirds of it. 10s to 8760h, and at most a
    /// quarter of `authorityLifetime`.
    #[serde(default)]
    #[schemars(extend("default" = human(CertificateSettings::default().lifetime)))]
    lifetime: Seconds<10, YEAR>,
    /// How long a CA is published before it signs. 1s to 24h, and at most a quarter of
    /// `authorityLifetime`.
    #[serde(default)]
    #[schemars(extend("default" = human(CertificateSettings::default().overlap)))]
    overlap: Seconds<1, DAY>,
    /// Interval for reading the Secret and the webhook configuration, varied by up to a third. 1s to
    /// 10m, and at most a tenth of `lifetime`.
    #[serde(default)]
    #[schemars(extend("default" = human(CertificateSettings::default().look_interval)))]
    look_interval: Seconds<1, 600>,
}

impl CertificatesSection {
    pub(super) fn settings(&self, findings: &mut Vec<Finding>) -> CertificateSettings {
        let default = CertificateSettings::default();
        let settings = CertificateSettings {
            authority_lifetime: self.authority_lifetime.read(
                "certificates.authorityLifetime",
                default.authority_lifetime,
                findings,
            ),
            lifetime: self.lifetime.read("certificates.lifetime", default.lifetime, findings),
            overlap: self.overlap.read("certificates.overlap", default.overlap, findings),
            look_interval: self.look_interval.read(
                "certificates.lookInterval",
                default.look_interval,
                findings,
            ),
        };
        if findings.is_empty() {
            findings.extend(self.too_long(&settings));
        }
        settings
    }

    /// Returns the first value that is too long compared with another one. It is reported at its
    /// own field, or at the other one if only that is in the file.
    fn too_long(&self, settings: &CertificateSettings) -> Option<Finding> {
        let CertificateSettings { authority_lifetime, lifetime, overlap, look_interval } =
            *settings;
        let quarter = authority_lifetime / 4;
        let a_quarter = "a quarter of certificates.authorityLifetime";
        let (path, value, own_place, of_what, most) = if lifetime > quarter {
            ("certificates.lifetime", lifetime, self.lifetime.place(), a_quarter, quarter)
        } else if overlap > quarter {
            ("certificates.overlap", overlap, self.overlap.place(), a_quarter, quarter)
        } else if look_interval > lifetime / 10 {
            let of_what = "a tenth of certificates.lifetime";
            let own_place = self.look_interval.place();
            ("certificates.lookInterval", look_interval, own_place, of_what, lifetime / 10)
        } else {
            return None;
        };
        let place: Position =
            own_place.or(self.lifetime.place()).or(self.authority_lifetime.place())?;
        let by_default = if own_place.is_none() { ", its default," } else { "" };
        let (value, most) = (human(value), human(most));
        let message = format!("{value}{by_default} is more than {of_what}, which is {most}");
        Some(Finding::new(path, place, message))
    }
}
