//! Authorities and the certificates that they sign: ECDSA P-256. Pure but for the random numbers
//! of keys and serial numbers; the time is an argument.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::CertificateError;

/// Clocks of API servers may be behind ours by this much.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A certificate authority with its key.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// A server's certificate with its key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// For [`super::ServedCertificate`].
    pub certified: Arc<CertifiedKey>,
    /// When it ends.
    pub not_after: SystemTime,
}

impl Authority {
    /// A new authority that is valid from an hour ago.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate(now: SystemTime, lifetime: Duration) -> Result<Self, CertificateError> {
        let (not_before, not_after) = (now - BACKDATED, now + lifetime);
        let mut params = params(&[], not_before, not_after)?;
        params.distinguished_name.push(DnType::CommonName, "prestop authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer, not_before, not_after })
    }

    /// Its certificate, for those who are to trust it.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// When it ends.
    #[must_use]
    pub const fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// A server's certificate for these DNS names and addresses, never valid for longer than the
    /// authority itself.
    ///
    /// # Errors
    /// When a name is neither a DNS name nor an address, or there are no random numbers.
    pub fn issue(
        &self,
        names: &[&str],
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Leaf, CertificateError> {
        let not_before = self.not_before.max(now - BACKDATED);
        let not_after = self.not_after.min(now + lifetime);
        let mut params = params(names, not_before, not_after)?;
        params.distinguished_name.push(DnType::CommonName, "prestop");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone()];
        let certified = CertifiedKey::from_der(chain, key, &default_provider())
            .map_err(CertificateError::NoPair)?;
        Ok(Leaf { certified: Arc::new(certified), not_after })
    }
}

fn params(
    names: &[&str],
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, CertificateError> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_ends_with_its_authority_and_begins_an_hour_ago() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(86_400);
        let authority = Authority::generate(now, day).unwrap();
        let leaf = authority.issue(&["localhost"], now, 2 * day).unwrap();
        assert_eq!(leaf.not_after, now + day);
        let der = leaf.certified.cert.first().unwrap();
        let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
        assert_eq!(x509.validity().not_before.timestamp(), 1_800_000_000 - 3600);
        assert_eq!(x509.validity().not_after.timestamp(), 1_800_000_000 + 86_400);
        let names = x509.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        assert!(!x509.is_ca());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let authority = Authority::generate(now, Duration::from_secs(60)).unwrap();
        assert!(authority.issue(&["nicht-ASCII-\u{e4}"], now, Duration::from_secs(60)).is_err());
    }
}
