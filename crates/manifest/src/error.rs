//! Errors in manifests: what is wrong, where, and the line itself with a caret under the place.

use std::fmt;

use thiserror::Error;

/// The longest part of a line that is shown.
const EXCERPT_CHARACTERS: usize = 120;

/// What is wrong with a stream of manifests, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ManifestError {
    /// The document's number in the stream, from 1.
    pub document: usize,
    /// The line of the stream, from 1.
    pub line: usize,
    /// The character on that line, from 1.
    pub column: usize,
    /// What is wrong, and what to do about it where that is known.
    pub message: String,
    /// The line, or the part of a long line around the column. Empty where there is none to show.
    pub source_line: String,
    /// How many characters of `source_line` are before the place.
    before_caret: usize,
}

impl ManifestError {
    /// Puts an error together; `text` is the whole line.
    pub(super) fn new(
        document: usize,
        line: usize,
        column: usize,
        message: String,
        text: &str,
    ) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim_end();
        let position = column.saturating_sub(1);
        let skipped = position.saturating_sub(EXCERPT_CHARACTERS / 2);
        let skipped = if text.chars().nth(EXCERPT_CHARACTERS).is_some() { skipped } else { 0 };
        let source_line: String = text
            .chars()
            .skip(skipped)
            .take(EXCERPT_CHARACTERS)
            .map(|letter| match letter {
                // Terminals obey control characters.
                '\t' => letter,
                _ if letter.is_control() => '\u{fffd}',
                _ => letter,
            })
            .collect();
        Self {
            document,
            line,
            column,
            message,
            source_line,
            before_caret: position.saturating_sub(skipped),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (document {}, line {}, column {})",
            self.message, self.document, self.line, self.column
        )?;
        if self.source_line.is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // Tabs before the caret keep it under its place whatever their width is.
        let blank: String = self
            .source_line
            .chars()
            .chain(std::iter::repeat(' '))
            .take(self.before_caret.min(EXCERPT_CHARACTERS))
            .map(|letter| if letter == '\t' { '\t' } else { ' ' })
            .collect();
        write!(f, "\n {number} | {}\n {margin} | {blank}^", self.source_line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(error.source_line.chars().count(), EXCERPT_CHARACTERS);
        let shown = error.to_string();
        let mut lines = shown.lines().skip(1);
        let place = lines.next().unwrap().find('X');
        assert_eq!(lines.next().unwrap().find('^'), place);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let error = ManifestError::new(1, 1, 1, "no".to_owned(), "a\u{1b}[31m");
        assert_eq!(error.source_line, "a\u{fffd}[31m");
    }

    #[test]
    fn nothing_to_show_is_not_shown() {
        let error = ManifestError::new(1, 1, 1, "empty".to_owned(), "");
        assert_eq!(error.to_string(), "empty (document 1, line 1, column 1)");
    }
}
