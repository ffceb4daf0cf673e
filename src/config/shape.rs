//! Validates a document against the JSON Schema that editors use: fields, types and allowed words. So
//! the published schema is authoritative, and all errors are reported together, with path and nearest
//! allowed value.
//!
//! Supports only the schemas that the types of [`super::format`] produce: `type`, `properties`,
//! `required`, `items`, and words as `const`, `enum` or `oneOf`. The meaning of values is checked
//! later.

use std::collections::HashMap;

use prestop_core::nearest::nearest;
use serde_json::Value as Schema;

use super::document::{Node, Value};
use super::error::{Finding, Position};

/// Maximum length of a text from the file in a message.
const LONGEST_QUOTE: usize = 40;

/// Maximum length of an unknown name for which a known one is suggested.
const LONGEST_COMPARED_NAME: usize = 64;

/// Returns everything in the document that does not fit the schema.
pub(super) fn check(document: &Node, schema: &Schema) -> Vec<Finding> {
    let mut checker = Checker { root: schema, findings: Vec::new() };
    checker.check(document, schema, "");
    checker.findings
}

struct Checker<'a> {
    root: &'a Schema,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn check(&mut self, node: &Node, schema: &Schema, path: &str) {
        let words = words(schema);
        match &node.value {
            Value::Text(text) if !words.is_empty() => {
                if !words.contains(&text.as_str()) {
                    let message = unknown(
                        "value",
                        nearest(text, words.iter().copied()).map(str::to_owned),
                        &words,
                    );
                    self.find(path, node.place, message);
                }
            }
            Value::Map(entries) if accepts(schema, "object") => {
                self.check_fields(node.place, entries, schema, path);
            }
            Value::List(items) if accepts(schema, "array") => {
                let schema = schema.get("items").unwrap_or(&Schema::Null);
                for (index, item) in items.iter().enumerate() {
                    self.check(item, schema, &format!("{path}[{index}]"));
                }
            }
            value if words.is_empty() && accepts(schema, type_of(value)) => {}
            value => {
                let hint = quoting(value, &words);
                let message =
                    format!("expected {}, found {}{hint}", expected(schema), found(value));
                self.find(path, node.place, message);
            }
        }
    }

    fn check_fields(
        &mut self,
        place: Position,
        entries: &[(Node, Node)],
        schema: &Schema,
        path: &str,
    ) {
        let mut seen = HashMap::new();
        for (key, value) in entries {
            let Value::Text(name) = &key.value else {
                let message = format!("expected the name of a field, found {}", found(&key.value));
                self.find(path, key.place, message);
                continue;
            };
            let path = join(path, name);
            if let Some(first) = seen.insert(name.as_str(), key.place.line) {
                let message = format!("duplicate field; the first is in line {first}");
                self.find(&path, key.place, message);
                continue;
            }
            match schema.get("properties").and_then(|known| known.get(name)) {
                Some(schema) => self.check(value, schema, &path),
                None => self.find(&path, key.place, self.unknown_field(name, schema)),
            }
        }
        for name in required(schema) {
            if !seen.contains_key(name) {
                let field = schema.get("properties").and_then(|known| known.get(name));
                let message = missing(name, field.unwrap_or(&Schema::Null));
                self.find(&join(path, name), place, message);
            }
        }
    }

    fn unknown_field(&self, name: &str, schema: &Schema) -> String {
        let known = fields(schema);
        let name = if name.len() > LONGEST_COMPARED_NAME { "" } else { name };
        let elsewhere = place_of(name, self.root);
        let suggestion =
            elsewhere.or_else(|| nearest(name, known.iter().copied()).map(str::to_owned));
        unknown("field", suggestion, &known)
    }

    fn find(&mut self, path: &str, place: Position, message: String) {
        self.findings.push(Finding::new(path, place, message));
    }
}

fn join(path: &str, name: &str) -> String {
    let name = quotable(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn unknown(what: &str, suggestion: Option<String>, allowed: &[&str]) -> String {
    let suggestion = suggestion.map_or_else(String::new, |name| format!(" did you mean {name}?"));
    let allowed = allowed.join(", ");
    format!("unknown {what};{suggestion} allowed here: {allowed}")
}

fn missing(name: &str, schema: &Schema) -> String {
    match words(schema).as_slice() {
        [word] => format!("missing; write {name}: {word}"),
        _ => format!("missing; expected {}", expected(schema)),
    }
}

/// Returns the words that a value can be; empty if it can be something other than a word.
fn words(schema: &Schema) -> Vec<&str> {
    let words = |key: &str| schema.get(key).and_then(Schema::as_array);
    let word = |schema| Schema::get(schema, "const").and_then(Schema::as_str);
    if let Some(choices) = words("oneOf") {
        choices.iter().filter_map(word).collect()
    } else if let Some(choices) = words("enum") {
        choices.iter().filter_map(Schema::as_str).collect()
    } else {
        word(schema).into_iter().collect()
    }
}

/// Returns the types that a value can have.
fn types(schema: &Schema) -> Vec<&str> {
    match schema.get("type") {
        Some(Schema::String(name)) => vec![name],
        Some(Schema::Array(names)) => names.iter().filter_map(Schema::as_str).collect(),
        _ => Vec::new(),
    }
}

fn accepts(schema: &Schema, name: &str) -> bool {
    types(schema).contains(&name)
}

fn fields(schema: &Schema) -> Vec<&str> {
    let fields = schema.get("properties").and_then(Schema::as_object);
    fields.map_or_else(Vec::new, |fields| fields.keys().map(String::as_str).collect())
}

fn required(schema: &Schema) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Schema::as_array);
    names.into_iter().flatten().filter_map(Schema::as_str)
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) => "integer",
        Value::Float(_) => "number",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

fn expected(schema: &Schema) -> String {
    match words(schema).as_slice() {
        [] => {}
        [word] => return (*word).to_owned(),
        words => return format!("one of {}", words.join(", ")),
    }
    let name = match types(schema).as_slice() {
        ["object"] => "a mapping of fields",
        ["array"] => "a list",
        ["boolean"] => "true or false",
        ["integer"] => "a whole number",
        _ => {
            let title = schema.get("title").and_then(Schema::as_str);
            title.unwrap_or("text")
        }
    };
    name.to_owned()
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Boolean(value) => format!("{value}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number:?}"),
        Value::Text(text) => format!("the text {}", quotable(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// Returns the advice to quote a word that looks like a number: YAML reads `1.3` as one.
fn quoting(value: &Value, words: &[&str]) -> String {
    let number = matches!(value, Value::Integer(_) | Value::Float(_));
    if !number || !words.iter().any(|word| word.parse::<f64>().is_ok()) {
        return String::new();
    }
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("; write {} in quotes", words.join(" or "))
}

/// Returns the beginning of a text from the file.
fn quotable(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Returns the path of a field with exactly this name, outside of lists.
fn place_of(name: &str, schema: &Schema) -> Option<String> {
    let fields = schema.get("properties").and_then(Schema::as_object)?;
    if fields.contains_key(name) {
        return Some(name.to_owned());
    }
    fields.iter().find_map(|(section, schema)| {
        let path = place_of(name, schema)?;
        Some(format!("{section}.{path}"))
    })
}
