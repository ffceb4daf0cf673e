//! Manifests as text: streams are split without loss, errors have a position and a reason, and
//! patches change only the necessary lines.

mod bad_input;
mod editing;
mod properties;
mod reading;
mod streams;

use std::io::BufReader;

use prestop_manifest::{Document, Documents, ManifestError};
use serde_json::Value;

/// Reads the documents of a text, in small pieces, so that nothing depends on the boundaries of a
/// buffer.
fn documents(text: &[u8]) -> Vec<Result<Document, ManifestError>> {
    Documents::new(BufReader::with_capacity(7, text)).collect()
}

/// Reads the only document of a text.
fn document(text: &str) -> Document {
    let mut all = documents(text.as_bytes());
    assert_eq!(all.len(), 1, "{text:?}");
    all.remove(0).unwrap()
}

fn value(text: &str) -> Value {
    document(text).value().unwrap().unwrap()
}
