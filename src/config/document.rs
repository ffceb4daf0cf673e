//! The YAML document as a tree in which each value has its position. The tree has everything in the
//! file, including errors: unknown fields, duplicate keys, values of any type.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{
    DefaultMessageFormatter, Error, MessageFormatter, NonFiniteFloatPolicy, Options, Spanned,
};

use super::error::{Finding, Position};

/// Maximum length of the text. A `ConfigMap` is limited to 1 MiB as well.
const LONGEST_TEXT_BYTES: usize = 1 << 20;

/// Maximum number of values, more than any catalogue has. Each use of an alias counts, so this also
/// limits aliases of aliases.
const MOST_NODES: usize = 100_000;

const DEEPEST_NESTING: usize = 32;

/// A value with its position. The position of a value from an alias is the alias.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Position,
    pub(super) value: Value,
}

/// A value according to YAML's core schema; only `true` and `false` are booleans.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// Keys and values in the order of the text; a key can occur twice.
    Map(Vec<(Node, Node)>),
}

/// Reads a text as one document.
pub(super) fn read(text: &str) -> Result<Node, Finding> {
    if text.len() > LONGEST_TEXT_BYTES {
        return Err(Finding::of_file("longer than 1 MiB"));
    }
    // Duplicate keys are found by the check of the shape, which has the position of the first one.
    from_str(text, DuplicateKeyPolicy::PassThrough).map_err(|error| finding(&error, None))
}

/// Reads the same text as `T`. `document` provides the path for an error.
pub(super) fn read_as<T: DeserializeOwned>(text: &str, document: &Node) -> Result<T, Finding> {
    from_str(text, DuplicateKeyPolicy::Error).map_err(|error| finding(&error, Some(document)))
}

fn from_str<T: DeserializeOwned>(
    text: &str,
    duplicate_keys: DuplicateKeyPolicy,
) -> Result<T, Error> {
    let options: Options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MOST_NODES,
            max_depth: DEEPEST_NESTING,
        },
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// Converts an error of the parser; replaces messages that describe the parser's interface.
fn finding(error: &Error, document: Option<&Node>) -> Finding {
    let place = error.location().map_or(Position::START, Position::from);
    let message = match cause(error) {
        Error::MultipleDocuments { .. } => {
            "a second document begins here; a configuration has only one".to_owned()
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } => {
            "too many values, or nested too deeply; each use of an alias counts".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias inside its own anchor".to_owned()
        }
        cause => DefaultMessageFormatter.format_message(cause).into_owned(),
    };
    Finding {
        path: document.and_then(|document| path_of(document, place)).unwrap_or_default(),
        place,
        message,
    }
}

fn cause(mut error: &Error) -> &Error {
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    error
}

/// Returns the path of the deepest value at a position.
fn path_of(node: &Node, place: Position) -> Option<String> {
    let inner = match &node.value {
        Value::List(items) => items.iter().enumerate().find_map(|(index, item)| {
            let path = path_of(item, place)?;
            Some(format!("[{index}]{}", dotted(&path)))
        }),
        Value::Map(entries) => entries.iter().find_map(|(key, value)| {
            let path = path_of(value, place)?;
            let Value::Text(name) = &key.value else {
                return None;
            };
            Some(format!("{name}{}", dotted(&path)))
        }),
        _ => None,
    };
    inner.or_else(|| (node.place == place).then(String::new))
}

fn dotted(path: &str) -> String {
    if path.is_empty() || path.starts_with('[') { path.to_owned() } else { format!(".{path}") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let located = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: located.referenced.into(), value: located.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}
