//! Lenient, borrowed views of JSON objects: a few fields are read, all others are passed over, and
//! nothing is copied that need not be.
//!
//! A field of a wrong type is [`Shape::Wrong`] and not an error, since whoever sent it (the API
//! server, a person) is better told what to do about it than that something failed. Duplicate keys:
//! the last one counts, as in Go.

mod reader;

pub mod skip;
mod special;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub(crate) use self::reader::{Known, read_knowing};
pub use self::reader::{read, read_certain};

/// What stands in a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shape<T> {
    /// Nothing, or `null`: Kubernetes makes no difference.
    #[default]
    Absent,
    /// What belongs there.
    Value(T),
    /// Something of another type.
    Wrong,
}

impl<T> Shape<T> {
    /// The value, if there is one of the right type.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// Neither a value nor something wrong.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Something of another type.
    pub const fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong)
    }
}

/// A text, borrowed where the source has no escapes in it.
pub type Text<'a> = Cow<'a, str>;

/// What can be built from one kind of JSON value; every other kind is [`Shape::Wrong`]. What is built
/// of objects and lists is large, and put where it belongs without being carried around.
pub(crate) trait FromJson<'de>: Sized {
    /// Whether it matters what a text says, and not only that there is one.
    const READS_TEXT: bool = true;

    fn from_map<A: MapAccess<'de>>(place: &mut Shape<Self>, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        *place = Shape::Wrong;
        Ok(())
    }
    fn from_sequence<A: SeqAccess<'de>>(
        place: &mut Shape<Self>,
        mut sequence: A,
    ) -> Result<(), A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        *place = Shape::Wrong;
        Ok(())
    }
    fn from_text(_: Text<'de>) -> Option<Self> {
        None
    }
    fn from_integer(_: i64) -> Option<Self> {
        None
    }
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
}

/// The name under which our own reader is asked for any value, a text being passed over. To others it
/// says nothing.
const UNREAD_TEXT: &str = "any value, texts unread";

/// Where a value is to be put.
pub(crate) struct Place<'p, T>(pub(crate) &'p mut Shape<T>);

impl<'de, T: FromJson<'de>> Deserialize<'de> for Shape<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut shape = Self::Absent;
        Place(&mut shape).deserialize(deserializer)?;
        Ok(shape)
    }
}

impl<'de, T: FromJson<'de>> DeserializeSeed<'de> for Place<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if T::READS_TEXT {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_newtype_struct(UNREAD_TEXT, self)
        }
    }
}

impl<T> From<Option<T>> for Shape<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Wrong, Self::Value)
    }
}

impl<'de, T: FromJson<'de>> Visitor<'de> for Place<'_, T> {
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
    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        T::from_map(self.0, map)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<(), A::Error> {
        T::from_sequence(self.0, sequence)
    }
}

impl<'de> FromJson<'de> for Text<'de> {
    fn from_text(text: Text<'de>) -> Option<Self> {
        Some(text)
    }
}

impl FromJson<'_> for i64 {
    fn from_integer(value: i64) -> Option<Self> {
        Some(value)
    }
}

impl FromJson<'_> for bool {
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Vec<Shape<T>> {
    fn from_sequence<A: SeqAccess<'de>>(
        place: &mut Shape<Self>,
        mut sequence: A,
    ) -> Result<(), A::Error> {
        let mut items = Self::new();
        while sequence.next_element_seed(Next(&mut items))?.is_some() {}
        *place = Shape::Value(items);
        Ok(())
    }
}

/// The place behind the last item.
struct Next<'p, T>(&'p mut Vec<Shape<T>>);

impl<'de, T: FromJson<'de>> DeserializeSeed<'de> for Next<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.push(Shape::Absent);
        match self.0.last_mut() {
            Some(last) => Place(last).deserialize(deserializer),
            None => Ok(()),
        }
    }
}

/// A key of an object; borrowed where it can be.
pub(crate) struct Key<'de>(pub(crate) Text<'de>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Declares a view of an object: its fields, and the keys that they are read from.
macro_rules! view {
    ($(#[$doc:meta])* $visibility:vis $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        // Kubernetes' own names.
        #[allow(clippy::struct_field_names)]
        $visibility struct $name<'a> {
            $($(#[$field_doc])* $visibility $field: $crate::view::Shape<$type>,)*
            pub(crate) phantom: std::marker::PhantomData<&'a ()>,
        }

        impl<'a> $crate::view::FromJson<'a> for $name<'a> {
            fn from_map<A: serde::de::MapAccess<'a>>(
                place: &mut $crate::view::Shape<Self>,
                mut map: A,
            ) -> Result<(), A::Error> {
                // Built where it belongs: it is large.
                *place = $crate::view::Shape::Value(Self::default());
                let $crate::view::Shape::Value(view) = place else { return Ok(()) };
                while let Some($crate::view::Key(key)) = map.next_key()? {
                    match key.as_ref() {
                        $($key => map.next_value_seed($crate::view::Place(&mut view.$field))?,)*
                        _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                    }
                }
                Ok(())
            }
        }
    };
}

pub(crate) use view;

/// Any value but null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anything;

impl<'de> FromJson<'de> for Anything {
    const READS_TEXT: bool = false;

    fn from_map<A: MapAccess<'de>>(place: &mut Shape<Self>, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        *place = Shape::Value(Self);
        Ok(())
    }
    fn from_text(_: Text<'de>) -> Option<Self> {
        Some(Self)
    }
}

/// The length of a text in bytes, which is all that is looked at; 0 for what is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextLength(pub(crate) usize);

struct TextLengthVisitor;

impl<'de> Deserialize<'de> for TextLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextLengthVisitor)
    }
}

impl<'de> Visitor<'de> for TextLengthVisitor {
    type Value = TextLength;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<TextLength, E> {
        Ok(TextLength(0))
    }
    fn visit_bool<E>(self, _: bool) -> Result<TextLength, E> {
        Ok(TextLength(0))
    }
    fn visit_i64<E>(self, _: i64) -> Result<TextLength, E> {
        Ok(TextLength(0))
    }
    fn visit_u64<E>(self, _: u64) -> Result<TextLength, E> {
        Ok(TextLength(0))
    }
    fn visit_f64<E>(self, _: f64) -> Result<TextLength, E> {
        Ok(TextLength(0))
    }
    fn visit_str<E>(self, text: &str) -> Result<TextLength, E> {
        Ok(TextLength(text.len()))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextLength, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(TextLength(0))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<TextLength, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(TextLength(0))
    }
}
