//! Manifests as text: streams of YAML and JSON documents, read as values and edited in place.
//!
//! [`Documents`] splits a stream into [`Document`]s without losing a byte. A document returns its
//! [value](Document::value) as `kubectl` would read it, and applies a JSON patch to its
//! [text](Document::edited): only the added lines differ, so comments, the order of keys, quotes,
//! blank lines and line breaks stay as their author wrote them. The edited text is parsed again and
//! compared; if it can't be edited safely, the document is rewritten, and the reason is returned.
//!
//! This crate handles YAML and JSON, and contains nothing that is specific to Kubernetes.

mod aliases;
mod change;
mod duplicates;
mod edit;
mod error;
mod excerpt;
mod insert;
mod items;
mod json_scan;
mod locate;
mod patch;
mod read;
mod remove;
mod render;
mod stream;
mod wanted;

use std::collections::HashMap;

use json_patch::Patch;
use serde_json::Value;

pub use self::error::ManifestError;
pub use self::excerpt::Excerpt;
pub use self::items::{ListItem, ListOfItems};
pub use self::patch::apply_patch;
pub use self::stream::{Documents, LARGEST_DOCUMENT_BYTES};

/// Notation of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Block or flow YAML.
    Yaml,
    /// One JSON value and white space, nothing else.
    Json,
}

/// One document of a stream, and its position there. The texts of all documents, concatenated, are
/// the stream, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Number in the stream, from 1. Empty documents count.
    pub number: usize,
    /// Line of the stream on which the text begins, from 1.
    pub first_line: usize,
    /// Notation of the text.
    pub format: Format,
    /// All bytes from the beginning of this document to the next one, including `---` lines,
    /// comments and the byte order mark.
    pub text: String,
}

/// A document's value as `kubectl` reads it, with notes about ambiguities.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The value. Of duplicate keys in a mapping the last one counts, as in `kubectl`.
    pub value: Value,
    /// The duplicate keys, in the order of the text.
    pub duplicates: Vec<DuplicateKey>,
}

/// A key that its mapping already contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateKey {
    /// JSON pointer to the key's value.
    pub pointer: String,
    /// The key.
    pub key: String,
    /// Line in the stream, from 1.
    pub line: usize,
    /// Character on that line, from 1.
    pub column: usize,
}

/// A position in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPlace {
    /// Line, from 1.
    pub line: usize,
    /// Character on that line, from 1.
    pub column: usize,
}

/// A document after a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The new text; it parses as the patched value.
    pub text: String,
    /// Whether the author's layout was kept.
    pub layout: Layout,
    /// The replaced values with their old texts; none if the document was rewritten.
    pub replaced: Vec<Replaced>,
    /// Whether all texts that were to be restored were used.
    pub has_texts: bool,
}

/// The text of a value that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// JSON pointer to the value.
    pub pointer: String,
    /// The text after the key's colon; in a block mapping, up to the end of the value's last line.
    pub text: String,
}

/// Effect of an edit on the layout of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Only the parts that the patch adds or replaces differ.
    Kept,
    /// The document was rewritten from the value: correct, but without comments, anchors and the
    /// author's layout.
    Rewritten {
        /// Reason why the text could not be edited.
        reason: String,
    },
}

/// Writes a value as a YAML document, without `---`, such that every reader of YAML 1.1 and 1.2
/// reads the same value.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    render::BlockStyle { line_break: "\n", list_step: 0 }.document(value)
}

impl Document {
    /// Returns the document's value; `None` if there is none (only comments, or `null`).
    ///
    /// Aliases and merge keys are resolved, `0644` is octal, and `yes`, `no`, `on`, `off` are
    /// booleans, all as in `kubectl`. Keys are strings as they are written (`8080: http` has the
    /// key `"8080"`).
    ///
    /// # Errors
    /// Returns an error if the text is not a document: invalid syntax, a duplicate key, a key that
    /// is not a scalar, a number that JSON can't express, nesting deeper than 64, or aliases that
    /// expand to far more than the text.
    pub fn value(&self) -> Result<Option<Value>, ManifestError> {
        read::value(self)
    }

    /// Returns the document's value with its duplicate keys, which are allowed here; `None` if the
    /// document has no value.
    ///
    /// # Errors
    /// Returns the errors of [`value`](Self::value), except those for duplicate keys.
    pub fn read(&self) -> Result<Option<Reading>, ManifestError> {
        read::reading(self)
    }

    /// Returns the position of each key and of each list item, by its JSON pointer. Values from an
    /// alias or a merge key are not included.
    #[must_use]
    pub fn places(&self) -> HashMap<String, TextPlace> {
        duplicates::places(&self.text, self.first_line)
    }

    /// Returns the error for a duplicate key that matters.
    #[must_use]
    pub fn duplicate_error(&self, duplicate: &DuplicateKey) -> ManifestError {
        let line = duplicate.line.saturating_sub(self.first_line).saturating_add(1);
        self.error(line, duplicate.column, read::duplicate_message(&duplicate.key))
    }

    /// Applies a patch to the text; `before` is the document's [value](Self::value).
    ///
    /// Members that are added to mappings or removed and values that are replaced change only their
    /// own lines; comments inside a replaced mapping or list are removed with it. Any other
    /// operation, and any position where it would change more than the patch contains (an anchor
    /// that is used elsewhere), causes the whole document to be rewritten.
    ///
    /// # Errors
    /// Returns an error if the patch does not apply to `before`, or the value can't be written as a
    /// document.
    pub fn edited(&self, before: &Value, patch: &Patch) -> Result<Edited, ManifestError> {
        edit::edited(self, before, patch, &HashMap::new())
    }

    /// Applies a patch to the text, and restores the former texts of replaced values: `texts`
    /// contains them, by JSON pointer (see [`Replaced`]). If the result does not parse as the
    /// patched value, none of these texts is used, and [`Edited::has_texts`] is false.
    ///
    /// # Errors
    /// Returns the errors of [`edited`](Self::edited).
    pub fn edited_back(
        &self,
        before: &Value,
        patch: &Patch,
        texts: &HashMap<String, String>,
    ) -> Result<Edited, ManifestError> {
        edit::edited(self, before, patch, texts)
    }

    /// Creates an error at a line and column of this document, both from 1.
    fn error(&self, line: usize, column: usize, message: String) -> ManifestError {
        let text = self.text.lines().nth(line.saturating_sub(1));
        ManifestError::new(
            self.number,
            self.first_line.saturating_add(line).saturating_sub(1),
            column,
            message,
            text.unwrap_or_default(),
        )
    }
}
