//! The authority that all replicas of an installation share, through one Secret: when it changes, how,
//! and which part of it a replica may sign with. Pure: the time is an argument, the Secret and the
//! webhook configuration are values.
//!
//! The order that leaves no gap: a new authority is *published* (in the webhook's `caBundle`) before
//! anybody signs with it, and an old one stays published until the last certificate that it signed
//! has ended. Every replica does every step that is due; the Secret's resource version decides who
//! was first, and the others take what they find.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::issue::CLOCK_TOLERANCE;
use super::{Authority, CertificateError};

/// The version of what is in the Secret.
const SCHEMA: u32 = 1;
/// Of authorities whose keys were lost; there are at most three at any time.
const MOST_KEPT: usize = 3;

/// How long things last; each of them down to seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authority. Its successor is made when two thirds are over.
    pub authority: Duration,
    /// A replica's own certificate. Renewed when two thirds are over.
    pub leaf: Duration,
    /// How long an authority has been published before it signs. API servers take a while to see a
    /// changed webhook configuration.
    pub overlap: Duration,
}

/// What the Secret holds.
#[derive(Debug)]
pub struct Shared {
    /// Grows with each change of what is to be trusted, and never falls.
    pub generation: u64,
    /// Signs.
    pub current: Authority,
    /// Will sign.
    pub next: Option<Successor>,
    /// Signed once; what they signed may still be served.
    pub retired: Vec<Retired>,
}

/// An authority that will sign.
#[derive(Debug)]
pub struct Successor {
    /// It.
    pub authority: Authority,
    /// When it was first seen in the webhook configuration.
    pub published_at: Option<SystemTime>,
}

/// An authority that signs no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its certificate; the key is gone.
    pub certificate_pem: String,
    /// When the last certificate that it can have signed ends.
    pub until: SystemTime,
}

/// The webhook configuration as it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published<'a> {
    /// `caBundle`, as PEM.
    pub bundle: &'a str,
    /// The generation that was published with it; 0 where none was.
    pub generation: u64,
}

/// Since when one replica has seen the successor in the webhook configuration, by its own clock. The
/// time in the Secret is by another clock, which may be behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sighting(Option<(String, SystemTime)>);

/// A change of the Secret that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There is nothing usable: a first authority.
    Begin,
    /// A successor is made, and published by the next look at the webhook configuration.
    Prepare,
    /// The successor was seen in the webhook configuration: the time of the overlap begins.
    Seen,
    /// The successor signs from now on.
    Switch,
    /// What no served certificate needs any more is not published any more.
    Retire,
    /// The authority has ended, and there was nobody to change it in time.
    Replace,
}

/// The Secret can't be used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Not what this program writes.
    #[error("the Secret's state can't be read: {0}")]
    State(#[from] serde_json::Error),
    /// Written by a newer version.
    #[error("the Secret's state is of schema {0}; this version knows {SCHEMA}")]
    Schema(u32),
    /// A certificate or a key in it is broken.
    #[error("the Secret's authority: {0}")]
    Authority(#[from] CertificateError),
}

/// The Secret's state as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema: u32,
    generation: u64,
    current: WrittenAuthority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<WrittenAuthority>,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_published_at: Option<u64>,
    #[serde(default)]
    retired: Vec<WrittenRetired>,
}

#[derive(Serialize, Deserialize)]
struct WrittenAuthority {
    certificate: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenRetired {
    certificate: String,
    /// Seconds since 1970.
    until: u64,
}

impl Change {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Begin, Self::Prepare, Self::Seen, Self::Switch, Self::Retire, Self::Replace];

    /// A stable word.
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
    /// Whether two thirds of a time are over.
    #[must_use]
    pub fn is_due(from: SystemTime, until: SystemTime, now: SystemTime) -> bool {
        now >= Self::due_at(from, until)
    }

    /// When two thirds of a time are over.
    #[must_use]
    pub fn due_at(from: SystemTime, until: SystemTime) -> SystemTime {
        from + until.duration_since(from).unwrap_or_default() * 2 / 3
    }

    /// The latest end of a certificate that is signed now, by a replica whose clock may be ahead.
    fn last_leaf_end(&self, now: SystemTime) -> SystemTime {
        now + self.leaf + CLOCK_TOLERANCE.min(self.leaf)
    }
}

impl Shared {
    /// Reads the Secret's state.
    ///
    /// # Errors
    /// When it is not what this program wrote; [`Change::Begin`] is due then.
    pub fn from_json(json: &[u8]) -> Result<Self, SecretError> {
        let written: Written = serde_json::from_slice(json)?;
        if written.schema != SCHEMA {
            return Err(SecretError::Schema(written.schema));
        }
        let authority = |written: &WrittenAuthority| {
            Authority::from_pem(&written.certificate, &written.key).map_err(SecretError::from)
        };
        let next = written.next.as_ref().map(&authority).transpose()?;
        let published_at = written.next_published_at.map(time);
        let retired = written.retired.into_iter().map(|retired| Retired {
            certificate_pem: retired.certificate,
            until: time(retired.until),
        });
        Ok(Self {
            generation: written.generation,
            current: authority(&written.current)?,
            next: next.map(|authority| Successor { authority, published_at }),
            retired: retired.collect(),
        })
    }

    /// The Secret's state, with the keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        let authority = |authority: &Authority| WrittenAuthority {
            certificate: authority.certificate_pem().to_owned(),
            key: authority.key_pem(),
        };
        let written = Written {
            schema: SCHEMA,
            generation: self.generation,
            current: authority(&self.current),
            next: self.next.as_ref().map(|next| authority(&next.authority)),
            next_published_at: self.next.as_ref().and_then(|next| next.published_at).map(seconds),
            retired: self
                .retired
                .iter()
                .map(|retired| WrittenRetired {
                    certificate: retired.certificate_pem.clone(),
                    until: seconds(retired.until),
                })
                .collect(),
        };
        // Texts and numbers can always be written.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Everything that is to be trusted, for `caBundle`.
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

    /// The change that is due, if any.
    #[must_use]
    pub fn due(
        shared: Option<&Self>,
        published: &Published<'_>,
        sighting: &Sighting,
        now: SystemTime,
        lifetimes: &Lifetimes,
    ) -> Option<Change> {
        let Some(shared) = shared else { return Some(Change::Begin) };
        if now >= shared.current.not_after() {
            return Some(Change::Replace);
        }
        let current = &shared.current;
        match &shared.next {
            None if Lifetimes::is_due(current.not_before(), current.not_after(), now) => {
                return Some(Change::Prepare);
            }
            Some(Successor { authority, published_at: None }) if published.holds(authority) => {
                return Some(Change::Seen);
            }
            Some(Successor { published_at: Some(at), .. })
                if sighting
                    .since()
                    .is_some_and(|since| now >= since.max(*at) + lifetimes.overlap) =>
            {
                return Some(Change::Switch);
            }
            None | Some(_) => {}
        }
        shared.retired.iter().any(|retired| now >= retired.until).then_some(Change::Retire)
    }

    /// The Secret after a change.
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
        let Some(mut shared) = shared else {
            // Other replicas may still serve what the lost authority signed.
            let retired = published.valid(now).map(|certificate_pem| Retired {
                certificate_pem,
                until: lifetimes.last_leaf_end(now),
            });
            let (generation, retired) = (published.generation + 1, retired.collect());
            return Ok(Self { generation, current: fresh()?, next: None, retired });
        };
        match change {
            Change::Prepare => {
                shared.next = Some(Successor { authority: fresh()?, published_at: None });
            }
            Change::Seen => {
                if let Some(next) = &mut shared.next {
                    next.published_at = Some(now);
                }
                // What is to be trusted stays the same.
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
                let usable = successor.filter(|authority| now < authority.not_after());
                let new = match usable {
                    Some(authority) => authority,
                    None => fresh()?,
                };
                let old = std::mem::replace(&mut shared.current, new);
                shared.retire(&old, now, lifetimes);
            }
        }
        shared.generation = shared.generation.max(published.generation) + 1;
        Ok(shared)
    }

    fn retire(&mut self, old: &Authority, now: SystemTime, lifetimes: &Lifetimes) {
        let until = lifetimes.last_leaf_end(now).min(old.not_after());
        if now < until {
            let certificate_pem = old.certificate_pem().to_owned();
            self.retired.push(Retired { certificate_pem, until });
        }
    }

    /// The authority that a replica may sign with: one that is published. `None` while there is none,
    /// and what is served stays.
    #[must_use]
    pub fn signer(&self, published: &Published<'_>, now: SystemTime) -> Option<&Authority> {
        let next = self.next.as_ref().map(|next| &next.authority);
        let usable =
            |authority: &&Authority| now < authority.not_after() && published.holds(authority);
        [Some(&self.current), next].into_iter().flatten().find(usable)
    }
}

impl Sighting {
    /// Takes note of what was read at `now`.
    pub fn look(&mut self, shared: Option<&Shared>, published: &Published<'_>, now: SystemTime) {
        let next = shared.and_then(|shared| shared.next.as_ref()).map(|next| &next.authority);
        let Some(next) = next.filter(|authority| published.holds(authority)) else {
            self.0 = None;
            return;
        };
        if self.0.as_ref().is_none_or(|(known, _)| known != next.certificate_pem()) {
            self.0 = Some((next.certificate_pem().to_owned(), now));
        }
    }

    fn since(&self) -> Option<SystemTime> {
        self.0.as_ref().map(|(_, since)| *since)
    }
}

impl Published<'_> {
    /// Whether an authority's certificate is in the bundle, however that is wrapped.
    fn holds(&self, authority: &Authority) -> bool {
        let certificate = authority.certificate_pem().trim_end();
        // The usual case, without reading anything.
        if self.bundle.contains(certificate) {
            return true;
        }
        let wanted = CertificateDer::from_pem_slice(certificate.as_bytes());
        wanted.is_ok_and(|wanted| self.certificates().any(|known| known == wanted))
    }

    /// Certificates that have not ended, as PEM.
    fn valid(&self, now: SystemTime) -> impl Iterator<Item = String> {
        let certificates = self.certificates().filter(move |der| {
            let end = x509_parser::parse_x509_certificate(der)
                .map_or(0, |(_, parsed)| parsed.validity().not_after.timestamp());
            now < time(u64::try_from(end).unwrap_or(0))
        });
        certificates.take(MOST_KEPT).map(|der| {
            let lines = STANDARD.encode(&der);
            let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
            for line in lines.as_bytes().chunks(64) {
                pem.push_str(&String::from_utf8_lossy(line));
                pem.push('\n');
            }
            pem + "-----END CERTIFICATE-----\n"
        })
    }

    fn certificates(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.bundle.as_bytes()).flatten()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn time(seconds: u64) -> SystemTime {
    // Far in the future, instead of none, for what nobody can have meant.
    UNIX_EPOCH + Duration::from_secs(seconds.min(1 << 40))
}
