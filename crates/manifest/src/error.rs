//! Errors in manifests: the message, the position, and the line with a caret under the position.

use std::fmt;

use thiserror::Error;

use super::excerpt::Excerpt;

/// An error in a stream of manifests, with its position.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ManifestError {
    /// Number of the document in the stream, from 1.
    pub document: usize,
    /// Line in the stream, from 1.
    pub line: usize,
    /// Character on that line, from 1.
    pub column: usize,
    /// The message, with the fix if it is known.
    pub message: String,
    excerpt: Excerpt,
}

impl ManifestError {
    /// Creates an error; `text` is the whole line.
    pub(super) fn new(
        document: usize,
        line: usize,
        column: usize,
        message: String,
        text: &str,
    ) -> Self {
        Self { document, line, column, message, excerpt: Excerpt::new(column, text) }
    }

    /// Returns the line, or the part of a long line around the column. Empty if there is none to
    /// show.
    #[must_use]
    pub fn source_line(&self) -> &str {
        self.excerpt.text()
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, line, column, message, excerpt } = self;
        write!(
            f,
            "{message} (document {document}, line {line}, column {column}){}",
            excerpt.shown(line)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::excerpt::EXCERPT_CHARACTERS;

    #[test]
    fn shows_the_line_with_a_caret_under_the_place() {
        let error = ManifestError::new(2, 14, 5, "no".to_owned(), "a:\t1 b: 2\r");
        assert_eq!(
            error.to_string(),
            "no (document 2, line 14, column 5)\n 14 | a:\t1 b: 2\n    |   \t ^"
        );
    }

    #[test]
    fn shows_only_the_part_of_a_long_line_around_the_place() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let error = ManifestError::new(1, 1, 5001, "no".to_owned(), &line);
        assert_eq!(error.source_line().chars().count(), EXCERPT_CHARACTERS);
        let shown = error.to_string();
        let mut lines = shown.lines().skip(1);
        let place = lines.next().unwrap().find('X');
        assert_eq!(lines.next().unwrap().find('^'), place);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let error = ManifestError::new(1, 1, 1, "no".to_owned(), "a\u{1b}[31m");
        assert_eq!(error.source_line(), "a\u{fffd}[31m");
    }

    #[test]
    fn nothing_to_show_is_not_shown() {
        let error = ManifestError::new(1, 1, 1, "empty".to_owned(), "");
        assert_eq!(error.to_string(), "empty (document 1, line 1, column 1)");
    }
}
