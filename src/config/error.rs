//! Errors in a configuration, shown in their line.

use std::fmt;

use prestop_manifest::Excerpt;
use serde_saphyr::Location;
use thiserror::Error;

/// More is not read by anybody; the rest is counted.
const MOST_PROBLEMS: usize = 20;

/// Everything that is wrong with a configuration.
///
/// Shown as one block for each problem: `line:column: path: message`, the line itself and a caret
/// under the column. [`ConfigError::in_file`] puts a file's name in front of each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
    left_out: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the text, from 1.
    pub line: u64,
    /// Column of the text in characters, from 1.
    pub column: u64,
    /// The field: `profiles.entries[2].quit.signal`. Empty where the whole text is meant.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub message: String,
    excerpt: Option<Excerpt>,
}

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// From 1.
    pub(super) line: u64,
    /// In characters, from 1.
    pub(super) column: u64,
}

/// A problem before the text is at hand.
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
    /// Puts the findings in the order of the text, and shows each in it.
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

    /// The problems in the order of the text; at least one, and not more than twenty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many more there are.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// The same, each problem with the file's name in front: `prestop.yaml:7:10: …`.
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
    /// Of the field with this path.
    pub(super) fn new(path: &str, place: Position, message: String) -> Self {
        Self { path: path.to_owned(), place, message }
    }

    /// Of the text as a whole.
    pub(super) fn of_file(message: &str) -> Self {
        Self { path: String::new(), place: Position::START, message: message.to_owned() }
    }
}

/// Of the line with the place, if there is something on it.
fn excerpt(text: &str, place: Position) -> Option<Excerpt> {
    let (line, column) = (usize::try_from(place.line).ok()?, usize::try_from(place.column).ok()?);
    let text = text.lines().nth(line.checked_sub(1)?).filter(|text| !text.trim().is_empty())?;
    Some(Excerpt::new(column, text))
}

/// A text of the file as a terminal may have it: one character for each, none that controls.
fn visible(text: &str) -> String {
    let letter = |letter: char| match letter {
        '\t' => ' ',
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        letter => letter,
    };
    text.chars().map(letter).collect()
}
