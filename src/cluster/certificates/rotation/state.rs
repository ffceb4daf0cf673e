//! The state of the shared CA in the Secret, as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::{Retired, Shared, Successor};
use crate::cluster::certificates::{Authority, CertificateError};

/// Version of the format in the Secret. Versions of prestop that only add fields keep it.
const SCHEMA: u64 = 1;

/// Error: the content of the Secret can't be used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The state does not have the format of this program.
    #[error("the state in the Secret can't be read: {0}")]
    State(#[from] serde_json::Error),
    /// The state was written by a newer version, which knows its meaning.
    #[error("the state in the Secret has schema {0}; this version of prestop supports {SCHEMA}")]
    Newer(u64),
    /// The schema is one that no version of prestop writes.
    #[error("the state in the Secret has schema {0}, which no version of prestop writes")]
    Schema(u64),
    /// A certificate or a key in the state is invalid.
    #[error("the CA in the Secret: {0}")]
    Authority(#[from] CertificateError),
}

/// The format of the state.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema: u64,
    generation: u64,
    current: WrittenAuthority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<WrittenAuthority>,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_published_at: Option<u64>,
    #[serde(default)]
    retired: Vec<WrittenRetired>,
    /// The overlap used by the replica that wrote the state last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overlap_seconds: Option<u64>,
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

impl Shared {
    /// Reads the Secret's state.
    ///
    /// # Errors
    /// When it is not what this program wrote. [`super::Change::Begin`] is due then, except for
    /// [`SecretError::Newer`]: that state must not be changed.
    pub fn from_json(json: &[u8]) -> Result<Self, SecretError> {
        // The state of a newer version may differ in everything but this field.
        let written: Value = serde_json::from_slice(json)?;
        let schema = written.get("schema").and_then(Value::as_u64);
        if let Some(newer) = schema.filter(|schema| *schema > SCHEMA) {
            return Err(SecretError::Newer(newer));
        }
        let written: Written = serde_json::from_value(written)?;
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
            overlap: written.overlap_seconds.map(duration),
        })
    }

    /// Returns the Secret's state, with the private keys.
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
            overlap_seconds: self.overlap.map(|overlap| overlap.as_secs()),
        };
        // Serializing texts and numbers never fails.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + duration(seconds)
}

/// Converts seconds; very large values are limited to avoid overflow.
fn duration(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(1 << 40))
}
