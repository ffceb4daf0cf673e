//! A change of a text, and the reason if none is possible.

use std::ops::Range;

use granit_parser::Span;

/// Reason why a text can't be edited in place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Obstacle(pub(super) String);

/// A part of the text and its replacement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// Returns the byte range of a node.
pub(super) fn range(span: &Span) -> Result<Range<usize>, Obstacle> {
    span.byte_range().ok_or_else(|| Obstacle("the parser gives no positions".to_owned()))
}
