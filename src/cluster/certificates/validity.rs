//! The validity of a certificate, as stated in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::CertificateError;

/// Period in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Start of the period.
    pub not_before: SystemTime,
    /// End of the period.
    pub not_after: SystemTime,
}

/// Reason why a certificate is not valid at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// It is not valid yet.
    NotYet,
    /// It has expired.
    Ended,
}

impl Validity {
    /// Reads the validity of a certificate.
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

    /// Whether the certificate is valid at this time.
    #[must_use]
    pub fn holds(&self, at: SystemTime) -> bool {
        self.fault(at).is_none()
    }

    /// Returns the reason why the certificate is not valid at this time, if there is one.
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
    /// Returns the reason as text, for people and machines.
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

/// Converts seconds since 1970. No valid certificate is older.
fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
