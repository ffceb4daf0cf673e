//! Certificates as people read them. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Its name, such as `CN=prestop authority`.
    pub subject: String,
    /// Its serial number, in hexadecimal digits with colons.
    pub serial: String,
    /// From when on it is valid.
    #[serde(skip)]
    pub not_before: SystemTime,
    /// When it ends.
    #[serde(skip)]
    pub not_after: SystemTime,
}

/// The certificates of a PEM text; what is none is left out.
#[must_use]
pub fn certificates_in(pem: &[u8]) -> Vec<Described> {
    CertificateDer::pem_slice_iter(pem).flatten().filter_map(|der| describe(&der)).collect()
}

fn describe(der: &CertificateDer<'_>) -> Option<Described> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
    let time =
        |seconds: i64| u64::try_from(seconds).map(Duration::from_secs).map(|at| UNIX_EPOCH + at);
    Some(Described {
        subject: parsed.subject().to_string(),
        serial: parsed.raw_serial_as_string(),
        not_before: time(parsed.validity().not_before.timestamp()).ok()?,
        not_after: time(parsed.validity().not_after.timestamp()).ok()?,
    })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(all[0].not_after, now + Duration::from_secs(86_400));
        assert_eq!(all[0].not_before, now - Duration::from_secs(8640));
        assert!(all[0].serial.contains(':'));
        assert!(certificates_in(b"").is_empty());
    }
}
