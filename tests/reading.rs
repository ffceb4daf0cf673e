//! prestop's own JSON reader compared with `serde_json`: it never accepts what `serde_json`
//! refuses, never gives another value, and is never uncertain about ordinary JSON. The texts
//! include hostile ones.

use prestop_core::engine::pod::Pod;
use prestop_core::view::json::skip;
use prestop_core::view::read_certain;
use prestop_fuzz::json_reader::{agrees, whole};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use prestop_fuzz::generators::{any_pod, config};

/// Texts that are valid, invalid, or nearly valid. Each is read alone, in a list and in an object.
const ODD: &[&str] = &[
    "",
    " ",
    "nul",
    "null",
    "nullx",
    "truE",
    "true",
    "false",
    "falsey",
    "0",
    "-0",
    "00",
    "01",
    "-",
    "- 1",
    "-01",
    "+1",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1E+5",
    "1e",
    "1e+",
    "1e999",
    "-1e-999",
    "0.0e0",
    "999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "NaN",
    "Infinity",
    "0x10",
    r#"""#,
    r#""""#,
    r#""a"#,
    r#""a\"#,
    r#""a\""#,
    r#""\q""#,
    r#""\u""#,
    r#""\u12""#,
    r#""\u12g4""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#""\udc00""#,
    r#""\ud83d\ude00""#,
    r#""\ud800\ud800""#,
    r#""\ud800x""#,
    r#""\"\\\/\b\f\n\r\t\u00e4""#,
    "\"a\u{1}b\"",
    "\"abcdefgh\u{1f}\"",
    "\"abcdefgh\u{7f}\"",
    "\"tab\tin it\"",
    "\"line\nin it\"",
    "\"\u{e4}\u{2028}\u{1f600}\"",
    "\"\u{c0}\u{a2}\u{dc}\"",
    "'a'",
    "[",
    "]",
    "[]",
    "[ ]",
    "[,]",
    "[1,]",
    "[1 2]",
    "[1,,2]",
    "[1}",
    "{",
    "}",
    "{}",
    "{ }",
    "{,}",
    r#"{"a"}"#,
    r#"{"a":}"#,
    r#"{"a":1,}"#,
    r#"{"a":1 "b":2}"#,
    r#"{"a" : 1 , "b" : [ { } ] }"#,
    r"{a:1}",
    r"{1:1}",
    r#"{"a":1,"a":"two"}"#,
    r#"{"a":1]"#,
    r#"{"\ud800":1}"#,
    "{\"a\u{0}\":1}",
    "\u{feff}null",
    "null\u{a0}",
    "null\u{c}",
    "/* */ null",
    "null // no",
    "null null",
];

fn wrapped(text: &str) -> [String; 5] {
    [
        text.to_owned(),
        format!(" [ {text} ]\r\n"),
        format!("{{\"key\":{text}\t}}"),
        format!("[0,{text},\"{}\"]", "x".repeat(40)),
        format!(r#"{{"metadata":{{"name":{text},"labels":{{"x":{text}}}}},"spec":{text}}}"#),
    ]
}

#[test]
fn odd_texts_are_read_as_serde_json_reads_them() {
    for odd in ODD {
        for text in wrapped(odd) {
            agrees(&text);
        }
    }
}

/// The reader checks many bytes of a long text at a time: the special characters are at every
/// position.
#[test]
fn long_texts_are_read_with_any_content() {
    for length in [0, 8, 63, 64, 65, 128, 150] {
        for special in ["\"", "\\\"", "\\n", "\\ud800", "\\", "\u{1}", "\u{e4}"] {
            for place in 0..=length {
                let (start, end) = ("a".repeat(place), "a".repeat(length - place));
                let text = format!("\"{start}{special}{end}\"");
                agrees(&format!(
                    r#"{{"metadata":{{"name":{text},"deletionTimestamp":{text},"annotations":{{"note":{text}}}}}}}"#
                ));
            }
        }
    }
}

#[test]
fn depth_is_bounded_and_no_stack_overflows() {
    for depth in [1, 2, 62, 63, 64, 65, 126, 127, 128, 129, 1_000, 1_000_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            agrees(&format!("{open}1{close}"));
            agrees(&format!("{open}1"));
            agrees(&format!("{open}1{close}{close}"));
            agrees(&format!(r#"{{"spec":{{"x":{open}1{close}}}}}"#));
        }
    }
    let deepest = skip::DEEPEST as usize;
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(skip::value(nested(deepest).as_bytes()).is_some());
    assert!(skip::value(nested(deepest + 1).as_bytes()).is_none());
}

#[test]
fn a_review_of_the_api_server_is_not_in_doubt() {
    let review = include_str!("../examples/admission-review.json").trim_end();
    agrees(review);
    let value: Value = serde_json::from_str(review).unwrap();
    assert_eq!(read_certain(review).map(whole), Some(value.clone()));
    for length in 0..review.len() {
        assert_eq!(skip::value(&review.as_bytes()[..length]), None, "{length}");
    }
    for text in [value.to_string(), format!("{value:#}")] {
        assert!(read_certain::<Pod<'_>>(&text).is_some());
        assert_eq!(skip::value(text.as_bytes()), Some(&b""[..]));
    }
}

fn white() -> impl Strategy<Value = &'static str> {
    select(&["", "", "", "", " ", "\n", "\t", "\r\n  "][..])
}

fn string() -> impl Strategy<Value = String> {
    let letter = prop_oneof![
        8 => "[a-z./:-]{1,12}",
        1 => select(&[r#"\""#, r"\\", r"\/", r"\b", r"\n", r"\u0041", r"\u00e4", r"\ud83d\ude00",
            r"\ud800", r"\x", r"\u00", "\u{e4}", "\u{1f600}", "\u{1}", "\n"][..]).prop_map(str::to_owned),
    ];
    prop::collection::vec(letter, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

/// Generates JSON texts with all the freedom of the grammar and occasional mistakes.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => string(),
        3 => any::<i64>().prop_map(|number| number.to_string()),
        1 => select(ODD).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let member = (string(), white(), inner.clone())
            .prop_map(|(key, white, value)| format!("{key}{white}:{white}{value}"));
        let joined = |items: Vec<String>, white: &str| items.join(&format!("{white},{white}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..6), white()).prop_map(move |(items, white)| format!(
                "[{white}{}{white}]",
                joined(items, white)
            )),
            (prop::collection::vec(member, 0..6), white()).prop_map(move |(items, white)| format!(
                "{{{white}{}{white}}}",
                joined(items, white)
            )),
        ]
    })
}

/// Returns the text with some bytes changed, removed or inserted, or with its end cut off.
fn damaged(text: &str, damages: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, byte, kind) in damages {
        if bytes.is_empty() {
            break;
        }
        let place = place.index(bytes.len());
        match kind {
            0 => bytes[place] = *byte,
            1 => drop(bytes.remove(place)),
            2 => bytes.insert(place, *byte),
            _ => bytes.truncate(place),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_is_read_as_serde_json_reads_it(text in json_text()) {
        agrees(&text);
        agrees(&format!(r#"{{"metadata":{text},"spec":{{"containers":[{text}]}}}}"#));
    }

    #[test]
    fn damaged_texts_are_read_as_serde_json_reads_them(
        text in prop_oneof![json_text(), any_pod().prop_map(|pod| pod.to_string())],
        damages in prop::collection::vec((any::<Index>(), prop_oneof![any::<u8>(), select(&b"\"\\[]{},:0-"[..])], 0..4_u8), 1..4),
    ) {
        let bytes = damaged(&text, &damages);
        // Bodies that are not UTF-8 are refused before they are read.
        if let Ok(text) = str::from_utf8(&bytes) {
            agrees(text);
        }
        // Any bytes are skipped without a panic.
        let _ = skip::value(&bytes);
    }

    #[test]
    fn pods_are_not_in_doubt(pod in any_pod()) {
        let text = pod.to_string();
        agrees(&text);
        prop_assert_eq!(skip::value(text.as_bytes()), Some(&b""[..]));
    }
}
