//! Strings with `*` for any characters, as used in the table.

use std::fmt;

use crate::catalogue::glob;

/// A pattern in which `*` matches any characters, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    stars: Option<(usize, usize)>,
}

impl Pattern {
    /// Creates a pattern from any text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), stars: glob::stars(text.as_bytes()) }
    }

    /// Returns whether the pattern matches a text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        glob::matches(self.text.as_bytes(), self.stars, text.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
