//! Manifests as text: streams are cut without loss, bad input is reported where and why, and patches
//! change only the lines that they are about.

mod bad_input;
mod editing;
mod properties;
mod reading;
mod streams;

use std::io::BufReader;

use prestop_manifest::{Document, Documents, ManifestError};
use serde_json::Value;

/// The documents of a text. Small reads, so that nothing relies on a buffer's borders.
fn documents(text: &[u8]) -> Vec<Result<Document, ManifestError>> {
    Documents::new(BufReader::with_capacity(7, text)).collect()
}

/// The only document of a text.
fn document(text: &str) -> Document {
    let mut all = documents(text.as_bytes());
    assert_eq!(all.len(), 1, "{text:?}");
    all.remove(0).unwrap()
}

fn value(text: &str) -> Value {
    document(text).value().unwrap().unwrap()
}
