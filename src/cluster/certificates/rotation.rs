//! The CA that all replicas of an installation share through one Secret: when and how it changes.
//! ([`super::signing`] selects the CA that a replica signs with.) Pure: the time is an argument,
//! the Secret and the webhook configuration are values.
//!
//! The order avoids gaps: a new CA is *published* (in the webhook's `caBundle`) before any replica
//! signs with it, and an old one stays published until the last certificate that it signed has expired.
//! Every replica does every step that is due; the Secret's resource version decides which replica was
//! first, and the others use its result.

mod state;

use std::time::{Duration, SystemTime};

use pem::{EncodeConfig, LineEnding, Pem, encode_config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use self::state::SecretError;
use super::issue::{CLOCK_TOLERANCE, backdated};
use super::{Authority, CertificateError, Validity};

/// Line endings as in the rest of a bundle.
const UNIX_LINES: EncodeConfig = EncodeConfig::new().set_line_ending(LineEnding::LF);
/// Maximum number of CAs that are kept after their keys were lost; there are at most three at any
/// time.
const MOST_KEPT: usize = 3;

/// Lifetimes and overlap. All may be in the range of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Lifetime of a CA. Its successor is created after two thirds of it.
    pub authority: Duration,
    /// Lifetime of a replica's own certificate. Renewed after two thirds of it.
    pub leaf: Duration,
    /// Time for which a CA is published before it signs. API servers take a while to see a changed
    /// webhook configuration.
    pub overlap: Duration,
}

/// The content of the Secret.
#[derive(Debug)]
pub struct Shared {
    /// Increases with each change of the trusted CAs, and never decreases.
    pub generation: u64,
    /// The CA that signs.
    pub current: Authority,
    /// The CA that will sign next.
    pub next: Option<Successor>,
    /// Former CAs; certificates that they signed may still be in use.
    pub retired: Vec<Retired>,
    /// The overlap used by the replica that wrote this; for [`super::outlook`].
    pub overlap: Option<Duration>,
}

/// A CA that will sign.
#[derive(Debug)]
pub struct Successor {
    /// The CA.
    pub authority: Authority,
    /// Time at which it was first seen in the webhook configuration, by the clock of the replica
    /// that saw it.
    pub published_at: Option<SystemTime>,
}

/// A CA that no longer signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its certificate; the key is gone.
    pub certificate_pem: String,
    /// Time at which the last certificate expires that it can have signed.
    pub until: SystemTime,
}

/// The webhook configuration as it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published<'a> {
    /// `caBundle`, as PEM.
    pub bundle: &'a str,
    /// The generation that was published with it; 0 if there is none, or it is not a number.
    pub generation: u64,
}

/// Time since which one replica has seen the successor in the webhook configuration, by its own
/// clock. The time in the Secret is by another clock, which may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sighting(Option<(String, SystemTime)>);

/// A change of the Secret that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There is no usable CA, or it is older than the published one: create a first CA.
    Begin,
    /// A successor is created, and published at the next poll.
    Prepare,
    /// The successor was seen in the webhook configuration: the time of the overlap begins.
    Seen,
    /// The successor signs from now on.
    Switch,
    /// CAs that no certificate in use needs are no longer published.
    Retire,
    /// The CA is not valid: it has expired because no replica replaced it in time, or a clock was wrong
    /// when it was created.
    Replace,
}

impl Change {
    /// All changes.
    pub const ALL: [Self; 6] =
        [Self::Begin, Self::Prepare, Self::Seen, Self::Switch, Self::Retire, Self::Replace];

    /// Returns the stable name of this change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Prepare => "prepare",
            Self::Seen => "seen",
            Self::Switch => "switch",
            Self::Retire => "retire",
            Self::Replace => "replace",
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: Duration::from_secs(365 * 86_400),
            leaf: Duration::from_secs(7 * 86_400),
            overlap: Duration::from_secs(600),
        }
    }
}

impl Lifetimes {
    /// Returns the time when two thirds of a period are over.
    #[must_use]
    pub fn due_at(from: SystemTime, until: SystemTime) -> SystemTime {
        from + until.duration_since(from).unwrap_or_default() * 2 / 3
    }

    /// Returns the maximum difference between the clocks of a replica and the API server: as much
    /// as certificates are backdated, so that a certificate signed by one clock is valid by the
    /// other.
    #[must_use]
    pub fn clock_tolerance(&self) -> Duration {
        backdated(self.leaf)
    }

    /// Returns the latest end of a certificate that is signed now, by a replica whose clock may be
    /// ahead.
    fn last_leaf_end(&self, now: SystemTime) -> SystemTime {
        now + self.leaf + CLOCK_TOLERANCE.min(self.leaf)
    }
}

impl Shared {
    /// Returns all certificates to be trusted, for `caBundle`.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| next.authority.certificate_pem());
        let retired = self.retired.iter().map(|retired| retired.certificate_pem.as_str());
        let all = [self.current.certificate_pem()].into_iter().chain(next).chain(retired);
        let mut bundle = String::new();
        for pem in all {
            bundle.push_str(pem.trim_end());
            bundle.push('\n');
        }
        bundle
    }

    /// Returns the change that is due, if any. `now` is a time that the API server agrees with
    /// ([`super::clock`]).
    #[must_use]
    pub fn due(
        shared: Option<&Self>,
        published: &Published<'_>,
        sighting: &Sighting,
        now: SystemTime,
        lifetimes: &Lifetimes,
    ) -> Option<Change> {
        let Some(shared) = shared.filter(|shared| !shared.is_older(published)) else {
            return Some(Change::Begin);
        };
        let current = &shared.current;
        if !current.is_valid(now) {
            return Some(Change::Replace);
        }
        match &shared.next {
            None if now >= Lifetimes::due_at(current.not_before(), current.not_after()) => {
                return Some(Change::Prepare);
            }
            // It could not sign when its time comes.
            Some(next) if !next.authority.is_valid(now) => return Some(Change::Prepare),
            Some(Successor { authority, published_at: None })
                if published.holds(authority.certificate_pem()) =>
            {
                return Some(Change::Seen);
            }
            Some(Successor { published_at: Some(_), .. })
                if sighting.since().is_some_and(|since| now >= since + lifetimes.overlap) =>
            {
                return Some(Change::Switch);
            }
            None | Some(_) => {}
        }
        shared.retired.iter().any(|retired| now >= retired.until).then_some(Change::Retire)
    }

    /// Whether a newer generation was published: a restored backup contains an old Secret, perhaps
    /// with a CA that should no longer be trusted.
    #[must_use]
    pub const fn is_older(&self, published: &Published<'_>) -> bool {
        self.generation < published.generation
    }

    /// Returns the content of the Secret after a change.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn changed(
        shared: Option<Self>,
        change: Change,
        published: &Published<'_>,
        now: SystemTime,
        lifetimes: &Lifetimes,
    ) -> Result<Self, CertificateError> {
        let fresh = || Authority::generate(now, lifetimes.authority);
        let Some(mut shared) = shared.filter(|_| change != Change::Begin) else {
            return Ok(Self {
                // Saturates at the largest number: the generation must not wrap around.
                generation: published.generation.saturating_add(1),
                current: fresh()?,
                next: None,
                retired: published.retired(now, lifetimes),
                overlap: Some(lifetimes.overlap),
            });
        };
        shared.overlap = Some(lifetimes.overlap);
        match change {
            Change::Prepare => {
                shared.next = Some(Successor { authority: fresh()?, published_at: None });
            }
            Change::Seen => {
                if let Some(next) = &mut shared.next {
                    next.published_at = Some(now);
                }
                // The trusted CAs stay the same.
                return Ok(shared);
            }
            Change::Switch => {
                if let Some(next) = shared.next.take() {
                    let old = std::mem::replace(&mut shared.current, next.authority);
                    shared.retire(&old, now, lifetimes);
                }
            }
            Change::Retire => shared.retired.retain(|retired| now < retired.until),
            Change::Begin | Change::Replace => {
                let successor = shared.next.take().map(|next| next.authority);
                let new = match successor.filter(|authority| authority.is_valid(now)) {
                    Some(authority) => authority,
                    None => fresh()?,
                };
                let old = std::mem::replace(&mut shared.current, new);
                shared.retire(&old, now, lifetimes);
            }
        }
        shared.generation = shared.generation.max(published.generation).saturating_add(1);
        Ok(shared)
    }

    fn retire(&mut self, old: &Authority, now: SystemTime, lifetimes: &Lifetimes) {
        let until = lifetimes.last_leaf_end(now).min(old.not_after());
        if now < until {
            let certificate_pem = old.certificate_pem().to_owned();
            self.retired.push(Retired { certificate_pem, until });
        }
    }
}

impl Sighting {
    /// Records what was read at `now`.
    pub fn look(&mut self, shared: Option<&Shared>, published: &Published<'_>, now: SystemTime) {
        let next = shared.and_then(|shared| shared.next.as_ref()).map(|next| &next.authority);
        let Some(next) = next.filter(|authority| published.holds(authority.certificate_pem()))
        else {
            self.0 = None;
            return;
        };
        // If the clock was set back after the sighting, it was wrong then.
        let is_known = |(known, since): &(String, SystemTime)| {
            known == next.certificate_pem() && *since <= now
        };
        if !self.0.as_ref().is_some_and(is_known) {
            self.0 = Some((next.certificate_pem().to_owned(), now));
        }
    }

    fn since(&self) -> Option<SystemTime> {
        self.0.as_ref().map(|(_, since)| *since)
    }
}

impl Published<'_> {
    /// Whether a certificate is in the bundle, however its lines are wrapped.
    #[must_use]
    pub fn holds(&self, certificate_pem: &str) -> bool {
        let certificate = certificate_pem.trim_end();
        // The usual case, without parsing.
        if self.bundle.contains(certificate) {
            return true;
        }
        let wanted = CertificateDer::from_pem_slice(certificate.as_bytes());
        wanted.is_ok_and(|wanted| self.certificates().any(|known| known == wanted))
    }

    /// Returns the trusted certificates that have not expired, each for as long as other replicas
    /// may serve certificates that it signed.
    fn retired(&self, now: SystemTime, lifetimes: &Lifetimes) -> Vec<Retired> {
        let valid = self.certificates().filter_map(|der| {
            let end = Validity::of(&der).ok()?.not_after;
            let until = lifetimes.last_leaf_end(now).min(end);
            (now < until).then(|| Retired {
                certificate_pem: encode_config(&Pem::new("CERTIFICATE", &*der), UNIX_LINES),
                until,
            })
        });
        valid.take(MOST_KEPT).collect()
    }

    fn certificates(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.bundle.as_bytes()).flatten()
    }
}
