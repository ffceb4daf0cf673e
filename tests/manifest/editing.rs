//! Position of inserted lines, depending on the surrounding text.

use json_patch::Patch;
use prestop_manifest::Layout;
use serde_json::json;

use super::document;

/// Returns the text with `b: {c: 1}` added to the mapping at `a`.
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

/// Returns the text after a patch, which must not change its layout.
fn patched(text: &str, patch: serde_json::Value) -> String {
    let document = document(text);
    let patch: Patch = serde_json::from_value(patch).unwrap();
    let edited = document.edited(&document.value().unwrap().unwrap(), &patch).unwrap();
    assert_eq!(edited.layout, Layout::Kept, "{text}");
    edited.text
}

#[test]
fn entries_are_taken_out_with_their_lines() {
    let remove = json!([{"op": "remove", "path": "/a/b"}]);
    for (before, after) in [
        ("a:\n  b: 1\n  c: 2\n", "a:\n  c: 2\n"),
        ("a:\n  c: 2 # d\n  b:\n    e: 1\n  # f\ng: h\n", "a:\n  c: 2 # d\n  # f\ng: h\n"),
        ("a:\n  c: 2\n  b: |\n    x\n\n    y\ng: h\n", "a:\n  c: 2\ng: h\n"),
        ("a:\n  c: 2\n  b: 1", "a:\n  c: 2"),
        ("a:\r\n  c: 2\r\n  b: 1", "a:\r\n  c: 2"),
        ("a: {c: 2, b: 1}\n", "a: {c: 2}\n"),
        ("a: {b: 1, c: 2}\n", "a: {c: 2}\n"),
        ("{\"a\":{\"c\":2,\"b\":{\"d\":1}}}", "{\"a\":{\"c\":2}}"),
        (
            "{\n  \"a\": {\n    \"c\": 2,\n    \"b\": 1\n  }\n}\n",
            "{\n  \"a\": {\n    \"c\": 2\n  }\n}\n",
        ),
        ("a: {\n  c: 2, # d\n  b: 1\n}\n", "a: {\n  c: 2 # d\n}\n"),
        ("a: {\n  c: 2,\n  b: 1,\n}\n", "a: {\n  c: 2,\n}\n"),
    ] {
        assert_eq!(patched(before, remove.clone()), after, "{before:?}");
    }
}

#[test]
fn collections_give_way_to_other_values() {
    let replace =
        |value: serde_json::Value| json!([{"op": "replace", "path": "/a/b", "value": value}]);
    for (before, value, after) in [
        (
            "a:\n  b: # c\n    d: 1\n  e: 2\n",
            json!({"f": [1]}),
            "a:\n  b: # c\n    f:\n    - 1\n  e: 2\n",
        ),
        ("a:\n  b: {d: 1}\n  e: 2\n", json!({"f": 3}), "a:\n  b:\n    f: 3\n  e: 2\n"),
        ("a:\n  b:\n    d: 1\n  e: 2\n", json!({}), "a:\n  b: {}\n  e: 2\n"),
        ("a:\n  b:\n    d: 1", json!({}), "a:\n  b: {}"),
        ("a: {b: {d: 1}, e: 2}\n", json!({"f": 3}), "a: {b: {f: 3}, e: 2}\n"),
        ("{\"a\":{\"b\":{\"d\":1}}}", json!([]), "{\"a\":{\"b\":[]}}"),
    ] {
        assert_eq!(patched(before, replace(value)), after, "{before:?}");
    }
}
