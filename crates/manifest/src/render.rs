//! Values as text: block YAML, flow YAML and JSON, such that every reader of YAML 1.1 and 1.2 reads
//! the same value.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Number of columns by which mappings and literal text are indented below their key.
const STEP: usize = 2;

/// Style of new lines in block YAML.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockStyle {
    /// `\n` or `\r\n`.
    pub(super) line_break: &'static str,
    /// Number of spaces between the column of a key and the dashes of the list that is its value: 0
    /// or 2.
    pub(super) list_step: usize,
}

/// Style of a value inside braces and brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlowStyle {
    /// `{key: value}`
    Yaml,
    /// `{"key": "value"}`
    Json,
    /// `{"key":"value"}`
    CompactJson,
}

/// Indentation of new lines of pretty-printed JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonLines<'a> {
    /// White space before the entries of the mapping around the value.
    pub(super) indentation: &'a str,
    /// Additional white space for each level.
    pub(super) unit: &'a str,
    /// `\n` or `\r\n`.
    pub(super) line_break: &'a str,
}

impl BlockStyle {
    /// Writes a whole document, without `---`.
    pub(super) fn document(self, value: &Value) -> String {
        let mut out = String::new();
        match value {
            Value::Object(map) if !map.is_empty() => self.entries(&mut out, map, 0),
            Value::Array(items) if !items.is_empty() => self.items(&mut out, items, 0),
            scalar => {
                self.scalar(&mut out, scalar, 0);
                // The scalar is at the beginning of the document, so it needs no space before it.
                out.remove(0);
            }
        }
        out
    }

    /// Writes `key: value` and the lines below it, including the last line break, for a key at
    /// `column`. The caller writes the spaces before the key.
    pub(super) fn entry(self, out: &mut String, key: &str, value: &Value, column: usize) {
        out.push_str(&string(key, FlowStyle::Yaml));
        out.push(':');
        self.after_colon(out, value, column);
    }

    /// Writes the text after the colon of a key at `column`, and the lines below it.
    pub(super) fn after_colon(self, out: &mut String, value: &Value, column: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push_str(self.line_break);
                out.push_str(&spaces(column.saturating_add(STEP)));
                self.entries(out, map, column.saturating_add(STEP));
            }
            Value::Array(items) if !items.is_empty() => {
                let column = column.saturating_add(self.list_step);
                out.push_str(self.line_break);
                out.push_str(&spaces(column));
                self.items(out, items, column);
            }
            scalar => self.scalar(out, scalar, column),
        }
    }

    /// Writes the lines of a collection at `column`; the spaces before the first one have been
    /// written. Returns `None` for scalars and empty collections.
    pub(super) fn lines(self, out: &mut String, value: &Value, column: usize) -> Option<()> {
        match value {
            Value::Object(map) if !map.is_empty() => self.entries(out, map, column),
            Value::Array(items) if !items.is_empty() => self.items(out, items, column),
            _ => return None,
        }
        Some(())
    }

    /// Writes the entries of a mapping at `column`; the spaces before the first one have been
    /// written.
    fn entries(self, out: &mut String, map: &Map<String, Value>, column: usize) {
        for (index, (key, value)) in map.iter().enumerate() {
            if index > 0 {
                out.push_str(&spaces(column));
            }
            self.entry(out, key, value, column);
        }
    }

    /// Writes the items of a list at `column`; the spaces before the first one have been written.
    fn items(self, out: &mut String, items: &[Value], column: usize) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(&spaces(column));
            }
            out.push('-');
            let inner = column.saturating_add(STEP);
            match item {
                Value::Object(map) if !map.is_empty() => {
                    out.push(' ');
                    self.entries(out, map, inner);
                }
                Value::Array(items) if !items.is_empty() => {
                    out.push(' ');
                    self.items(out, items, inner);
                }
                scalar => self.scalar(out, scalar, column),
            }
        }
    }

    /// Writes a scalar or an empty collection, with the space before it and its line break.
    fn scalar(self, out: &mut String, value: &Value, column: usize) {
        out.push(' ');
        match value {
            Value::String(text) if reads_well_as_literal(text) => {
                let (body, header) = match text.strip_suffix('\n') {
                    Some(body) => (body, "|"),
                    None => (text.as_str(), "|-"),
                };
                out.push_str(header);
                for line in body.split('\n') {
                    out.push_str(self.line_break);
                    if !line.is_empty() {
                        out.push_str(&spaces(column.saturating_add(STEP)));
                        out.push_str(line);
                    }
                }
            }
            other => out.push_str(&flow(other, FlowStyle::Yaml)),
        }
        out.push_str(self.line_break);
    }
}

impl FlowStyle {
    const fn colon(self) -> &'static str {
        match self {
            Self::CompactJson => ":",
            Self::Yaml | Self::Json => ": ",
        }
    }

    /// Returns the separator of two entries.
    pub(super) const fn comma(self) -> &'static str {
        match self {
            Self::CompactJson => ",",
            Self::Yaml | Self::Json => ", ",
        }
    }
}

/// Returns whether a value is written on separate lines below its key.
pub(super) fn needs_lines(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => reads_well_as_literal(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns a value on one line.
pub(super) fn flow(value: &Value, style: FlowStyle) -> String {
    match value {
        Value::String(text) => string(text, style),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, style)).collect();
            format!("[{}]", items.join(style.comma()))
        }
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| flow_entry(key, value, style)).collect();
            format!("{{{}}}", entries.join(style.comma()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Returns `key: value` on one line.
pub(super) fn flow_entry(key: &str, value: &Value, style: FlowStyle) -> String {
    let (key, colon, value) = (string(key, style), style.colon(), flow(value, style));
    format!("{key}{colon}{value}")
}

/// Writes a JSON value on several lines, as the value of an entry.
pub(super) fn json_lines(out: &mut String, value: &Value, lines: JsonLines<'_>) {
    let (open, close, entries): (_, _, Vec<(Option<&String>, &Value)>) = match value {
        Value::Object(map) if !map.is_empty() => {
            ('{', '}', map.iter().map(|(key, value)| (Some(key), value)).collect())
        }
        Value::Array(items) if !items.is_empty() => {
            ('[', ']', items.iter().map(|item| (None, item)).collect())
        }
        other => return out.push_str(&flow(other, FlowStyle::Json)),
    };
    let indentation = format!("{}{}", lines.indentation, lines.unit);
    let inner = JsonLines { indentation: &indentation, ..lines };
    out.push(open);
    for (index, (key, value)) in entries.into_iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        out.push_str(lines.line_break);
        out.push_str(&indentation);
        if let Some(key) = key {
            out.push_str(&string(key, FlowStyle::Json));
            out.push_str(": ");
        }
        json_lines(out, value, inner);
    }
    out.push_str(lines.line_break);
    out.push_str(lines.indentation);
    out.push(close);
}

/// Writes a string in the simplest unambiguous style.
fn string(text: &str, style: FlowStyle) -> String {
    if style != FlowStyle::Yaml {
        return double_quoted(text);
    }
    if is_plain(text) {
        return text.to_owned();
    }
    // A text that contains quotes, such as JSON, is most readable in single quotes.
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if printable && text.contains(['"', '\\']) && !text.contains('\'') {
        return format!("'{text}'");
    }
    double_quoted(text)
}

/// Returns whether a text is read as a string without quotes, in block and flow style, by YAML 1.1
/// and 1.2: it begins like a word or a path, has no indicators, and is not a word with a special
/// meaning.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"];
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" _-./@+=$%();".contains(&byte);
    begins
        && text.bytes().all(plain)
        && !text.ends_with(' ')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// Writes a string in double quotes, which mean the same in JSON and in YAML; characters that are
/// not allowed unescaped in either of them are escaped.
fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if !is_printable(letter) => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    // Writing to a String does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Returns whether a letter is neither a control character, nor a line break of YAML 1.1, a byte
/// order mark or a noncharacter.
fn is_printable(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Returns whether a text of several lines is unchanged when it is written as a literal block
/// without an indentation indicator.
fn reads_well_as_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\t', '\n'])
        && body.split('\n').all(|line| {
            line.chars().all(|letter| letter == '\t' || is_printable(letter))
                // White space at the end of a line is invisible, and editors remove it.
                && !line.ends_with([' ', '\t'])
        })
}

pub(super) fn spaces(count: usize) -> String {
    " ".repeat(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STYLE: BlockStyle = BlockStyle { line_break: "\n", list_step: 0 };

    #[test]
    fn block_yaml_looks_as_people_write_it() {
        let value = json!({
            "exec": {"command": ["/bin/sh", "-c", "sleep 1\nkill -QUIT 1", "10", ""]},
            "list": [{"a": 1, "b": {"c": [[1, 2], []]}}, null, {}],
            "script": "one\n\ntwo\n"
        });
        let expected = "\
exec:
  command:
  - /bin/sh
  - -c
  - |-
    sleep 1
    kill -QUIT 1
  - \"10\"
  - \"\"
list:
- a: 1
  b:
    c:
    - - 1
      - 2
    - []
- null
- {}
script: |
  one

  two
";
        assert_eq!(STYLE.document(&value), expected.replace("- -c", "- \"-c\""));
        let indented = BlockStyle { line_break: "\r\n", list_step: 2 };
        assert_eq!(
            indented.document(&json!({"a": [1, {"b": "x\ny"}]})),
            "a:\r\n  - 1\r\n  - b: |-\r\n      x\r\n      y\r\n"
        );
    }

    #[test]
    fn strings_are_quoted_where_somebody_could_mistake_them() {
        let cases = [
            ("nginx", "nginx"),
            ("prestop.dev/status", "prestop.dev/status"),
            ("/usr/sbin/nginx -s quit", "/usr/sbin/nginx -s quit"),
            ("No", "\"No\""),
            ("y", "\"y\""),
            ("0644", "\"0644\""),
            ("1e3", "\"1e3\""),
            (".inf", "\".inf\""),
            ("-", "\"-\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("a ", "\"a \""),
            ("", "\"\""),
            ("~", "\"~\""),
            ("<<", "\"<<\""),
            ("{\"a\":1}", "'{\"a\":1}'"),
            ("it's \"x\"", "\"it's \\\"x\\\"\""),
            ("\u{85}\u{2028}\u{1b}", "\"\\u0085\\u2028\\u001b\""),
            ("é", "\"é\""),
        ];
        for (text, expected) in cases {
            assert_eq!(string(text, FlowStyle::Yaml), expected, "{text:?}");
        }
    }

    #[test]
    fn only_text_that_stays_exact_is_a_literal_block() {
        for text in ["a\nb", "a\nb\n", "a\n  b\n\nc", "#!/bin/sh\n\tx"] {
            assert!(reads_well_as_literal(text), "{text:?}");
        }
        for text in ["a", "a\n", "a\nb\n\n", " a\nb", "\na\nb", "a \nb", "a\r\nb", "\n"] {
            assert!(!reads_well_as_literal(text), "{text:?}");
        }
    }

    #[test]
    fn flow_is_on_one_line() {
        let value = json!({"preStop": {"exec": {"command": ["a", "1", "x\ny"]}}});
        assert_eq!(
            flow(&value, FlowStyle::Yaml),
            "{preStop: {exec: {command: [a, \"1\", \"x\\ny\"]}}}"
        );
        assert_eq!(flow(&value, FlowStyle::CompactJson), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn json_over_lines_is_what_everybody_prints() {
        let value = json!({"a": {"b": [1, "x", []], "c": {}}});
        let mut out = String::new();
        let lines = JsonLines { indentation: "", unit: "  ", line_break: "\n" };
        json_lines(&mut out, &value, lines);
        assert_eq!(out, serde_json::to_string_pretty(&value).unwrap());
    }
}
