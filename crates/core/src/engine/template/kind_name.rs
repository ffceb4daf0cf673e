//! Names of kinds on the command line: `Kind.group`, `group/Kind` or `Kind`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A kind of objects, in one API group or in any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindName {
    kind: String,
    /// Empty for the core group; `None` for any group.
    group: Option<String>,
}

/// Error for a text that is not the name of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a kind; write KIND.GROUP, such as CloneSet.apps.kruise.io")]
pub struct NotAKindName;

impl KindName {
    /// Creates the name of an object's kind.
    pub(super) fn of(api_version: &str, kind: &str) -> Self {
        Self { kind: kind.to_owned(), group: Some(group(api_version).to_owned()) }
    }

    /// Returns the API group; `None` for any group.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Returns whether an object is of this kind.
    #[must_use]
    pub fn is(&self, api_version: &str, kind: &str) -> bool {
        self.kind == kind && self.group.as_deref().is_none_or(|own| own == group(api_version))
    }
}

impl FromStr for KindName {
    type Err = NotAKindName;

    fn from_str(text: &str) -> Result<Self, NotAKindName> {
        let (kind, group) = match (text.rsplit_once('/'), text.split_once('.')) {
            // A version between group and kind, as in apiVersion, is ignored.
            (Some((group, kind)), _) => (kind, Some(group.split('/').next().unwrap_or_default())),
            (None, Some((kind, group))) => (kind, Some(group)),
            (None, None) => (text, None),
        };
        let is_kind = kind.starts_with(|letter: char| letter.is_ascii_uppercase())
            && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_group = group.is_none_or(|group| {
            let is_part =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            group.split('.').all(|part| !part.is_empty() && part.bytes().all(is_part))
        });
        if !is_kind || !is_group {
            return Err(NotAKindName);
        }
        Ok(Self { kind: kind.to_owned(), group: group.map(str::to_owned) })
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match self.group.as_deref() {
            Some("") | None => Ok(()),
            Some(group) => write!(f, ".{group}"),
        }
    }
}

/// Returns the group of an `apiVersion`; empty for the core group.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_name_a_kind() {
        for text in ["Widget.example.com", "example.com/Widget", "example.com/v1/Widget", "Widget"]
        {
            let name: KindName = text.parse().unwrap();
            assert!(name.is("example.com/v1", "Widget"), "{text}");
            assert!(!name.is("example.com/v1", "Gadget"), "{text}");
            assert_eq!(name.is("other.example.com/v1", "Widget"), text == "Widget", "{text}");
        }
    }

    #[test]
    fn what_is_no_kind_is_refused() {
        for text in
            ["", "widget", "widgets.example.com", "Widget.", "/Widget", "a b", "Widget.Example"]
        {
            assert_eq!(text.parse::<KindName>(), Err(NotAKindName), "{text}");
        }
    }
}
