//! The version, revision and date of this build. A release is built with the revision of its tag and
//! the time of that commit in the environment (`release/facts`); other builds have neither.

use std::fmt::{self, Display, Formatter};
use std::sync::LazyLock;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

static THIS: LazyLock<Version> = LazyLock::new(|| {
    let package = env!("CARGO_PKG_VERSION");
    Version::new(package, option_env!("PRESTOP_REVISION"), option_env!("SOURCE_DATE_EPOCH"))
});
static TEXT: LazyLock<String> = LazyLock::new(|| THIS.to_string());
/// Length of a revision in text for people.
const SHORT_REVISION: usize = 12;

/// A version with its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version in `Cargo.toml`.
    pub version: String,
    /// The git commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The time of that commit (RFC 3339), which is the same in every build of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

impl Version {
    /// Returns the version of this program.
    #[must_use]
    pub fn this() -> &'static Self {
        &THIS
    }

    /// Returns the version of this program as text for people.
    #[must_use]
    pub(crate) fn text() -> &'static str {
        &TEXT
    }

    /// Creates a version. Empty values and invalid times count as unknown.
    fn new(version: &str, revision: Option<&str>, epoch: Option<&str>) -> Self {
        let seconds = epoch.and_then(|epoch| epoch.parse().ok());
        let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        Self {
            version: version.to_owned(),
            revision: revision.filter(|it| !it.is_empty()).map(str::to_owned),
            date: time.map(|time| time.to_string()),
        }
    }
}

/// Formats the version as `0.1.0 (0123456789ab, 2026-11-28)`, without unknown parts.
impl Display for Version {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.version)?;
        let short = |text: &str, most| text.chars().take(most).collect::<String>();
        let revision = self.revision.as_deref().map(|it| short(it, SHORT_REVISION));
        let date = self.date.as_deref().map(|it| short(it, "2026-11-28".len()));
        let known: Vec<_> = revision.into_iter().chain(date).collect();
        if known.is_empty() { Ok(()) } else { write!(formatter, " ({})", known.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_facts_are_printed() {
        let revision = "0123456789abcdef0123456789abcdef01234567";
        for (revision, epoch, text) in [
            (Some(revision), Some("1795873800"), "0.1.0 (0123456789ab, 2026-11-28)"),
            (Some(revision), None, "0.1.0 (0123456789ab)"),
            (None, Some("1795873800"), "0.1.0 (2026-11-28)"),
            (None, Some("soon"), "0.1.0"),
            (Some(""), Some(""), "0.1.0"),
            (None, None, "0.1.0"),
        ] {
            assert_eq!(Version::new("0.1.0", revision, epoch).to_string(), text);
        }
        let version = Version::new("0.1.0", Some("abc"), Some("1795873800"));
        assert_eq!(
            serde_json::to_string(&version).unwrap(),
            r#"{"version":"0.1.0","revision":"abc","date":"2026-11-28T13:50:00Z"}"#
        );
    }

    /// Servers of an older prestop report only their version.
    #[test]
    fn an_answer_without_a_revision_is_read() {
        let version: Version = serde_json::from_str(r#"{"version":"0.1.0"}"#).unwrap();
        assert_eq!(version, Version::new("0.1.0", None, None));
    }
}
