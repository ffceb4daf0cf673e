//! Owners whose pods are skipped: `Job`, or a kind in one API group, `Cluster.postgresql.cnpg.io`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Regular expression for an [`OwnerKind`], for the schema of the configuration.
pub const OWNER_KIND_PATTERN: &str = "^[A-Z][A-Za-z0-9]*([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Kinds that own no pods directly, each with the kind of the object that owns them.
const OWNERS_OF_OWNERS: [(&str, &str); 3] =
    [("CronJob", "Job"), ("Deployment", "ReplicaSet"), ("Rollout", "ReplicaSet")];

/// A kind of owner, in one API group or in any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerKind {
    kind: String,
    group: Option<String>,
}

/// The controlling owner of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// `kind` of the owner.
    pub kind: &'a str,
    /// The API group in its `apiVersion`; empty for the core group.
    pub group: &'a str,
}

/// Reason why a text is not a kind of owner, with the correct notation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OwnerKindError {
    /// The text is neither `Kind` nor `Kind.group`.
    #[error(
        "not the kind of an owner reference; write Job, or Cluster.postgresql.cnpg.io with its API group"
    )]
    NotAKind,
    /// The text has another order or a version: `postgresql.cnpg.io/Cluster`,
    /// `Cluster.v1.postgresql.cnpg.io`.
    #[error("write the kind first, then the API group without a version: {0}")]
    WrittenDifferently(String),
    /// The text is in another case: `job`.
    #[error("a kind begins with a capital letter; did you mean {0}?")]
    Case(String),
    /// The kind owns no pods directly: `Deployment`.
    #[error("pods of a {kind} belong to its {owner}; write {owner}")]
    OwnsNoPods {
        /// The kind in the text.
        kind: String,
        /// The kind that owns its pods.
        owner: &'static str,
    },
}

impl OwnerKind {
    /// Built-in kinds of Kubernetes that own pods.
    pub const KNOWN: [&'static str; 5] =
        ["Job", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController"];

    /// Creates a kind in any API group.
    #[must_use]
    pub fn of_any_group(kind: &str) -> Self {
        Self { kind: kind.to_owned(), group: None }
    }

    /// Returns the kind as owner references name it.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the API group; `None` for any group.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Returns whether the owner is of this kind.
    #[must_use]
    pub fn is_of(&self, owner: Owner<'_>) -> bool {
        self.kind == owner.kind && self.group.as_ref().is_none_or(|group| group == owner.group)
    }
}

impl<'a> Owner<'a> {
    /// Creates the owner that a reference with these fields names.
    #[must_use]
    pub fn new(api_version: &'a str, kind: &'a str) -> Self {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Self { kind, group }
    }
}

impl fmt::Display for Owner<'_> {
    /// Prints the owner in the notation of `skipOwners`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

impl fmt::Display for OwnerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Owner { kind: &self.kind, group: self.group.as_deref().unwrap_or_default() }.fmt(f)
    }
}

impl FromStr for OwnerKind {
    type Err = OwnerKindError;

    fn from_str(text: &str) -> Result<Self, OwnerKindError> {
        let (kind, group) = parts(text)?;
        let owner = OWNERS_OF_OWNERS.into_iter().find(|(owner, _)| *owner == kind);
        if let Some((_, owner)) = owner {
            return Err(OwnerKindError::OwnsNoPods { kind: kind.to_owned(), owner });
        }
        Ok(Self { kind: kind.to_owned(), group: group.map(str::to_owned) })
    }
}

/// Splits kind and group, if both are valid in Kubernetes.
fn parts(text: &str) -> Result<(&str, Option<&str>), OwnerKindError> {
    if let Some((group, kind)) = text.rsplit_once('/') {
        // Such as `postgresql.cnpg.io/Cluster`, `apps/v1/DaemonSet`.
        let group = group.split('/').next().filter(|group| !is_version(group));
        let written = group.map_or_else(|| kind.to_owned(), |group| format!("{kind}.{group}"));
        return Err(match parts(&written) {
            Ok(_) => OwnerKindError::WrittenDifferently(written),
            Err(error) => error,
        });
    }
    let (kind, group) = match text.split_once('.') {
        Some((kind, group)) => (kind, Some(group)),
        None => (text, None),
    };
    if !kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
        || group.is_some_and(|group| !group.split('.').all(is_label))
    {
        return Err(OwnerKindError::NotAKind);
    }
    if !kind.starts_with(|letter: char| letter.is_ascii_uppercase()) {
        return Err(in_other_case(kind).map_or(OwnerKindError::NotAKind, OwnerKindError::Case));
    }
    match group.and_then(|group| group.split_once('.')) {
        Some((version, group)) if is_version(version) => {
            Err(OwnerKindError::WrittenDifferently(format!("{kind}.{group}")))
        }
        _ => Ok((kind, group)),
    }
}

/// Returns the built-in kind for a spelling that kubectl accepts: `job`, `daemonsets`.
fn in_other_case(kind: &str) -> Option<String> {
    let mut known = OwnerKind::KNOWN.into_iter();
    let is_it = |known: &&str| {
        kind.eq_ignore_ascii_case(known)
            || kind.strip_suffix('s').is_some_and(|one| one.eq_ignore_ascii_case(known))
    };
    known.find(is_it).map(str::to_owned)
}

/// Returns whether the text is a label of a DNS name.
fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Returns whether the text is a version: `v1`, `v1beta2`.
fn is_version(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else { return false };
    let rest = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let stage = rest.strip_prefix("alpha").or_else(|| rest.strip_prefix("beta"));
    text.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
        && stage.unwrap_or(rest).bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> OwnerKind {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_kind_with_a_group_is_of_this_group_only() {
        let cluster = Owner::new("postgresql.cnpg.io/v1", "Cluster");
        let other = Owner::new("cluster.x-k8s.io/v1beta1", "Cluster");
        assert!(kind("Cluster").is_of(cluster) && kind("Cluster").is_of(other));
        assert!(kind("Cluster.postgresql.cnpg.io").is_of(cluster));
        assert!(!kind("Cluster.postgresql.cnpg.io").is_of(other));
        assert!(!kind("GameServer").is_of(cluster));
        assert!(kind("Job.batch").is_of(Owner::new("batch/v1", "Job")));
        assert!(!kind("Pod.batch").is_of(Owner::new("v1", "Pod")));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["Job", "Job.batch", "Cluster.postgresql.cnpg.io", "A1.v1x.io", "RayCluster.v"]
        {
            assert_eq!(kind(text).to_string(), text);
        }
        assert_eq!(Owner::new("v1", "ReplicationController").to_string(), "ReplicationController");
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, expected) in [
            ("", "write Job, or"),
            ("Game Server", "write Job, or"),
            ("Cluster.", "write Job, or"),
            ("Cluster.Postgresql", "write Job, or"),
            ("Cluster..io", "write Job, or"),
            ("Cluster.-a", "write Job, or"),
            ("*", "write Job, or"),
            ("clusters.postgresql.cnpg.io", "write Job, or"),
            ("job", "did you mean Job?"),
            ("daemonsets", "did you mean DaemonSet?"),
            ("CronJob", "write Job"),
            ("Deployment.apps", "write ReplicaSet"),
            ("postgresql.cnpg.io/Cluster", ": Cluster.postgresql.cnpg.io"),
            ("postgresql.cnpg.io/v1/Cluster", ": Cluster.postgresql.cnpg.io"),
            ("v1/ReplicationController", ": ReplicationController"),
            ("Cluster.v1.postgresql.cnpg.io", ": Cluster.postgresql.cnpg.io"),
            ("Cluster.v1beta1.x.io", ": Cluster.x.io"),
            ("/", "write Job, or"),
        ] {
            let error = text.parse::<OwnerKind>().map(|kind| kind.to_string());
            let error = error.expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
