//! From when until when a certificate is valid, as it says itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::CertificateError;

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
}

/// Why a certificate is of no use at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// It will be valid.
    NotYet,
    /// It was valid.
    Ended,
}

impl Validity {
    /// As a certificate says.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        parse(certificate).map(|parsed| Self::of_parsed(&parsed))
    }

    pub(super) fn of_parsed(parsed: &X509Certificate<'_>) -> Self {
        let validity = parsed.validity();
        Self {
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        }
    }

    /// Whether it is valid then.
    #[must_use]
    pub fn holds(&self, at: SystemTime) -> bool {
        self.fault(at).is_none()
    }

    /// Why it is not valid then.
    #[must_use]
    pub fn fault(&self, at: SystemTime) -> Option<Invalid> {
        if at < self.not_before {
            Some(Invalid::NotYet)
        } else {
            (at >= self.not_after).then_some(Invalid::Ended)
        }
    }
}

impl Invalid {
    /// For people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotYet => "not valid yet",
            Self::Ended => "expired",
        }
    }
}

/// Reads a certificate.
pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateError> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed.map(|(_, parsed)| parsed).map_err(|error| CertificateError::NotX509(error.to_string()))
}

/// No valid certificate is from before 1970.
fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
