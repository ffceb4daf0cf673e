//! Certificates and keys as PEM that are renewed by something else: cert-manager, a Secret, an
//! administrator.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::validity::parse;
use super::{CertificateError, Validity};

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The chain and the key, for [`super::ServedCertificate`].
    pub certified: Arc<CertifiedKey>,
    /// Validity of the server's certificate.
    pub validity: Validity,
    /// DNS names and addresses of the server's certificate.
    pub(super) names: Vec<Vec<u8>>,
    issuer: Issuer,
}

/// Issuer of the last certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Issuer {
    name: Vec<u8>,
    /// Identifier of the issuer's key, if the certificate has it.
    key: Option<Vec<u8>>,
}

impl Pair {
    /// Whether both are the same certificate.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// Whether both chains end at the same CA, by the issuer's name and, if both have it, its key
    /// identifier.
    pub(super) fn is_issued_as(&self, other: &Self) -> bool {
        let (issuer, other) = (&self.issuer, &other.issuer);
        let is_same = |(key, other)| key == other;
        issuer.name == other.name && issuer.key.as_ref().zip(other.key.as_ref()).is_none_or(is_same)
    }
}

/// Reads a chain, the server's certificate first, and its key.
///
/// # Errors
/// When one of them can't be read, or they don't belong together.
pub fn read_pair(chain: &[u8], key: &[u8]) -> Result<Pair, CertificateError> {
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| CertificateError::NotPem { what: "the key", reason: error.to_string() })?;
    let mut parsed = Vec::new();
    for certificate in &chain {
        parsed.push(parse(certificate)?);
    }
    let (Some(first), Some(last)) = (parsed.first(), parsed.last()) else {
        return Err(CertificateError::NotX509("there is none".to_owned()));
    };
    let (validity, names, issuer) = (Validity::of_parsed(first), names(first), issuer(last));
    let certified = CertifiedKey::from_der(chain.clone(), key, &default_provider())
        .map_err(CertificateError::NoPair)?;
    Ok(Pair { certified: Arc::new(certified), validity, names, issuer })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Vec<u8>> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into_bytes()),
        GeneralName::IPAddress(address) => Some(address.to_vec()),
        _ => None,
    });
    names.collect()
}

fn issuer(certificate: &X509Certificate<'_>) -> Issuer {
    let key =
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(known) => {
                known.key_identifier.as_ref().map(|key| key.0.to_vec())
            }
            _ => None,
        });
    Issuer { name: certificate.issuer().as_raw().to_vec(), key }
}

/// Reads the certificates of a PEM text, which must have at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let what = "the certificate";
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => {
            let reason = "it has no BEGIN CERTIFICATE section".to_owned();
            Err(CertificateError::NotPem { what, reason })
        }
        Ok(all) => Ok(all),
        Err(error) => Err(CertificateError::NotPem { what, reason: error.to_string() }),
    }
}
