//! Certificates and keys as PEM, renewed by somebody else: cert-manager, a Secret, an
//! administrator.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::CertificateError;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// For [`super::ServedCertificate`].
    pub certified: Arc<CertifiedKey>,
    /// When it ends.
    pub not_after: SystemTime,
}

/// Reads a chain, the server's certificate first, and its key.
///
/// # Errors
/// When one of them can't be read, or they don't go together.
pub fn read_pair(chain: &[u8], key: &[u8]) -> Result<Pair, CertificateError> {
    let chain = certificates("the certificate", chain)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| CertificateError::NotPem { what: "the key", reason: error.to_string() })?;
    let not_after = chain.iter().map(not_after).collect::<Result<Vec<_>, _>>()?;
    let certified = CertifiedKey::from_der(chain, key, &default_provider())
        .map_err(CertificateError::NoPair)?;
    let first = not_after.first().copied().unwrap_or(UNIX_EPOCH);
    Ok(Pair { certified: Arc::new(certified), not_after: first })
}

/// Reads the authorities that sign clients' certificates; also tells when the first of them ends.
///
/// # Errors
/// When there are none, or one can't be read.
pub fn authorities(pem: &[u8]) -> Result<(RootCertStore, SystemTime), CertificateError> {
    let mut store = RootCertStore::empty();
    let mut first_end: Option<SystemTime> = None;
    for certificate in certificates("the authorities", pem)? {
        let end = not_after(&certificate)?;
        first_end = Some(first_end.map_or(end, |first| first.min(end)));
        store.add(certificate).map_err(|error| CertificateError::NotX509(error.to_string()))?;
    }
    Ok((store, first_end.unwrap_or(UNIX_EPOCH)))
}

/// At least one.
fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => {
            let reason = "no section BEGIN CERTIFICATE".to_owned();
            Err(CertificateError::NotPem { what, reason })
        }
        Ok(all) => Ok(all),
        Err(error) => Err(CertificateError::NotPem { what, reason: error.to_string() }),
    }
}

fn not_after(certificate: &CertificateDer<'_>) -> Result<SystemTime, CertificateError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| CertificateError::NotX509(error.to_string()))?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Ok(UNIX_EPOCH + Duration::from_secs(seconds))
}
