//! TLS for a client that trusts only the given CAs, not those of the system.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Returns a TLS configuration that trusts only these CAs.
///
/// # Errors
/// When TLS can't be set up.
pub fn trusting(authorities: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(config)
}
