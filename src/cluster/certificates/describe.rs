//! Descriptions of certificates for people. Pure.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use super::Validity;
use super::validity::parse;

/// Description of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Its name, such as `CN=prestop authority`.
    pub subject: String,
    /// Its serial number, in hexadecimal digits with colons.
    pub serial: String,
    /// The validity.
    #[serde(skip)]
    pub validity: Validity,
}

/// Describes the certificates of a PEM text; everything else is skipped.
#[must_use]
pub fn certificates_in(pem: &[u8]) -> Vec<Described> {
    CertificateDer::pem_slice_iter(pem).flatten().filter_map(|der| describe(&der)).collect()
}

fn describe(der: &CertificateDer<'_>) -> Option<Described> {
    let parsed = parse(der).ok()?;
    Some(Described {
        subject: parsed.subject().to_string(),
        serial: parsed.raw_serial_as_string(),
        validity: Validity::of_parsed(&parsed),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::Authority;
    use super::*;

    #[test]
    fn a_bundle_is_described_and_the_rest_is_left_out() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let authority = Authority::generate(now, Duration::from_secs(86_400)).unwrap();
        let bundle = format!("no PEM\n{0}{0}", authority.certificate_pem());
        let all = certificates_in(bundle.as_bytes());
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].subject, "CN=prestop authority");
        assert_eq!(all[0].validity.not_after, now + Duration::from_secs(86_400));
        assert_eq!(all[0].validity.not_before, now - Duration::from_secs(8640));
        assert!(all[0].serial.contains(':'));
        assert!(certificates_in(b"").is_empty());
    }
}
