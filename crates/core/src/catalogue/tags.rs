//! Versions in image tags, and ranges of versions.
//!
//! A tag such as `1.19` moves: it meant 1.19.3 once and means 1.19.10 today. So a tag stands for
//! every version that starts with it, and the answer for a range is yes, no or unknown.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::glob::{matches, stars};

/// Number of version parts that are compared. No image needs more.
const PARTS: usize = 4;

/// The versions that a tag can stand for: `first ..= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: [u32; PARTS],
    last: [u32; PARTS],
}

/// Versions between two bounds: `>=1.19.5`, `<2`, or `>=1.19.5, <2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRange {
    text: String,
    /// Lower bound, inclusive.
    from: [u32; PARTS],
    /// Upper bound, exclusive; `None` if there is none.
    before: Option<[u32; PARTS]>,
}

/// Whether a tag is in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// All versions that the tag can stand for are in the range.
    Inside,
    /// None of the versions is in the range.
    Outside,
    /// Some versions are in the range, or the tag contains no version (`latest`).
    Unknown,
}

/// Error for a text that is not a range of versions.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a range of tags; write >=1.19.5, <2, or both with a comma between")]
pub struct RangeError;

/// A pattern over a whole tag, for variants of an image: `*-dev`, `*fpm*`. `*` stands for any
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern(String);

/// Error for a text that is not a pattern for tags.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use letters, digits, '.', '_', '-' and '*', at least one")]
pub struct TagPatternError;

impl TagPattern {
    /// Returns whether the tag matches the pattern.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        let pattern = self.0.as_bytes();
        matches(pattern, stars(pattern), tag.as_bytes())
    }
}

impl FromStr for TagPattern {
    type Err = TagPatternError;

    fn from_str(text: &str) -> Result<Self, TagPatternError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte);
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err(TagPatternError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parts of a version.
pub(crate) type Version = [u32; PARTS];

impl TagRange {
    /// Returns the lower bound, which is inclusive, and the upper bound, which is exclusive.
    pub(crate) const fn bounds(&self) -> (Version, Option<Version>) {
        (self.from, self.before)
    }

    /// Returns whether `tag` is in the range. `None` is a reference without a certain tag.
    #[must_use]
    pub fn contains(&self, tag: Option<&str>) -> Membership {
        let Some(span) = tag.and_then(Span::of_tag) else {
            return Membership::Unknown;
        };
        let begins_before = |bound: &[u32; PARTS]| span.first < *bound;
        let ends_before = |bound: &[u32; PARTS]| span.last < *bound;
        if ends_before(&self.from) || self.before.is_some_and(|before| !begins_before(&before)) {
            return Membership::Outside;
        }
        if !begins_before(&self.from) && self.before.is_none_or(|before| ends_before(&before)) {
            return Membership::Inside;
        }
        Membership::Unknown
    }
}

impl FromStr for TagRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let mut range = Self { text: text.to_owned(), from: [0; PARTS], before: None };
        let mut lower_bounds = 0;
        for comparator in text.split(',').map(str::trim) {
            if let Some(version) = comparator.strip_prefix(">=") {
                range.from = bound(version)?;
                lower_bounds += 1;
            } else if let Some(version) = comparator.strip_prefix('<') {
                if range.before.replace(bound(version)?).is_some() {
                    return Err(RangeError);
                }
            } else {
                return Err(RangeError);
            }
        }
        let empty = range.before.is_some_and(|before| before <= range.from);
        if lower_bounds > 1 || empty { Err(RangeError) } else { Ok(range) }
    }
}

impl fmt::Display for TagRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Span {
    /// Returns the versions of `1.27.3-alpine`, `v1.27`, `8-fpm`; `None` for `latest`, `stable`,
    /// `a1b2c3d`.
    fn of_tag(tag: &str) -> Option<Self> {
        let tag = tag.strip_prefix('v').unwrap_or(tag);
        let end =
            tag.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(tag.len());
        let (version, suffix) = tag.split_at_checked(end)?;
        if !(suffix.is_empty() || suffix.starts_with(['-', '_', '+'])) {
            return None;
        }
        let (first, given) = numbers(version)?;
        let mut last = first;
        for part in last.iter_mut().skip(given) {
            *part = u32::MAX;
        }
        Some(Self { first, last })
    }
}

/// Returns whether the tag matches any pattern. Without patterns, every tag matches, and so does a
/// missing one.
pub(super) fn any_matches(patterns: &[TagPattern], tag: Option<&str>) -> bool {
    patterns.is_empty()
        || tag.is_some_and(|tag| patterns.iter().any(|pattern| pattern.matches(tag)))
}

fn bound(version: &str) -> Result<[u32; PARTS], RangeError> {
    numbers(version.trim()).map(|(parts, _)| parts).ok_or(RangeError)
}

/// Parses the parts of `1.19.5`. Returns them padded with zeros, and the number of given parts.
fn numbers(version: &str) -> Option<([u32; PARTS], usize)> {
    let mut parts = [0; PARTS];
    let mut given = 0;
    for text in version.split('.') {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        *parts.get_mut(given)? = if digits {
            text.parse().ok()?
        } else {
            return None;
        };
        given += 1;
    }
    Some((parts, given))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Membership::{Inside, Outside, Unknown};

    fn contains(range: &str, tag: &str) -> Membership {
        range.parse::<TagRange>().unwrap().contains(Some(tag))
    }

    #[test]
    fn full_versions_are_certain() {
        for tag in ["1.19.5", "1.19.10-alpine", "v1.20.0", "2.0.0", "1.27.3-debian-12-r0"] {
            assert_eq!(contains(">=1.19.5", tag), Inside, "{tag}");
        }
        for tag in ["1.19.4", "1.15.12-alpine", "0.9.0", "1.15"] {
            assert_eq!(contains(">=1.19.5", tag), Outside, "{tag}");
        }
    }

    #[test]
    fn a_short_tag_matches_all_versions_that_begin_with_it() {
        assert_eq!(contains(">=1.19.5", "1.19"), Unknown);
        assert_eq!(contains(">=1.19.5", "1"), Unknown);
        assert_eq!(contains(">=1.19.5", "1.20"), Inside);
        assert_eq!(contains(">=1.19.5", "2"), Inside);
        assert_eq!(contains(">=1.19.5,<2", "1.27"), Inside);
        assert_eq!(contains(">=1.19.5,<2", "2"), Outside);
        assert_eq!(contains("<1.19.5", "1"), Unknown);
    }

    #[test]
    fn a_tag_without_a_version_is_unknown() {
        for tag in [
            "latest",
            "stable",
            "alpine",
            "a1b2c3d",
            "1a",
            "1.x",
            "v",
            "1..2",
            "1.2.3.4.5",
            "99999999999",
        ] {
            assert_eq!(contains(">=1.19.5", tag), Unknown, "{tag}");
        }
        assert_eq!(">=1".parse::<TagRange>().unwrap().contains(None), Unknown);
    }

    #[test]
    fn a_pattern_is_for_the_whole_tag() {
        let cases = [
            ("*-dev", "latest-dev", true),
            ("*-dev", "latest-develop", false),
            ("*fpm*", "8.4-fpm-alpine", true),
            ("*fpm*", "fpm", true),
            ("5*", "7.5", false),
            ("debug", "debug-nonroot", false),
            ("*RC*", "7.4.0RC6", true),
        ];
        for (pattern, tag, expected) in cases {
            assert_eq!(
                pattern.parse::<TagPattern>().unwrap().matches(tag),
                expected,
                "{pattern} {tag}"
            );
        }
        for text in ["", "a b", "nginx:1", "a/b", ">=1", "é"] {
            assert_eq!(text.parse::<TagPattern>(), Err(TagPatternError), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in ["", "1.2", ">1", ">=", ">=a", "<", ">=2,<1", ">=1,>=2", "<1,<2", ">=1,", "=1"]
        {
            assert_eq!(text.parse::<TagRange>(), Err(RangeError), "{text:?}");
        }
    }
}
