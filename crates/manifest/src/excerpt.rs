//! A line of a text with a caret under a position, for errors.

use std::fmt;

/// Length limit for the part of a line that is shown, in characters.
pub(super) const EXCERPT_CHARACTERS: usize = 120;

/// The part of a line around a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, or the part of a long line around the column. Empty if there is nothing to show.
    text: String,
    /// Number of characters in `text` before the position.
    before_caret: usize,
}

impl Excerpt {
    /// Creates an excerpt of the whole line `text`; `column` is the position in it, in characters
    /// from 1.
    #[must_use]
    pub fn new(column: usize, text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim_end();
        let position = column.saturating_sub(1);
        let skipped = position.saturating_sub(EXCERPT_CHARACTERS / 2);
        let skipped = if text.chars().nth(EXCERPT_CHARACTERS).is_some() { skipped } else { 0 };
        let text = text.chars().skip(skipped).take(EXCERPT_CHARACTERS).map(visible).collect();
        Self { text, before_caret: position.saturating_sub(skipped) }
    }

    /// Returns the part of the line that is shown.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns two lines, each preceded by a line break: the text with the line's number, and a
    /// caret under the position. Empty if there is nothing to show.
    #[must_use]
    pub fn shown(&self, line: impl fmt::Display) -> String {
        if self.text.is_empty() {
            return String::new();
        }
        let number = format!("{line}");
        let margin = " ".repeat(number.len());
        // Tabs before the caret keep it under its position, whatever their width is.
        let blank: String = self
            .text
            .chars()
            .chain(std::iter::repeat(' '))
            .take(self.before_caret.min(EXCERPT_CHARACTERS))
            .map(|letter| if letter == '\t' { '\t' } else { ' ' })
            .collect();
        format!("\n {number} | {}\n {margin} | {blank}^", self.text)
    }
}

/// Replaces control characters, which terminals would interpret.
fn visible(letter: char) -> char {
    if letter.is_control() && letter != '\t' { char::REPLACEMENT_CHARACTER } else { letter }
}
