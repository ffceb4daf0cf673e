//! The CAs of a PEM text that was written by something else, and errors in it.

use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{CertificateError, Validity};

/// The CAs of a PEM text.
#[derive(Debug)]
pub struct Authorities {
    roots: RootCertStore,
    first_end: Option<SystemTime>,
    /// Error for the first entry of the text that is not a CA.
    fault: Option<CertificateError>,
}

impl Authorities {
    /// Reads every certificate of a text.
    #[must_use]
    pub fn read(pem: &[u8]) -> Self {
        let mut all = Self { roots: RootCertStore::empty(), first_end: None, fault: None };
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let added = certificate
                .map_err(|error| not_pem(error.to_string()))
                .and_then(|certificate| all.add(certificate));
            if let Err(error) = added {
                all.fault.get_or_insert(error);
            }
        }
        all
    }

    /// Returns the CAs that can be used and ignores everything else in the text, as API servers
    /// read a `caBundle`. Empty if there are none.
    #[must_use]
    pub fn usable(self) -> RootCertStore {
        self.roots
    }

    /// Returns all CAs, and the time at which the first of them expires.
    ///
    /// # Errors
    /// When there are none, or one of them can't be used.
    pub fn all(self) -> Result<(RootCertStore, SystemTime), CertificateError> {
        match self {
            Self { fault: Some(fault), .. } => Err(fault),
            Self { first_end: None, .. } => {
                Err(not_pem("it has no BEGIN CERTIFICATE section".to_owned()))
            }
            Self { roots, first_end: Some(first_end), fault: None } => Ok((roots, first_end)),
        }
    }

    fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), CertificateError> {
        let validity = Validity::of(&certificate);
        let added = self.roots.add(certificate);
        let end = validity?.not_after;
        added.map_err(|error| CertificateError::NotX509(error.to_string()))?;
        self.first_end = Some(self.first_end.map_or(end, |first| first.min(end)));
        Ok(())
    }
}

fn not_pem(reason: String) -> CertificateError {
    CertificateError::NotPem { what: "the CAs", reason }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::Authority;
    use super::*;

    #[test]
    fn a_broken_certificate_is_a_fault_or_is_left_out() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let pem = |days: u64| {
            let lifetime = Duration::from_secs(days * 86_400);
            Authority::generate(now, lifetime).unwrap().certificate_pem().to_owned()
        };
        let good = pem(9) + &pem(5);
        let (roots, first_end) = Authorities::read(good.as_bytes()).all().unwrap();
        assert_eq!((roots.len(), first_end), (2, now + Duration::from_secs(5 * 86_400)));
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_base64 = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        for broken in [no_certificate, no_base64] {
            for text in [format!("{broken}{good}"), format!("{good}{broken}")] {
                assert!(Authorities::read(text.as_bytes()).all().is_err(), "{text}");
                assert_eq!(Authorities::read(text.as_bytes()).usable().len(), 2, "{text}");
            }
        }
        for empty in ["", "no PEM"] {
            let error = Authorities::read(empty.as_bytes()).all().unwrap_err();
            assert_eq!(error.to_string(), "the CAs: it has no BEGIN CERTIFICATE section");
            assert!(Authorities::read(empty.as_bytes()).usable().is_empty());
        }
    }
}
