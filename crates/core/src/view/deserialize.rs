//! Views of any source that serde can read: of `serde_json`, if the fast reader is uncertain, and
//! of values.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{FromJson, Items, Key, Members, Shape};

/// Reads a value into a place.
struct InPlace<'p, T>(&'p mut Shape<T>);

/// Reads an item to the end of a list.
struct NextItem<'p, T>(&'p mut Vec<Shape<T>>);

/// An object or a list of serde.
struct SerdeSource<A>(A);

/// A string, borrowed if the source allows it.
#[derive(Deserialize)]
struct Lent<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the beginning of a text, whose rest may be missing or malformed; returns the part that is
/// certain.
pub(crate) fn read_start<'de, T: FromJson<'de>>(start: &'de [u8]) -> Shape<T> {
    let mut shape = Shape::Absent;
    // On an error, the part that was read so far is kept.
    let _ = InPlace(&mut shape).deserialize(&mut serde_json::Deserializer::from_slice(start));
    shape
}

impl<'de, T: FromJson<'de>> Deserialize<'de> for Shape<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut shape = Self::Absent;
        InPlace(&mut shape).deserialize(deserializer)?;
        Ok(shape)
    }
}

impl<'de, T: FromJson<'de>> DeserializeSeed<'de> for InPlace<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FromJson<'de>> DeserializeSeed<'de> for NextItem<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.push(Shape::deserialize(deserializer)?);
        Ok(())
    }
}

impl<'de, T: FromJson<'de>> Visitor<'de> for InPlace<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        *self.0 = Shape::Absent;
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        *self.0 = T::from_bool(value).into();
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        *self.0 = T::from_integer(value).into();
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        *self.0 = i64::try_from(value).ok().and_then(T::from_integer).into();
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        *self.0 = Shape::Wrong;
        Ok(())
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        *self.0 = T::from_text(Cow::Borrowed(text)).into();
        Ok(())
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.0 = T::from_text(Cow::Owned(text.to_owned())).into();
        Ok(())
    }
    fn visit_string<E>(self, text: String) -> Result<(), E> {
        *self.0 = T::from_text(Cow::Owned(text)).into();
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        T::from_members(self.0, &mut SerdeSource(map))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<(), A::Error> {
        T::from_items(self.0, &mut SerdeSource(sequence))
    }
}

impl<'de, A: MapAccess<'de>> Members<'de> for SerdeSource<A> {
    type Error = A::Error;

    fn next_key(&mut self) -> Result<Option<Key<'de>>, A::Error> {
        let key = self.0.next_key::<Lent<'de>>()?;
        Ok(key.map(|Lent(text)| text.into()))
    }
    fn read<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<(), A::Error> {
        self.0.next_value_seed(InPlace(place))
    }
    fn pass_over(&mut self) -> Result<(), A::Error> {
        self.0.next_value::<IgnoredAny>().map(drop)
    }
}

impl<'de, A: SeqAccess<'de>> Items<'de> for SerdeSource<A> {
    type Error = A::Error;

    fn read<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<bool, A::Error> {
        self.0.next_element_seed(InPlace(place)).map(|item| item.is_some())
    }
    fn read_to<T: FromJson<'de>>(&mut self, list: &mut Vec<Shape<T>>) -> Result<bool, A::Error> {
        self.0.next_element_seed(NextItem(list)).map(|item| item.is_some())
    }
    fn pass_over(&mut self) -> Result<bool, A::Error> {
        self.0.next_element::<IgnoredAny>().map(|item| item.is_some())
    }
}
