//! Manifests as text: streams of YAML and JSON documents, read as values and edited in place.
//!
//! [`Documents`] cuts a stream into [`Document`]s without losing a byte. A document gives its
//! [value](Document::value) as `kubectl` would read it, and takes a JSON patch into its
//! [text](Document::edited): only the added lines differ, so comments, the order of keys, quotes,
//! blank lines and line breaks stay as their author wrote them. The edited text is parsed again and
//! compared; if it can't be edited safely, the document is rewritten, and the reason is returned.
//!
//! This module knows YAML and JSON, and nothing of Kubernetes.

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
pub use self::stream::{Documents, LARGEST_DOCUMENT_BYTES};

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Block or flow YAML.
    Yaml,
    /// One JSON value; nothing else but white space.
    Json,
}

/// One document of a stream, and its place there. The texts of all documents, one after the other,
/// are the stream, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its number in the stream, from 1. Empty documents count.
    pub number: usize,
    /// The line of the stream on which its text begins, from 1.
    pub first_line: usize,
    /// How it is written.
    pub format: Format,
    /// Everything from its first byte to the next document, with `---` lines, comments and the
    /// byte order mark.
    pub text: String,
}

/// A document's value as `kubectl` reads it, with notes about ambiguities.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Of duplicate keys in a mapping the last value, as for `kubectl`.
    pub value: Value,
    /// The duplicate keys, in the order of the text.
    pub duplicates: Vec<DuplicateKey>,
}

/// A key that its mapping has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateKey {
    /// JSON pointer to the key's value.
    pub pointer: String,
    /// The key.
    pub key: String,
    /// The line of the stream, from 1.
    pub line: usize,
    /// The character on that line, from 1.
    pub column: usize,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPlace {
    /// The line, from 1.
    pub line: usize,
    /// The character on that line, from 1.
    pub column: usize,
}

/// A document after a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The new text; it reads as the patched value.
    pub text: String,
    /// What happened to the author's layout.
    pub layout: Layout,
    /// The replaced values; none if the document was rewritten.
    pub replaced: Vec<Replaced>,
    /// Whether each of the texts that were to be written again was.
    pub has_texts: bool,
}

/// The text of a value that gave way to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// JSON pointer to the value.
    pub pointer: String,
    /// Everything behind the key's colon, in a block mapping to the end of the value's last line.
    pub text: String,
}

/// How an edit changed the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Only what the patch adds or replaces is different.
    Kept,
    /// Rewritten from the value: correct, but without comments, anchors and the author's layout.
    Rewritten {
        /// Why the text could not be edited.
        reason: String,
    },
}

/// A value as a YAML document that every reader of YAML 1.1 and 1.2 reads as the same value, without `---`.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    render::BlockStyle { line_break: "\n", list_step: 0 }.document(value)
}

impl Document {
    /// The document's value, `None` where there is none (nothing but comments, or `null`).
    ///
    /// Aliases and merge keys are resolved, `0644` is octal, and `yes`, `no`, `on`, `off` are
    /// booleans, all as in `kubectl`. Keys are strings as they are written (`8080: http` has the
    /// key `"8080"`).
    ///
    /// # Errors
    /// When the text is not a document: bad syntax, a key given twice, a key that is no scalar,
    /// a number that JSON does not have, nesting deeper than 64, or aliases that expand to far
    /// more than is written.
    pub fn value(&self) -> Result<Option<Value>, ManifestError> {
        read::value(self)
    }

    /// The document's value if duplicate keys are allowed; `None` if [`value`](Self::value) returns it.
    ///
    /// # Errors
    /// Those of [`value`](Self::value) but for keys that are given twice.
    pub fn read(&self) -> Result<Option<Reading>, ManifestError> {
        read::reading(self)
    }

    /// The place of each key and of each item of a list, by its JSON pointer. What comes from an alias or a
    /// merge key is not in it.
    #[must_use]
    pub fn places(&self) -> HashMap<String, TextPlace> {
        duplicates::places(&self.text, self.first_line)
    }

    /// The error for a duplicate key that matters.
    #[must_use]
    pub fn duplicate_error(&self, duplicate: &DuplicateKey) -> ManifestError {
        let line = duplicate.line.saturating_sub(self.first_line).saturating_add(1);
        self.error(line, duplicate.column, read::duplicate_message(&duplicate.key))
    }

    /// The text with a patch applied; `before` is the document's [value](Self::value).
    ///
    /// Members that are added to mappings or removed and values that are replaced change only their own
    /// lines; comments within a mapping or list that is replaced go with it. Anything else, and any
    /// place where that would change more than the patch says (an anchor that is used elsewhere),
    /// causes the whole document to be rewritten.
    ///
    /// # Errors
    /// When the patch does not apply to `before`, or the value can't be written as a document.
    pub fn edited(&self, before: &Value, patch: &Patch) -> Result<Edited, ManifestError> {
        edit::edited(self, before, patch, &HashMap::new())
    }

    /// The text with a patch applied, where values that it replaces are written as they once were: as `texts`
    /// has them, by JSON pointer (see [`Replaced`]). If the result does not parse as the patched value,
    /// none of these texts is used, and [`Edited::has_texts`] says so.
    ///
    /// # Errors
    /// Those of [`edited`](Self::edited).
    pub fn edited_back(
        &self,
        before: &Value,
        patch: &Patch,
        texts: &HashMap<String, String>,
    ) -> Result<Edited, ManifestError> {
        edit::edited(self, before, patch, texts)
    }

    /// An error at a line and column of this document, both from 1.
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
