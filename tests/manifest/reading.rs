//! Values are the same as `kubectl` would read.

use serde_json::json;

use super::{document, documents, value};

#[test]
fn scalars_are_those_of_yaml_1_1() {
    let text = "\
mode: 0644
quoted: \"0644\"
modern: 0o644
hex: 0x1F
flags: [yes, No, ON, off, true, False]
words: ['yes', \"no\", !!str on]
nothing: [~, null, Null, ]
large: 18446744073709551615
small: -9223372036854775808
float: 1.5
date: 2001-01-01
minutes: 10:30
image: nginx:1.27
";
    assert_eq!(
        value(text),
        json!({
            "mode": 420, "quoted": "0644", "modern": 420, "hex": 31,
            "flags": [true, false, true, false, true, false],
            "words": ["yes", "no", "on"],
            "nothing": [null, null, null],
            "large": 18_446_744_073_709_551_615_u64, "small": i64::MIN,
            "float": 1.5, "date": "2001-01-01", "minutes": "10:30", "image": "nginx:1.27",
        })
    );
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let text = "\
base: &base {a: 1, b: 2}
one:
  <<: *base
  b: 3
two: *base
";
    assert_eq!(
        value(text),
        json!({"base": {"a": 1, "b": 2}, "one": {"a": 1, "b": 3}, "two": {"a": 1, "b": 2}})
    );
}

#[test]
fn one_anchor_may_be_used_often() {
    let text = format!("a: &a {{x: 1}}\nb: [{}]\n", vec!["*a"; 5000].join(", "));
    assert_eq!(value(&text)["b"].as_array().unwrap().len(), 5000);
}

#[test]
fn keys_are_strings_as_written() {
    assert_eq!(
        value("8080: http\n0x1: b\ntrue: c\n\"on\": d\n"),
        json!({"8080": "http", "0x1": "b", "true": "c", "on": "d"})
    );
}

#[test]
fn documents_may_be_anything() {
    for text in ["# c\n", "---\n", "---\n...\n", "null\n", "~", "--- # c\n\n", "\u{feff}", "\n"] {
        assert_eq!(document(text).value(), Ok(None), "{text:?}");
    }
    assert_eq!(value("--- word\n"), json!("word"));
    assert_eq!(value("- 1\n- a: b\n"), json!([1, {"a": "b"}]));
    assert_eq!(value("--- |\n  text\n"), json!("text\n"));
    assert_eq!(value("[1, {\"a\": null}]"), json!([1, {"a": null}]));
}

#[test]
fn json_is_exact() {
    let text =
        "\u{feff}{\"a\": 18446744073709551615, \"b\": -1, \"c\": 0.1, \"d\": \"\\ud83d\\ude00\"}\n";
    assert_eq!(value(text), json!({"a": u64::MAX, "b": -1, "c": 0.1, "d": "😀"}));
    // Looks like JSON until its last word.
    assert_eq!(value("{\"a\": tales}\n"), json!({"a": "tales"}));
    assert_eq!(value("{\"a\": 1} # c\n"), json!({"a": 1}));
}

#[test]
fn directives_line_breaks_and_marks_are_no_values() {
    assert_eq!(value("%YAML 1.2\n---\na: 1\n"), json!({"a": 1}));
    assert_eq!(value("\u{feff}a: |\r\n  x\r\n  y\r\n"), json!({"a": "x\ny\n"}));
    let all = documents("a: 1\n\u{feff}---\nb: 2\n".as_bytes());
    let second = all[1].as_ref().unwrap();
    assert_eq!(second.value(), Ok(Some(json!({"b": 2}))));
}

#[test]
fn many_comments_are_no_error() {
    let text = format!("a:\n{}  - b\n", "  # c\n".repeat(5000));
    assert_eq!(value(&text), json!({"a": ["b"]}));
}

#[test]
fn deep_is_read_and_too_deep_is_reported() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for text in [nested(60), format!("--- {}", nested(60))] {
        assert!(document(&text).value().unwrap().is_some());
    }
    let block: String = (0..60).map(|depth| format!("{}a:\n", "  ".repeat(depth))).collect();
    assert!(document(&block).value().unwrap().is_some());
}

#[test]
fn a_large_list_is_read() {
    let item = "- metadata: {name: a, labels: {a: b}}\n  spec:\n    containers:\n    - name: web\n      image: nginx\n";
    let text = format!("kind: List\nitems:\n{}", item.repeat(30_000));
    assert_eq!(value(&text)["items"].as_array().unwrap().len(), 30_000);
}
