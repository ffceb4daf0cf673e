//! The value of a document, as `kubectl` would read it, and errors with position and remedy.

use std::fmt;

use granit_parser::Marker;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error as YamlError, Location, Options};

use super::{Document, Format, ManifestError, Reading, aliases, duplicates};

/// Limit for nested mappings and lists; the same as for JSON.
const DEEPEST_NESTING: usize = 64;

/// Reads a document; `None` for an empty one and for `null`.
pub(super) fn value(document: &Document) -> Result<Option<Value>, ManifestError> {
    match document.format {
        Format::Yaml => yaml(document),
        // Flow YAML can look like JSON until it is parsed. If both fail, the error is that of JSON,
        // which is what the author meant.
        Format::Json => json(document).or_else(|error| yaml(document).map_err(|_| error)),
    }
    .map(|value| Some(value).filter(|value| !value.is_null()))
    .map_err(|error| if_rendered_first(document, error))
}

/// Reads a document that may have duplicate keys.
pub(super) fn reading(document: &Document) -> Result<Option<Reading>, ManifestError> {
    let strict = value(document);
    match strict {
        Err(error) if error.message.starts_with(DUPLICATE_KEY) => {
            let json = match document.format {
                Format::Json => serde_json::from_str(without_mark(document)).ok(),
                Format::Yaml => None,
            };
            let value =
                json.map_or_else(|| yaml_with(document, DuplicateKeyPolicy::LastWins), Ok)?;
            let duplicates = duplicates::find(&document.text, document.first_line);
            // A value must not be lost without a report.
            if duplicates.is_empty() { Err(error) } else { Ok(Some(Reading { value, duplicates })) }
        }
        other => Ok(other?.map(|value| Reading { value, duplicates: Vec::new() })),
    }
}

const DUPLICATE_KEY: &str = "duplicate key `";

pub(super) fn duplicate_message(key: impl fmt::Display) -> String {
    format!("{DUPLICATE_KEY}{key}`; remove one of the two")
}

/// Returns the error for a template that was not rendered, if that is the cause.
fn if_rendered_first(document: &Document, error: ManifestError) -> ManifestError {
    const SIGNS: [(&str, &str); 2] = [
        (
            "{{",
            "a Helm or Go template (`{{`); render it first: helm template ... | prestop inject -",
        ),
        ("{%", "a Jinja template (`{%`); render it first and inject the result"),
    ];
    let error_line = error.line.saturating_sub(document.first_line).saturating_add(1);
    // The parser fails on the line of the template or below.
    let lines = document.text.lines().take(error_line.saturating_add(1)).enumerate();
    for (index, line) in lines {
        let sign = SIGNS.iter().filter_map(|(sign, message)| Some((line.find(sign)?, message)));
        let Some((place, message)) = sign.min() else { continue };
        let before = line.get(..place).unwrap_or_default();
        let is_quoted = ['"', '\''].iter().any(|quote| before.matches(*quote).count() % 2 == 1);
        if !is_quoted && !before.trim_start().starts_with('#') {
            let column = before.chars().count().saturating_add(1);
            return document.error(index.saturating_add(1), column, (*message).to_owned());
        }
    }
    error
}

fn yaml(document: &Document) -> Result<Value, ManifestError> {
    yaml_with(document, DuplicateKeyPolicy::Error)
}

fn yaml_with(document: &Document, keys: DuplicateKeyPolicy) -> Result<Value, ManifestError> {
    if let Some(place) = aliases::first_above_limit(&document.text) {
        return Err(at(document, place));
    }
    serde_saphyr::from_str_with_options(&document.text, options(keys))
        .map_err(|error| explain(document, &error))
}

fn without_mark(document: &Document) -> &str {
    document.text.trim_start_matches('\u{feff}')
}

fn at(document: &Document, place: Marker) -> ManifestError {
    let message = "aliases expand to far more than is written; write the values out";
    document.error(place.line(), place.col().saturating_add(1), message.to_owned())
}

/// Options of the parser. The size of a document is limited when it is read, and that of its
/// aliases above, so only the depth remains to be limited.
fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST_NESTING,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_aliases: usize::MAX,
            max_anchors: usize::MAX,
            max_merge_keys: usize::MAX,
            // A single anchor may be used a hundred times.
            enforce_alias_anchor_ratio: false,
        },
        duplicate_keys: duplicate_keys,
        // Otherwise a long sequence of comments would be an error.
        emit_comments: false,
        // `defaultMode: 0644` is 420 in kubectl.
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

fn explain(document: &Document, error: &YamlError) -> ManifestError {
    let location = error.location().unwrap_or(Location::UNKNOWN);
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    let message = match error {
        YamlError::DuplicateMappingKey { key, .. } => {
            duplicate_message(key.as_deref().unwrap_or_default())
        }
        YamlError::NullIntoString { .. } => "a key that is null; write it in quotes".to_owned(),
        YamlError::Unexpected { .. } => "a key that is not a string".to_owned(),
        YamlError::NonFiniteFloat { .. } => {
            "a number that JSON does not have; write it in quotes".to_owned()
        }
        YamlError::Budget { breach: serde_saphyr::budget::BudgetBreach::Depth { .. }, .. } => {
            format!("nested deeper than {DEEPEST_NESTING} levels")
        }
        YamlError::UnknownAnchor { .. } => "an alias to an anchor that is not there".to_owned(),
        YamlError::MultipleDocuments { .. } => {
            "more than one document; begin each with a line `---`".to_owned()
        }
        other => {
            let text = other.to_string();
            let suffix = format!(" at line {}, column {}", location.line(), location.column());
            let text = text.strip_suffix(&suffix).unwrap_or(&text);
            if text.contains("tabs disallowed") {
                "a tab in the indentation; indent with spaces".to_owned()
            } else {
                text.to_owned()
            }
        }
    };
    document.error(line, column, message)
}

fn json(document: &Document) -> Result<Value, ManifestError> {
    let text = without_mark(document);
    let mut reader = serde_json::Deserializer::from_str(text);
    UniqueKeys.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(
        |error| {
            let message = error.to_string();
            let suffix = format!(" at line {} column {}", error.line(), error.column());
            let message = message.strip_suffix(&suffix).unwrap_or(&message);
            // serde_json counts columns in bytes.
            let line = text.lines().nth(error.line().saturating_sub(1));
            let before = line.and_then(|line| line.get(..error.column().saturating_sub(1)));
            let column = before.map_or(error.column(), |before| before.chars().count() + 1);
            document.error(error.line().max(1), column.max(1), message.to_owned())
        },
    )
}

/// Reads any JSON value, and rejects duplicate keys, because one of the values would be lost.
struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(duplicate_message(&key)));
            }
            map.insert(key, entries.next_value_seed(Self)?);
        }
        Ok(Value::Object(map))
    }
}
