//! Where new lines go, by what stands there.

use json_patch::Patch;
use prestop_manifest::Layout;
use serde_json::json;

use super::document;

/// The text with `b: {c: 1}` in the mapping at `a`.
fn with_b(text: &str) -> String {
    let document = document(text);
    let patch = json!([{"op": "add", "path": "/a/b", "value": {"c": 1}}]);
    let patch: Patch = serde_json::from_value(patch).unwrap();
    let value = document.value().unwrap().unwrap();
    let edited = document.edited(&value, &patch).unwrap();
    assert_eq!(edited.layout, Layout::Kept, "{text}");
    edited.text
}

#[test]
fn lines_go_behind_what_belongs_to_the_value_above() {
    for (before, after) in [
        ("a:\n  {}\n", "a:\n  b:\n    c: 1\n"),
        ("a:\n    {} # d\ne: f\n", "a:\n    b:\n      c: 1 # d\ne: f\n"),
        ("a: {}\n", "a:\n  b:\n    c: 1\n"),
        ("a:\n  d: |\ne: f\n", "a:\n  d: |\n  b:\n    c: 1\ne: f\n"),
        ("a:\n  d:\n  - >\n", "a:\n  d:\n  - >\n  b:\n    c: 1\n"),
        ("a:\n  d: e\n    # f\ng: h\n", "a:\n  d: e\n    # f\n  b:\n    c: 1\ng: h\n"),
        ("a:\n  d: e\n  # f\ng: h\n", "a:\n  d: e\n  b:\n    c: 1\n  # f\ng: h\n"),
        ("a:\n  d: e\n\n    # f\n", "a:\n  d: e\n  b:\n    c: 1\n\n    # f\n"),
        (
            "a:\n  d:\n  - e\n  # - f\n  #   g\n  # h\n",
            "a:\n  d:\n  - e\n  # - f\n  #   g\n  b:\n    c: 1\n  # h\n",
        ),
        ("{\"a\":{\"d\":1}}", "{\"a\":{\"d\":1,\"b\":{\"c\":1}}}"),
    ] {
        assert_eq!(with_b(before), after);
    }
}
