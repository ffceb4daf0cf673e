//! Types shared by all entries: values with their positions, and errors that name them.

use serde_saphyr::Spanned;
use thiserror::Error;

/// An invalid field of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub(crate) struct FieldError {
    /// Path of the field, such as `profiles[2].quit.signal`.
    pub path: String,
    /// Line of the text, from 1.
    pub line: u64,
    /// Column of the text, from 1.
    pub column: u64,
    /// The error and the allowed values.
    pub message: String,
}

/// Parses each value and reports each that is invalid.
pub(super) fn each<T, E: ToString>(
    values: &[Spanned<String>],
    path: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<T>> {
    let values = values.iter().enumerate();
    all(values
        .map(|(index, value)| keep(parsed(value, &format!("{path}[{index}]"), &parse), errors)))
}

/// Returns all values, or `None` if one is missing; evaluates every value in any case.
pub(super) fn all<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let values: Vec<Option<T>> = values.collect();
    values.into_iter().collect()
}

pub(super) fn keep<T>(result: Result<T, FieldError>, errors: &mut Vec<FieldError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

pub(super) fn parsed<T, E: ToString>(
    value: &Spanned<String>,
    path: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, FieldError> {
    parse(&value.value).map_err(|cause| error(path, value, cause.to_string()))
}

pub(super) fn error<T>(path: &str, at: &Spanned<T>, message: impl Into<String>) -> FieldError {
    FieldError {
        path: path.to_owned(),
        line: at.referenced.line(),
        column: at.referenced.column(),
        message: message.into(),
    }
}
