//! The TLS port: TLS 1.3 (RFC 8446), and 1.2 if configured; HTTP/1.1 only (ALPN, RFC 7301). If
//! configured, only clients with a certificate are accepted, for one of the given names if there
//! are any.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{Error as TlsError, InvalidMessage, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;

use crate::webhook::events::HandshakeError;
use crate::webhook::settings::TlsVersion;

/// Accepts TLS connections. The terms for clients can be replaced at any time.
pub struct Acceptor {
    terms: ArcSwap<Terms>,
}

/// The settings of new connections.
pub struct Terms {
    config: Arc<ServerConfig>,
    /// Names, one of which a client's certificate must have; empty: any.
    allowed_names: Vec<String>,
}

/// Error for terms that no client could meet.
#[derive(Debug, Error)]
#[error("TLS setup failed: {0}")]
pub struct TermsError(String);

/// Clients that may connect.
pub struct Clients {
    /// CAs that sign the clients' certificates.
    pub authorities: RootCertStore,
    /// Names, one of which a certificate must have; empty: any.
    pub allowed_names: Vec<String>,
}

impl Terms {
    /// Creates terms; `certificates` selects the certificate that a client sees.
    ///
    /// # Errors
    /// When `clients` has no CA.
    pub fn new(
        minimum_version: TlsVersion,
        certificates: Arc<dyn ResolvesServerCert>,
        clients: Option<Clients>,
    ) -> Result<Self, TermsError> {
        let failed = |error: &dyn std::fmt::Display| TermsError(error.to_string());
        let provider = Arc::new(default_provider());
        let versions: &[_] = match minimum_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| failed(&error))?;
        let (builder, allowed_names) = match clients {
            None => (builder.with_no_client_auth(), Vec::new()),
            Some(Clients { authorities, allowed_names }) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
                        .build()
                        .map_err(|error| failed(&error))?;
                (builder.with_client_cert_verifier(verifier), allowed_names)
            }
        };
        let mut config = builder.with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // The API server does not resume sessions, and each connection of a client is to be
        // checked.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), allowed_names })
    }
}

impl Acceptor {
    /// Creates an acceptor with these terms.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self { terms: ArcSwap::from_pointee(terms) }
    }

    /// Replaces the terms for new connections.
    pub fn set(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let terms = self.terms.load_full();
        let acceptor = TlsAcceptor::from(terms.config.clone());
        let stream = acceptor.accept(stream).await.map_err(|error| reason(&error))?;
        if terms.allowed_names.is_empty() {
            return Ok(stream);
        }
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        if certificate.is_some_and(|certificate| has_name(certificate, &terms.allowed_names)) {
            Ok(stream)
        } else {
            Err(HandshakeError::ClientCertificate)
        }
    }
}

fn reason(error: &io::Error) -> HandshakeError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match tls {
        None => HandshakeError::Closed,
        Some(TlsError::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        )) => HandshakeError::NotTls,
        Some(TlsError::NoCertificatesPresented | TlsError::InvalidCertificate(_)) => {
            HandshakeError::ClientCertificate
        }
        Some(_) => HandshakeError::Protocol,
    }
}

/// Whether the certificate's common name or one of its DNS names is among the allowed names.
fn has_name(certificate: &[u8], allowed: &[String]) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let is_allowed = |name: &str| allowed.iter().any(|allowed| allowed == name);
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let dns = alternative
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
    common.chain(dns).any(is_allowed)
}
