//! Errors in a configuration, shown in their line.

use std::fmt;

use prestop_manifest::Excerpt;
use serde_saphyr::Location;
use thiserror::Error;

/// Maximum number of problems that are shown, since more would not be read; the rest is counted.
const MOST_PROBLEMS: usize = 20;

/// All errors in a configuration.
///
/// Shown as one block for each problem: `line:column: path: message`, the line itself and a caret
/// under the column. [`ConfigError::in_file`] puts a file's name in front of each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
    left_out: usize,
}

/// One error in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the text, from 1.
    pub line: u64,
    /// Column of the text in characters, from 1.
    pub column: u64,
    /// The field, such as `profiles.entries[2].quit.signal`. Empty for an error of the whole text.
    pub path: String,
    /// The error and the allowed values.
    pub message: String,
    excerpt: Option<Excerpt>,
}

/// A position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Line, from 1.
    pub(super) line: u64,
    /// Column in characters, from 1.
    pub(super) column: u64,
}

/// A problem without the line of the text.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) place: Position,
    pub(super) message: String,
}

/// An error with the name of its file in front of each problem.
struct InFile<'a> {
    error: &'a ConfigError,
    file: &'a str,
}

impl ConfigError {
    /// Sorts the findings by position, and adds the line of the text to each.
    pub(super) fn new(text: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.place);
        let left_out = findings.len().saturating_sub(MOST_PROBLEMS);
        let problems = findings
            .into_iter()
            .take(MOST_PROBLEMS)
            .map(|finding| Problem {
                line: finding.place.line,
                column: finding.place.column,
                path: visible(&finding.path),
                message: visible(&finding.message),
                excerpt: excerpt(text, finding.place),
            })
            .collect();
        Self { problems, left_out }
    }

    /// Returns the problems in the order of the text: at least one, at most twenty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the number of problems that are not shown.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Returns the error for display, with the file's name in front of each problem:
    /// `prestop.yaml:7:10: …`.
    #[must_use]
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        InFile { error: self, file }
    }

    fn fmt_with(&self, f: &mut fmt::Formatter<'_>, prefix: &str) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{prefix}{problem}")?;
        }
        if self.left_out > 0 {
            write!(f, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_with(f, "")
    }
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt_with(f, &format!("{}:", self.file))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            f.write_str(&excerpt.shown(self.line))?;
        }
        Ok(())
    }
}

impl Position {
    /// The first character of the text.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        if location == Location::UNKNOWN {
            return Self::START;
        }
        Self { line: location.line(), column: location.column() }
    }
}

impl Finding {
    /// Creates a finding about the field with this path.
    pub(super) fn new(path: &str, place: Position, message: String) -> Self {
        Self { path: path.to_owned(), place, message }
    }

    /// Creates a finding about the text as a whole.
    pub(super) fn of_file(message: &str) -> Self {
        Self { path: String::new(), place: Position::START, message: message.to_owned() }
    }
}

/// Returns an excerpt of the line with this position, if the line is not blank.
fn excerpt(text: &str, place: Position) -> Option<Excerpt> {
    let (line, column) = (usize::try_from(place.line).ok()?, usize::try_from(place.column).ok()?);
    let text = text.lines().nth(line.checked_sub(1)?).filter(|text| !text.trim().is_empty())?;
    Some(Excerpt::new(column, text))
}

/// Makes text from the file safe for a terminal: replaces each control character by another one.
fn visible(text: &str) -> String {
    let letter = |letter: char| match letter {
        '\t' => ' ',
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        letter => letter,
    };
    text.chars().map(letter).collect()
}
