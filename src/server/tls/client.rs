//! Which clients may connect: those with a certificate of a given authority, and a given name.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::{TlsError, provider};

/// Asks for a client's certificate and looks at it.
#[derive(Debug, Clone)]
pub struct ClientCheck(Arc<NamedClients>);

#[derive(Debug)]
struct NamedClients {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed_names: Vec<String>,
}

impl ClientCheck {
    /// Clients whose certificate comes from one of the authorities, and whose common name or one of
    /// whose DNS names is allowed. With no names, any certificate of the authorities will do.
    ///
    /// # Errors
    /// When the text has no certificates, or some that can't be authorities.
    pub fn new(authorities_pem: &[u8], allowed_names: Vec<String>) -> Result<Self, TlsError> {
        let mut authorities = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities_pem) {
            let certificate = certificate.map_err(TlsError::Pem)?;
            authorities.add(certificate).map_err(TlsError::Authority)?;
        }
        if authorities.is_empty() {
            return Err(TlsError::NoAuthority);
        }
        let authorities = Arc::new(authorities);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(authorities, provider()).build()?;
        Ok(Self(Arc::new(NamedClients { verifier, allowed_names })))
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::<NamedClients>::clone(&self.0)
    }
}

impl NamedClients {
    fn is_allowed(&self, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
        if self.allowed_names.is_empty() {
            return Ok(true);
        }
        let certificate = webpki::EndEntityCert::try_from(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let is_allowed = |name: &str| self.allowed_names.iter().any(|allowed| allowed == name);
        Ok(certificate.valid_dns_names().any(is_allowed)
            || common_names(certificate.subject()).iter().any(|name| is_allowed(name)))
    }
}

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        if self.is_allowed(end_entity)? {
            return Ok(verified);
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The common names of a subject in DER: a sequence of sets of pairs of a type and a text.
fn common_names(mut subject: &[u8]) -> Vec<&str> {
    const SET: u8 = 0x31;
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 0x06;
    const TEXTS: [u8; 2] = [0x0c, 0x13];
    const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
    let mut names = Vec::new();
    while let Some((SET, mut set, rest)) = element(subject) {
        subject = rest;
        while let Some((SEQUENCE, pair, rest)) = element(set) {
            set = rest;
            let Some((IDENTIFIER, kind, value)) = element(pair) else { continue };
            match element(value) {
                Some((tag, text, _)) if kind == COMMON_NAME && TEXTS.contains(&tag) => {
                    names.extend(std::str::from_utf8(text));
                }
                _ => {}
            }
        }
    }
    names
}

/// The first element of some DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        0x81..=0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_of_a_subject() {
        // O=system:masters, CN=kube-apiserver
        let mut subject = vec![0x31, 23, 0x30, 21, 0x06, 3, 0x55, 4, 10, 0x0c, 14];
        subject.extend(b"system:masters");
        subject.extend([0x31, 23, 0x30, 21, 0x06, 3, 0x55, 4, 3, 0x13, 14]);
        subject.extend(b"kube-apiserver");
        assert_eq!(common_names(&subject), ["kube-apiserver"]);
        for length in 0..subject.len() {
            assert!(common_names(&subject[..length]).is_empty(), "cut at {length}");
        }
    }

    #[test]
    fn long_lengths() {
        let mut der = vec![0x0c, 0x81, 200];
        der.extend([b'x'; 200]);
        der.push(7);
        assert_eq!(element(&der), Some((0x0c, &[b'x'; 200][..], &[7][..])));
        assert_eq!(element(&[0x0c, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(element(&[0x0c, 0x82, 0xff]), None);
    }

    #[test]
    fn a_text_without_certificates_is_no_authority() {
        let check = ClientCheck::new(b"nothing", Vec::new());
        assert!(matches!(check, Err(TlsError::NoAuthority)));
    }
}
