//! Texts with `*` for any characters, as the table writes them.

use std::fmt;

use crate::catalogue::glob;

/// A pattern in which `*` matches any characters, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    stars: Option<(usize, usize)>,
}

impl Pattern {
    /// Every text is a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), stars: glob::stars(text.as_bytes()) }
    }

    /// Whether the pattern matches a text.
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
