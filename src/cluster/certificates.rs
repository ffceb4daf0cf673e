//! The server's certificate: where it comes from, and the place from which every handshake takes
//! the one that is valid now.
//!
//! - `issue`: authorities and the certificates that they sign; pure;
//! - `authorities`: those of a PEM text; pure;
//! - `files`: pairs that somebody else renews; `renewal`: which of them is served; pure;
//! - [`clock`]: a replica's clock beside the API server's; `validity`: of a certificate; pure;
//! - [`rotation`]: the authority that the replicas of an installation share; pure;
//! - [`signing`]: when a replica signs its own certificate; pure;
//! - [`outlook`]: when what will happen to it; [`certificates_in`]: certificates as people read them;
//! - [`store`]: the same in the cluster: the Secret, the webhook configuration.

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
    /// The text has no certificate or key, or not as PEM.
    #[error("{what}: {reason}")]
    NotPem {
        /// Which part.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The certificate can't be read.
    #[error("the certificate can't be read: {0}")]
    NotX509(String),
    /// The key does not belong to the certificate, or is of an unknown type.
    #[error("the key does not belong to the certificate: {0}")]
    NoPair(#[source] rustls::Error),
    /// It could not be made.
    #[error("a certificate could not be created: {0}")]
    NotMade(#[from] rcgen::Error),
}

/// The certificate of new connections. Connections that are open keep theirs.
#[derive(Debug, Default)]
pub struct ServedCertificate(ArcSwapOption<CertifiedKey>);

impl ServedCertificate {
    /// No certificate yet: handshakes fail.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// From now on this one.
    pub fn serve(&self, certificate: Arc<CertifiedKey>) {
        self.0.store(Some(certificate));
    }

    /// The one that new connections get.
    #[must_use]
    pub fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }

    /// From when until when it is valid; `None` where there is none.
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
/// Longer than anybody leaves a development server running.
const EPHEMERAL_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// A CA and a certificate for this machine, both in memory only.
///
/// # Errors
/// When the system gives no random numbers.
pub fn ephemeral(now: SystemTime) -> Result<(Authority, Leaf), CertificateError> {
    let authority = Authority::generate(now, EPHEMERAL_LIFETIME)?;
    let leaf = authority.issue(&LOCAL_NAMES, now, EPHEMERAL_LIFETIME)?;
    Ok((authority, leaf))
}
