//! Decides when a replica signs its own certificate, and with which CA. Pure except for the random
//! numbers of the key.

use std::time::SystemTime;

use super::clock::Clocks;
use super::rotation::{Lifetimes, Published, Shared};
use super::{Authority, CertificateError, Leaf, Validity};

/// A certificate that a replica signed for itself.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate with its key.
    pub leaf: Leaf,
    /// Time of the signature by the replica's own clock.
    at: SystemTime,
    issuer_pem: String,
}

impl Signed {
    /// Whether API servers trust the certificate, according to the published CAs.
    #[must_use]
    pub fn is_trusted(&self, published: &Published<'_>, clocks: &Clocks) -> bool {
        self.validity().holds(clocks.checking()) && published.holds(&self.issuer_pem)
    }

    const fn validity(&self) -> Validity {
        Validity { not_before: self.leaf.not_before, not_after: self.leaf.not_after }
    }

    /// Whether a new certificate is due: two thirds of the lifetime are over, another CA signs, or
    /// a clock was wrong when this one was created.
    fn is_due(&self, signer: &Authority, clocks: &Clocks, lifetimes: &Lifetimes) -> bool {
        let could_be = |at: &SystemTime| signer.is_valid(*at);
        self.issuer_pem != signer.certificate_pem()
            || clocks.own() >= Lifetimes::due_at(self.at, self.at + lifetimes.leaf)
            || clocks.both().iter().filter(|at| could_be(at)).any(|at| !self.validity().holds(*at))
    }
}

impl Shared {
    /// Returns the CA that a replica may sign with: published and valid now. `None` if there is
    /// none; the certificate in use is kept.
    #[must_use]
    pub fn signer(&self, published: &Published<'_>, clocks: &Clocks) -> Option<&Authority> {
        let next = self.next.as_ref().map(|next| &next.authority);
        let published: Vec<_> = [Some(&self.current), next]
            .into_iter()
            .flatten()
            .filter(|authority| published.holds(authority.certificate_pem()))
            .collect();
        let valid = |at| published.iter().copied().find(|authority| authority.is_valid(at));
        clocks.both().into_iter().find_map(valid)
    }

    /// Signs a new certificate for these names, if one is due and there is a CA to sign it.
    ///
    /// # Errors
    /// When the certificate can't be created.
    pub fn sign(
        &self,
        served: Option<&Signed>,
        published: &Published<'_>,
        clocks: &Clocks,
        lifetimes: &Lifetimes,
        names: &[&str],
    ) -> Result<Option<Signed>, CertificateError> {
        let Some(signer) = self.signer(published, clocks) else { return Ok(None) };
        if served.is_some_and(|served| !served.is_due(signer, clocks, lifetimes)) {
            return Ok(None);
        }
        let leaf = signer.issue(names, *clocks, lifetimes.leaf)?;
        let issuer_pem = signer.certificate_pem().to_owned();
        Ok(Some(Signed { leaf, at: clocks.own(), issuer_pem }))
    }
}
