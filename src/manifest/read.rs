//! The value of a document, as `kubectl` would read it, and errors that say where and what to do.

use std::fmt;

use granit_parser::Marker;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Error as YamlError, Location, Options};

use super::{Document, Format, ManifestError, aliases};

/// Mappings and lists within each other; the same as for JSON.
const DEEPEST_NESTING: usize = 64;

/// Reads a document; `None` for an empty one and for `null`.
pub(super) fn value(document: &Document) -> Result<Option<Value>, ManifestError> {
    match document.format {
        Format::Yaml => yaml(document),
        // Flow YAML can look like JSON until it is read. The error is then about JSON, which is
        // what its author meant.
        Format::Json => json(document).or_else(|error| yaml(document).map_err(|_| error)),
    }
    .map(|value| Some(value).filter(|value| !value.is_null()))
}

fn yaml(document: &Document) -> Result<Value, ManifestError> {
    if let Some(place) = aliases::first_above_limit(&document.text) {
        return Err(at(document, place));
    }
    serde_saphyr::from_str_with_options(&document.text, options())
        .map_err(|error| explain(document, &error))
}

fn at(document: &Document, place: Marker) -> ManifestError {
    let message = "aliases expand to far more than is written; write the values out";
    document.error(place.line(), place.col().saturating_add(1), message.to_owned())
}

/// The size of a document is limited where it is read and its aliases above, so what is left to
/// limit is depth.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST_NESTING,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_aliases: usize::MAX,
            max_anchors: usize::MAX,
            max_merge_keys: usize::MAX,
            // One anchor may well be used a hundred times.
            enforce_alias_anchor_ratio: false,
        },
        // A long run of comments would otherwise be an error.
        emit_comments: false,
        // `defaultMode: 0644` is 420 to kubectl.
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
            let key = key.as_deref().unwrap_or_default();
            format!("duplicate key `{key}`; remove one of the two")
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
    let text = document.text.trim_start_matches('\u{feff}');
    let mut reader = serde_json::Deserializer::from_str(text);
    UniqueKeys.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(
        |error| {
            let message = error.to_string();
            let suffix = format!(" at line {} column {}", error.line(), error.column());
            let message = message.strip_suffix(&suffix).unwrap_or(&message);
            // serde_json counts bytes.
            let line = text.lines().nth(error.line().saturating_sub(1));
            let before = line.and_then(|line| line.get(..error.column().saturating_sub(1)));
            let column = before.map_or(error.column(), |before| before.chars().count() + 1);
            document.error(error.line().max(1), column.max(1), message.to_owned())
        },
    )
}

/// Reads any JSON value, and refuses keys that are there twice: of two, one would be lost.
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
                return Err(A::Error::custom(format_args!(
                    "duplicate key `{key}`; remove one of the two"
                )));
            }
            map.insert(key, entries.next_value_seed(Self)?);
        }
        Ok(Value::Object(map))
    }
}
