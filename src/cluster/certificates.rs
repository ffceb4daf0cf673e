//! The server's certificate: its sources, and [`ServedCertificate`], from which every handshake
//! takes the current one.
//!
//! - `issue`: CAs and the certificates that they sign; pure;
//! - `authorities`: the CAs of a PEM text; pure;
//! - `files`: certificates and keys that are renewed by something else; `renewal`: whether a new
//!   one replaces the one in use; pure;
//! - [`clock`]: a replica's clock compared with the API server's; `validity`: the validity of a
//!   certificate; pure;
//! - [`rotation`]: the CA that the replicas of an installation share; pure;
//! - [`signing`]: when a replica signs its own certificate; pure;
//! - [`outlook`]: the future steps of the shared CA; [`certificates_in`]: descriptions of
//!   certificates;
//! - [`store`]: the shared CA in the cluster: the Secret and the webhook configuration.

mod authorities;
mod describe;
mod files;
mod issue;
mod validity;

pub mod clock;
pub mod outlook;
pub(crate) mod renewal;
pub mod rotation;
pub mod signing;
pub mod store;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

pub use self::authorities::Authorities;
pub use self::describe::{Described, certificates_in};
pub use self::files::{Pair, read_pair};
pub use self::issue::{Authority, Leaf};
pub use self::validity::{Invalid, Validity};

/// Errors of certificates.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The text has no certificate or key in PEM format.
    #[error("{what}: {reason}")]
    NotPem {
        /// The part of the input.
        what: &'static str,
        /// The reason.
        reason: String,
    },
    /// The certificate can't be read.
    #[error("the certificate can't be read: {0}")]
    NotX509(String),
    /// The key does not belong to the certificate, or is of an unknown type.
    #[error("the key does not belong to the certificate: {0}")]
    NoPair(#[source] rustls::Error),
    /// A certificate could not be created.
    #[error("a certificate could not be created: {0}")]
    NotMade(#[from] rcgen::Error),
}

/// The certificate for new connections. Open connections keep theirs.
#[derive(Debug, Default)]
pub struct ServedCertificate(ArcSwapOption<CertifiedKey>);

impl ServedCertificate {
    /// Creates an empty one: handshakes fail until a certificate is served.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Serves this certificate to new connections from now on.
    pub fn serve(&self, certificate: Arc<CertifiedKey>) {
        self.0.store(Some(certificate));
    }

    /// Returns the certificate for new connections.
    #[must_use]
    pub fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }

    /// Returns the validity of the certificate; `None` if there is none.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        Validity::of(self.0.load().as_ref()?.cert.first()?).ok()
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// The names of a server that only this machine can reach.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Lifetime of CA and certificate: longer than a development server runs.
const EPHEMERAL_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// Creates a CA and a certificate for this machine, both in memory only.
///
/// # Errors
/// When the system gives no random numbers.
pub fn ephemeral(now: SystemTime) -> Result<(Authority, Leaf), CertificateError> {
    let authority = Authority::generate(now, EPHEMERAL_LIFETIME)?;
    let leaf = authority.issue(&LOCAL_NAMES, now, EPHEMERAL_LIFETIME)?;
    Ok((authority, leaf))
}
