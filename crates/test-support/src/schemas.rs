//! Schemas published by other projects, fetched by `tests/tools/schemas`.

use std::fs;

use serde_json::Value;

use crate::root;

/// Returns the text of a schema.
pub fn schema(file: &str) -> String {
    let text = fs::read_to_string(root().join("target/tools/schemas").join(file));
    text.unwrap_or_else(|error| panic!("{file}: {error}; run tests/tools/schemas"))
}

/// Returns SARIF's schema, without the invalid pattern of an unused field, which has a bracket too
/// many.
pub fn sarif() -> Value {
    let mut sarif: Value = serde_json::from_str(&schema("sarif.json")).unwrap();
    for place in ["run", "toolComponent"] {
        let language = format!("/definitions/{place}/properties/language");
        let language = sarif.pointer_mut(&language).and_then(Value::as_object_mut);
        language.unwrap().remove("pattern");
    }
    sarif
}
