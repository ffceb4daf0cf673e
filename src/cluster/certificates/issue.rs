//! CAs and the certificates that they sign: ECDSA P-256. Pure except for the random numbers of keys
//! and serial numbers; the time is an argument.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::clock::Clocks;
use super::validity::parse;
use super::{CertificateError, Validity};

/// Maximum difference between the clocks of API servers and replicas; less for certificates with a
/// lifetime of less than ten times as much ([`backdated`]).
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(4 * 3600);

/// A certificate authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    validity: Validity,
}

/// A server's certificate with its key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The certificate and its key, for [`super::ServedCertificate`].
    pub certified: Arc<CertifiedKey>,
    /// Start of the validity.
    pub not_before: SystemTime,
    /// End of the validity.
    pub not_after: SystemTime,
}

impl fmt::Debug for Authority {
    /// Omits the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Authority {
    /// Creates a CA. It is backdated by a tenth of its lifetime, at most by four hours, for API
    /// servers whose clocks are behind.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate(now: SystemTime, lifetime: Duration) -> Result<Self, CertificateError> {
        let mut params = params(&[], now - backdated(lifetime), now + lifetime)?;
        params.distinguished_name.push(DnType::CommonName, "prestop authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Self::of_parts(certificate_pem, key)
    }

    /// Reads a CA that was stored as PEM.
    ///
    /// # Errors
    /// When certificate or key can't be read, or they don't belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        Self::of_parts(certificate.to_owned(), KeyPair::from_pem(key)?)
    }

    fn of_parts(certificate_pem: String, key: KeyPair) -> Result<Self, CertificateError> {
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|error| {
            CertificateError::NotPem { what: "the CA", reason: error.to_string() }
        })?;
        let validity = validity(&der, &key)?;
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { issuer, certificate_pem, validity })
    }

    /// Returns the certificate, for clients that are to trust the CA.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns the private key, which may be stored in a Secret and nowhere else.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Returns the start of the validity.
    #[must_use]
    pub const fn not_before(&self) -> SystemTime {
        self.validity.not_before
    }

    /// Returns the end of the validity.
    #[must_use]
    pub const fn not_after(&self) -> SystemTime {
        self.validity.not_after
    }

    /// Whether the CA is valid at this time.
    #[must_use]
    pub fn is_valid(&self, at: SystemTime) -> bool {
        self.validity.holds(at)
    }

    /// Issues a server certificate for these DNS names and addresses, never valid for longer than
    /// the CA. If clocks differ, it is valid by each clock by which the CA is valid.
    ///
    /// # Errors
    /// When a name is neither a DNS name nor an address, or there are no random numbers.
    pub fn issue(
        &self,
        names: &[&str],
        now: impl Into<Clocks>,
        lifetime: Duration,
    ) -> Result<Leaf, CertificateError> {
        let clocks: Clocks = now.into();
        let times = clocks.both();
        let valid = || times.into_iter().filter(|at| self.is_valid(*at));
        let earliest = valid().min().unwrap_or(clocks.checking());
        let latest = valid().max().unwrap_or(clocks.checking());
        let not_before = whole_seconds(self.not_before().max(earliest - backdated(lifetime)));
        let not_after = whole_seconds(self.not_after().min(latest + lifetime));
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
        Ok(Leaf { certified: Arc::new(certified), not_before, not_after })
    }
}

/// Returns how long before its creation a certificate with this lifetime becomes valid.
pub(super) fn backdated(lifetime: Duration) -> Duration {
    CLOCK_TOLERANCE.min(lifetime / 10)
}

/// Rounds a time down to whole seconds, as in certificates; other records of the time must be
/// equal.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// Returns the validity of a certificate if the key belongs to it.
fn validity(der: &CertificateDer<'_>, key: &KeyPair) -> Result<Validity, CertificateError> {
    let parsed = parse(der)?;
    if parsed.public_key().subject_public_key.data != key.public_key_raw() {
        return Err(CertificateError::NotX509("the key belongs to another one".to_owned()));
    }
    Ok(Validity::of_parsed(&parsed))
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
    use super::super::clock::Difference;
    use super::*;

    #[test]
    fn a_leaf_ends_with_its_authority_and_begins_hours_ago() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(86_400);
        let authority = Authority::generate(now, 7 * day).unwrap();
        let leaf = authority.issue(&["localhost"], now, 8 * day).unwrap();
        assert_eq!(leaf.not_after, now + 7 * day);
        let der = leaf.certified.cert.first().unwrap();
        let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
        assert_eq!(x509.validity().not_before.timestamp(), 1_800_000_000 - 4 * 3600);
        assert_eq!(x509.validity().not_after.timestamp(), 1_800_000_000 + 7 * 86_400);
        let names = x509.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        assert!(!x509.is_ca());
    }

    /// Certificates have no fractions of a second; renewal must use the same expiry as the certificate.
    #[test]
    fn the_end_of_a_leaf_is_what_its_certificate_says() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_900);
        let authority = Authority::generate(now, Duration::from_secs(600)).unwrap();
        let leaf = authority.issue(&["localhost"], now, Duration::from_secs(6)).unwrap();
        let der = leaf.certified.cert.first().unwrap();
        let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
        assert_eq!(x509.validity().not_after.timestamp(), 1_800_000_006);
        assert_eq!(leaf.not_after, UNIX_EPOCH + Duration::from_secs(1_800_000_006));
    }

    #[test]
    fn an_authority_survives_as_pem_and_signs_the_same() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let authority = Authority::generate(now, Duration::from_secs(600)).unwrap();
        let kept = Authority::from_pem(authority.certificate_pem(), &authority.key_pem()).unwrap();
        assert_eq!(kept.certificate_pem(), authority.certificate_pem());
        assert_eq!(
            (kept.not_before(), kept.not_after()),
            (authority.not_before(), authority.not_after())
        );
        kept.issue(&["localhost"], now, Duration::from_secs(60)).unwrap();
        assert!(!format!("{kept:?}").contains("PRIVATE"));
        let other = Authority::generate(now, Duration::from_secs(600)).unwrap();
        for (certificate, key) in [
            (authority.certificate_pem(), other.key_pem()),
            ("", authority.key_pem()),
            (authority.certificate_pem(), String::new()),
            (&authority.key_pem(), authority.key_pem()),
        ] {
            assert!(Authority::from_pem(certificate, &key).is_err());
        }
    }

    /// One of two clocks is wrong, and it is not known which: the certificate is valid by both, as far
    /// as its CA is.
    #[test]
    fn a_leaf_is_valid_by_both_clocks() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(86_400);
        let authority = Authority::generate(now, 365 * day).unwrap();
        let tolerance = Duration::from_secs(4 * 3600);
        for (own, valid) in [
            (now + 300 * day, &[now, now + 300 * day][..]),
            (now + 400 * day, &[now]),
            (now - 50 * day, &[now]),
            (now, &[now]),
        ] {
            let difference = Difference::measured(own, now, own);
            let clocks = Clocks::new(own, difference, tolerance);
            let leaf = authority.issue(&["localhost"], clocks, 7 * day).unwrap();
            let validity = Validity { not_before: leaf.not_before, not_after: leaf.not_after };
            assert!(valid.iter().all(|at| validity.holds(*at + day)), "{validity:?}");
            // A `Date` has whole seconds.
            let last = *valid.last().unwrap() + 7 * day + Duration::from_secs(1);
            assert!(leaf.not_after <= last, "{validity:?}");
            assert_eq!(Validity::of(&leaf.certified.cert[0]).unwrap(), validity);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let authority = Authority::generate(now, Duration::from_secs(60)).unwrap();
        assert!(authority.issue(&["nicht-ASCII-\u{e4}"], now, Duration::from_secs(60)).is_err());
    }
}
