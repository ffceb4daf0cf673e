//! Lenient, borrowed views of JSON objects: a few fields are read, all others are skipped, and
//! nothing is copied unnecessarily.
//!
//! A field of a wrong type is [`Shape::Wrong`] and not an error, so that the message can explain
//! how to fix it. If a key occurs several times, the last one counts, as in Go.

mod deserialize;
pub mod json;

use std::borrow::Cow;

pub(crate) use self::deserialize::read_start;
pub(crate) use self::json::{Known, read_knowing};
pub use self::json::{read, read_certain};

/// The content of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shape<T> {
    /// Missing or `null`: Kubernetes does not distinguish the two.
    #[default]
    Absent,
    /// The expected content.
    Value(T),
    /// A value of another type.
    Wrong,
}

impl<T> Shape<T> {
    /// Returns the value, if there is one of the right type.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// Returns whether there is neither a value nor one of another type.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns whether there is a value of another type.
    pub const fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong)
    }
}

/// A string, borrowed if the source has no escapes in it.
pub type Text<'a> = Cow<'a, str>;

impl<T> From<Option<T>> for Shape<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Wrong, Self::Value)
    }
}

/// Limit for the items of a list; a longer list is [`Shape::Wrong`]. Each item takes more memory
/// than its text, and real objects do not have that many arguments or owners.
pub const MOST_ITEMS: usize = 1_024;

/// A type that is built from one kind of JSON value; every other kind is [`Shape::Wrong`]. An
/// implementation writes objects and lists directly into `place`, and reads all members and items,
/// even those that it does not need.
pub trait FromJson<'de>: Sized {
    /// Whether the content of a string matters, and not only its presence. Otherwise an empty
    /// string is passed.
    const READS_TEXT: bool = false;

    /// Reads an object.
    ///
    /// # Errors
    /// Returns the errors of the reader.
    fn from_members<M: Members<'de>>(
        place: &mut Shape<Self>,
        members: &mut M,
    ) -> Result<(), M::Error> {
        members.pass_over_all()?;
        *place = Shape::Wrong;
        Ok(())
    }

    /// Reads a list.
    ///
    /// # Errors
    /// Returns the errors of the reader.
    fn from_items<I: Items<'de>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        while items.pass_over()? {}
        *place = Shape::Wrong;
        Ok(())
    }

    /// Converts a string.
    #[must_use]
    fn from_text(_: Text<'de>) -> Option<Self> {
        None
    }

    /// Converts a number.
    #[must_use]
    fn from_integer(_: i64) -> Option<Self> {
        None
    }

    /// Converts `true` or `false`.
    #[must_use]
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
}

/// The members of an object, in sequence: a key, then its value.
pub trait Members<'de> {
    /// Error of the reader.
    type Error;

    /// Reads the next key; `None` after the last member.
    ///
    /// # Errors
    /// Returns an error if the text can't be read.
    fn next_key(&mut self) -> Result<Option<Key<'de>>, Self::Error>;

    /// Reads the value into `place`.
    ///
    /// # Errors
    /// Returns an error if the text can't be read.
    fn read<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<(), Self::Error>;

    /// Skips the value.
    ///
    /// # Errors
    /// Returns an error if the text can't be read.
    fn pass_over(&mut self) -> Result<(), Self::Error>;

    /// Skips all remaining members.
    ///
    /// # Errors
    /// Returns an error if the text can't be read.
    fn pass_over_all(&mut self) -> Result<(), Self::Error> {
        while self.next_key()?.is_some() {
            self.pass_over()?;
        }
        Ok(())
    }
}

/// The items of a list, in sequence.
pub trait Items<'de> {
    /// Error of the reader.
    type Error;

    /// Reads the next item into `place`; `false` after the last one.
    ///
    /// # Errors
    /// Returns an error if the text can't be read.
    fn read<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<bool, Self::Error>;

    /// Appends the next item to `list`; `false` after the last one.
    ///
    /// # Errors
    /// Returns an error if the text can't be read.
    fn read_to<T: FromJson<'de>>(&mut self, list: &mut Vec<Shape<T>>) -> Result<bool, Self::Error>;

    /// Skips the next item; `false` after the last one.
    ///
    /// # Errors
    /// Returns an error if the text can't be read.
    fn pass_over(&mut self) -> Result<bool, Self::Error>;
}

/// A key of an object, borrowed if possible. Kept as bytes, which are sufficient for most keys.
#[derive(Debug, Clone)]
pub struct Key<'de>(Cow<'de, [u8]>);

impl<'de> Key<'de> {
    /// Returns the key's bytes, in UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the key as text.
    #[must_use]
    pub fn into_text(self) -> Text<'de> {
        match self.0 {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        }
    }
}

impl<'de> From<Text<'de>> for Key<'de> {
    fn from(text: Text<'de>) -> Self {
        Self(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }
}

impl<'de> FromJson<'de> for Text<'de> {
    const READS_TEXT: bool = true;

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
    fn from_items<I: Items<'de>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut list = Self::new();
        while list.len() < MOST_ITEMS {
            if !items.read_to(&mut list)? {
                *place = Shape::Value(list);
                return Ok(());
            }
        }
        let mut is_longer = false;
        while items.pass_over()? {
            is_longer = true;
        }
        *place = if is_longer { Shape::Wrong } else { Shape::Value(list) };
        Ok(())
    }
}

/// Declares a view of an object: its fields, and the keys from which they are read. `+ FIELD` adds a
/// field that is true if there are other keys.
macro_rules! view {
    (
        $(#[$doc:meta])* $visibility:vis $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal,)*
        }
        $(+ $has_others:ident)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        // The fields have Kubernetes' names.
        #[allow(clippy::struct_field_names)]
        $visibility struct $name<'a> {
            $($(#[$field_doc])* $visibility $field: $crate::view::Shape<$type>,)*
            $(
                /// Whether there are other keys.
                $visibility $has_others: bool,
            )?
            pub(crate) phantom: std::marker::PhantomData<&'a ()>,
        }

        impl<'a> $crate::view::FromJson<'a> for $name<'a> {
            fn from_members<M: $crate::view::Members<'a>>(
                place: &mut $crate::view::Shape<Self>,
                members: &mut M,
            ) -> Result<(), M::Error> {
                // The view is large, so it is built in place.
                *place = $crate::view::Shape::Value(Self::default());
                let $crate::view::Shape::Value(view) = place else { return Ok(()) };
                while let Some(key) = members.next_key()? {
                    $(if key.as_bytes() == $key.as_bytes() {
                        members.read(&mut view.$field)?;
                    } else)* {
                        $(view.$has_others = true;)?
                        members.pass_over()?;
                    }
                }
                Ok(())
            }
        }
    };
}

pub(crate) use view;

/// Any value except null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anything;

impl<'de> FromJson<'de> for Anything {
    fn from_members<M: Members<'de>>(
        place: &mut Shape<Self>,
        members: &mut M,
    ) -> Result<(), M::Error> {
        members.pass_over_all()?;
        *place = Shape::Value(Self);
        Ok(())
    }
    fn from_text(_: Text<'de>) -> Option<Self> {
        Some(Self)
    }
}
