//! Writes a value as people write YAML: with block and flow style, quotes, comments, blank lines,
//! indentation, line breaks, and document markers.

use arbitrary::Unstructured;
use serde_json::Value;

/// Texts between lines.
const BETWEEN: [&str; 6] = ["", "", "", "\n", "# a comment\n", "  # - another: one\n"];
/// Texts after a value.
const BEHIND: [&str; 5] = ["", "", "", " # why", "  "];

/// Writes a document with this value. When no choices are left, the rest is written in the simplest
/// style.
pub(super) fn written(value: &Value, choices: &mut Unstructured<'_>) -> String {
    let mut writer = Writer { text: String::new(), choices };
    if writer.one_in(4) {
        writer.text.push_str("---\n");
    }
    match value {
        Value::Object(members) if !members.is_empty() => writer.block(value, 0),
        _ => {
            writer.flow(value);
            writer.text.push('\n');
        }
    }
    if writer.one_in(8) {
        writer.text.push_str("...\n");
    }
    if writer.one_in(4) {
        writer.text.pop();
    }
    let has_carriage_returns = writer.one_in(6);
    let text = writer.text;
    if has_carriage_returns { text.replace('\n', "\r\n") } else { text }
}

struct Writer<'c, 'b> {
    text: String,
    choices: &'c mut Unstructured<'b>,
}

impl Writer<'_, '_> {
    /// Returns true in one of `count` cases; never when no choices are left.
    fn one_in(&mut self, count: u8) -> bool {
        !self.choices.is_empty() && self.choices.ratio(1, count).unwrap_or(false)
    }

    fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        if self.choices.is_empty() { "" } else { self.choices.choose(texts).copied().unwrap_or("") }
    }

    /// Writes the lines of a mapping or list that is not empty, starting on a new line.
    fn block(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    self.between();
                    self.spaces(indent);
                    self.member(key, value, indent);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.between();
                    self.spaces(indent);
                    self.item(item, indent);
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, key: &str, value: &Value, indent: usize) {
        self.scalar(&key.into());
        self.text.push(':');
        match value {
            Value::Object(members) if !members.is_empty() && !self.one_in(8) => {
                self.end_line();
                let step = if self.one_in(6) { 4 } else { 2 };
                self.block(value, indent + step);
            }
            Value::Array(items) if !items.is_empty() && !self.one_in(8) => {
                self.end_line();
                let step = if self.one_in(3) { 2 } else { 0 };
                self.block(value, indent + step);
            }
            Value::Null if self.one_in(2) => self.end_line(),
            other => {
                self.text.push(' ');
                self.flow(other);
                self.end_line();
            }
        }
    }

    fn item(&mut self, item: &Value, indent: usize) {
        self.text.push_str("- ");
        match item {
            Value::Object(members) if !members.is_empty() && !self.one_in(8) => {
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        self.between();
                        self.spaces(indent + 2);
                    }
                    self.member(key, value, indent + 2);
                }
            }
            other => {
                self.flow(other);
                self.end_line();
            }
        }
    }

    fn flow(&mut self, value: &Value) {
        match value {
            Value::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.comma(index);
                    self.flow(item);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    self.comma(index);
                    self.text.push_str(&Value::from(key.as_str()).to_string());
                    self.text.push_str(": ");
                    self.flow(value);
                }
                self.text.push('}');
            }
            scalar => self.scalar(scalar),
        }
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.text.push_str(", ");
        }
    }

    fn scalar(&mut self, value: &Value) {
        let text = match value {
            Value::String(text) => text.as_str(),
            Value::Null if self.one_in(3) => return self.text.push('~'),
            other => return self.text.push_str(&other.to_string()),
        };
        let is_word = text.starts_with(|letter: char| letter.is_ascii_lowercase())
            && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"./-_".contains(&it))
            && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text);
        if is_word && !self.one_in(5) {
            self.text.push_str(text);
        } else if !text.contains(char::is_control) && self.one_in(2) {
            self.text.push('\'');
            self.text.push_str(&text.replace('\'', "''"));
            self.text.push('\'');
        } else {
            self.text.push_str(&value.to_string());
        }
    }

    fn spaces(&mut self, count: usize) {
        self.text.extend(std::iter::repeat_n(' ', count));
    }

    fn between(&mut self) {
        let between = self.one_of(&BETWEEN);
        self.text.push_str(between);
    }

    fn end_line(&mut self) {
        let behind = self.one_of(&BEHIND);
        self.text.push_str(behind);
        self.text.push('\n');
    }
}
