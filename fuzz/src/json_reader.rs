//! The fast JSON reader compared with `serde_json`: it never accepts a text that `serde_json`
//! rejects, and never returns another value.

use prestop_core::engine::pod::Pod;
use prestop_core::view::json::skip;
use prestop_core::view::{FromJson, Items, Members, Shape, Text, read, read_certain};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// The complete value of a text.
#[derive(Debug, PartialEq)]
pub struct Whole(Value);

impl<'de> FromJson<'de> for Whole {
    const READS_TEXT: bool = true;

    fn from_members<M: Members<'de>>(
        place: &mut Shape<Self>,
        members: &mut M,
    ) -> Result<(), M::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key()? {
            let mut value = Shape::Absent;
            members.read(&mut value)?;
            object.insert(key.into_text().into_owned(), whole(value));
        }
        *place = Shape::Value(Self(object.into()));
        Ok(())
    }
    fn from_items<I: Items<'de>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut list = Vec::new();
        while items.read_to(&mut list)? {}
        *place = Shape::Value(Self(list.into_iter().map(whole).collect()));
        Ok(())
    }
    fn from_text(text: Text<'de>) -> Option<Self> {
        Some(Self(text.into()))
    }
    fn from_integer(value: i64) -> Option<Self> {
        Some(Self(value.into()))
    }
    fn from_bool(value: bool) -> Option<Self> {
        Some(Self(value.into()))
    }
}

/// Returns the value that was read.
///
/// # Panics
/// Never: every kind of value is accepted.
#[must_use]
pub fn whole(shape: Shape<Whole>) -> Value {
    match shape {
        Shape::Value(Whole(value)) => value,
        Shape::Absent => Value::Null,
        Shape::Wrong => panic!("every kind of value is right"),
    }
}

/// The input is arbitrary bytes. Only UTF-8 is passed to the reader; skipping must not panic on any
/// input.
pub fn target(bytes: &[u8]) {
    let _ = skip::value(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        agrees(text);
    }
}

/// Checks that every reading of a text agrees with `serde_json`.
///
/// # Panics
/// Panics if one does not.
pub fn agrees(text: &str) {
    let ignored = serde_json::from_str::<IgnoredAny>(text);
    let rest = skip::value(text.as_bytes());
    let is_over = rest.is_some_and(|rest| rest.trim_ascii().is_empty() && !rest.contains(&0xc));
    let is_doubtful = depth(text) > skip::DEEPEST as usize || has_half_letters(text);
    assert!(is_over == ignored.is_ok() || is_doubtful && !is_over, "{ignored:?}: {text:?}");

    let value = serde_json::from_str::<Value>(text);
    if let Some(certain) = read_certain::<Whole>(text) {
        assert_eq!(Some(&whole(certain)), value.as_ref().ok(), "{text:?}");
    }
    let pod = serde_json::from_str::<Shape<Pod<'_>>>(text);
    if let Some(certain) = read_certain::<Pod<'_>>(text) {
        assert_eq!(Some(&certain), pod.as_ref().ok(), "{text:?}");
    }
    let told = |error: serde_json::Error| error.to_string();
    assert_eq!(read::<Pod<'_>>(text).map_err(told), pod.map_err(told), "{text:?}");
}

/// Returns whether the text contains an escape for half of a surrogate pair.
fn has_half_letters(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("\\ud").any(|(place, found)| {
        matches!(lower.as_bytes().get(place + found.len()), Some(b'8'..=b'9' | b'a'..=b'f'))
    })
}

/// Returns an upper bound for the depth of the text.
fn depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
