//! Reads borrowed views from JSON text. Most bytes of a review are passed over, and `serde_json` is
//! not fast at that; [`super::skip`] is.
//!
//! `serde_json` stays the judge: this reader knows the JSON that API servers write. Where it is in
//! doubt (anything broken, fractions and large numbers in fields that matter, lone surrogates) the
//! whole text is read again by `serde_json`, whose values and errors are the ones that count.

// Measured: see `skip`.
#![allow(clippy::inline_always)]

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::special::Specials;
use super::{UNREAD_TEXT, skip};

/// More digits may not fit into an `i64`.
const MOST_DIGITS: usize = 18;

/// As long as the script of a hook.
const USUAL_ESCAPED_BYTES: usize = 1_400;

/// A text that is met often and takes long to unescape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// As it stands in JSON, with its quotes.
    pub(crate) json: &'static str,
    /// What that means.
    pub(crate) value: &'static str,
}

/// Reads a value from a text that has nothing else in it.
///
/// # Errors
/// When the text is not JSON, or of a wrong type.
pub fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_json::Error> {
    read_certain(text).map_or_else(|| serde_json::from_str(text), Ok)
}

/// The same; `None` where `serde_json` has to decide.
#[must_use]
pub fn read_certain<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    Reader::new(text, None).whole()
}

/// The same as [`read`]; a `known` text is looked up and not unescaped.
pub(crate) fn read_knowing<'de, T: Deserialize<'de>>(
    text: &'de str,
    known: Known,
) -> Result<T, serde_json::Error> {
    let certain = Reader::new(text, Some(known)).whole();
    certain.map_or_else(|| serde_json::from_str(text), Ok)
}

/// A text, and what is left of it.
struct Reader<'de> {
    text: &'de str,
    rest: &'de [u8],
    specials: Specials,
    /// How many objects and lists may still be opened.
    depth_left: u32,
    known: Option<Known>,
}

/// It can't be said here what the text means.
#[derive(Debug)]
struct Doubt;

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in doubt")
    }
}

impl std::error::Error for Doubt {}

impl de::Error for Doubt {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Reader<'de> {
    const fn new(text: &'de str, known: Option<Known>) -> Self {
        let rest = text.as_bytes();
        Self { text, rest, specials: Specials::unknown(), depth_left: skip::DEEPEST, known }
    }

    fn whole<T: Deserialize<'de>>(mut self) -> Option<T> {
        let value = T::deserialize(&mut self).ok()?;
        let is_white = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
        self.rest.iter().all(is_white).then_some(value)
    }

    #[inline(always)]
    fn token(&mut self) -> Result<u8, Doubt> {
        let (byte, rest) = skip::token(self.rest).ok_or(Doubt)?;
        self.rest = rest;
        Ok(byte)
    }

    fn byte(&mut self) -> Result<u8, Doubt> {
        let (byte, rest) = self.rest.split_first().ok_or(Doubt)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// A text whose quote is behind us.
    #[inline(always)]
    fn string(&mut self) -> Result<Cow<'de, str>, Doubt> {
        let found = self.specials.find(self.rest).ok_or(Doubt)?;
        if let [b'"', rest @ ..] = found {
            let text = self.until(found)?;
            self.rest = rest;
            return Ok(Cow::Borrowed(text));
        }
        self.odd_string(found)
    }

    /// The same, with something special at `found` that is not its end.
    #[cold]
    #[inline(never)]
    fn odd_string(&mut self, found: &'de [u8]) -> Result<Cow<'de, str>, Doubt> {
        match self.known_string() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.escaped_string(found).map(Cow::Owned),
        }
    }

    /// A text whose quote is behind us, if it is the known one.
    fn known_string(&mut self) -> Option<&'static str> {
        let known = self.known?;
        let without_quote = known.json.as_bytes().get(1..)?;
        self.rest = self.rest.strip_prefix(without_quote)?;
        Some(known.value)
    }

    /// The text from here until `rest`.
    #[inline(always)]
    fn until(&self, rest: &[u8]) -> Result<&'de str, Doubt> {
        let (start, end) = (self.text.len() - self.rest.len(), self.text.len() - rest.len());
        self.text.get(start..end).ok_or(Doubt)
    }

    /// The same as [`Self::string`], with a first escape at `found`.
    fn escaped_string(&mut self, found: &'de [u8]) -> Result<String, Doubt> {
        let mut found = found;
        let mut string = String::with_capacity(self.rest.len().min(USUAL_ESCAPED_BYTES));
        loop {
            string.push_str(self.until(found)?);
            let (letter, rest) = match found {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return Ok(string);
                }
                // What stands for itself goes with the text behind it.
                [b'\\', b'"' | b'\\' | b'/', behind @ ..] => {
                    self.rest = found.get(1..).unwrap_or_default();
                    found = self.specials.find(behind).ok_or(Doubt)?;
                    continue;
                }
                [b'\\', b'u', rest @ ..] => code_point(rest)?,
                [b'\\', letter, rest @ ..] => (short_escape(*letter)?, rest),
                _ => return Err(Doubt),
            };
            string.push(letter);
            self.rest = rest;
            found = self.specials.find(rest).ok_or(Doubt)?;
        }
    }

    /// A whole number of which `first` is the first byte.
    fn integer<V: Visitor<'de>>(&mut self, first: u8, visitor: V) -> Result<V::Value, Doubt> {
        let is_negative = first == b'-';
        let first = if is_negative { self.byte()? } else { first };
        let mut value = match first {
            // A negative zero is a fraction to `serde_json`.
            b'0' if is_negative => return Err(Doubt),
            b'0'..=b'9' => i64::from(first - b'0'),
            _ => return Err(Doubt),
        };
        let mut digits = 1;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            digits += 1;
            if digits > MOST_DIGITS || value == 0 {
                return Err(Doubt);
            }
            value = value * 10 + i64::from(digit - b'0');
            self.rest = rest;
        }
        if matches!(self.rest, [b'.' | b'e' | b'E', ..]) {
            return Err(Doubt);
        }
        visitor.visit_i64(if is_negative { -value } else { value })
    }

    fn word<V>(&mut self, rest: &[u8], value: V) -> Result<V, Doubt> {
        let (word, after) = self.rest.split_at_checked(rest.len()).ok_or(Doubt)?;
        self.rest = after;
        if word == rest { Ok(value) } else { Err(Doubt) }
    }
}

/// The letter that a backslash and this one stand for.
fn short_escape(letter: u8) -> Result<char, Doubt> {
    match letter {
        b'b' => Ok('\u{8}'),
        b'f' => Ok('\u{c}'),
        b'n' => Ok('\n'),
        b'r' => Ok('\r'),
        b't' => Ok('\t'),
        _ => Err(Doubt),
    }
}

/// A letter as four hexadecimal digits. Those that take two times four are left to `serde_json`.
fn code_point(bytes: &[u8]) -> Result<(char, &[u8]), Doubt> {
    let (digits, rest) = bytes.split_first_chunk::<4>().ok_or(Doubt)?;
    let mut value = 0;
    for digit in digits {
        value = value * 16 + char::from(*digit).to_digit(16).ok_or(Doubt)?;
    }
    char::from_u32(value).map(|letter| (letter, rest)).ok_or(Doubt)
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Doubt;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Doubt> {
        match self.token()? {
            b'"' => visit_string(self.string()?, visitor),
            b'{' => {
                let mut members = Items::new(self)?;
                let value = visitor.visit_map(&mut members)?;
                members.end(value)
            }
            b'[' => {
                let mut items = Items::new(self)?;
                let value = visitor.visit_seq(&mut items)?;
                items.end(value)
            }
            b'n' => self.word(b"ull", ()).and_then(|()| visitor.visit_unit()),
            b't' => self.word(b"rue", true).and_then(|value| visitor.visit_bool(value)),
            b'f' => self.word(b"alse", false).and_then(|value| visitor.visit_bool(value)),
            first => self.integer(first, visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Doubt> {
        if name == UNREAD_TEXT
            && let (b'"', rest) = skip::token(self.rest).ok_or(Doubt)?
        {
            self.rest = skip::text(rest, &mut self.specials).ok_or(Doubt)?;
            return visitor.visit_borrowed_str("");
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Doubt> {
        self.rest = skip::value_of(self.rest, &mut self.specials).ok_or(Doubt)?;
        visitor.visit_unit()
    }

    // Views ask for nothing else: their types are read from any value.
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier
    }
}

fn visit_string<'de, V: Visitor<'de>>(
    string: Cow<'de, str>,
    visitor: V,
) -> Result<V::Value, Doubt> {
    match string {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

/// What stands between brackets or braces.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    is_first: bool,
    is_over: bool,
}

impl<'r, 'de> Items<'r, 'de> {
    fn new(reader: &'r mut Reader<'de>) -> Result<Self, Doubt> {
        reader.depth_left = reader.depth_left.checked_sub(1).ok_or(Doubt)?;
        Ok(Self { reader, is_first: true, is_over: false })
    }

    /// `value`, if everything was read.
    fn end<V>(self, value: V) -> Result<V, Doubt> {
        self.reader.depth_left += 1;
        if self.is_over { Ok(value) } else { Err(Doubt) }
    }

    /// The bytes from the next item on; `None` behind the last.
    #[inline(always)]
    fn next(&mut self, end: u8) -> Result<Option<(u8, &'de [u8])>, Doubt> {
        let (mut byte, mut rest) = skip::token(self.reader.rest).ok_or(Doubt)?;
        if byte == end {
            self.reader.rest = rest;
            self.is_over = true;
            return Ok(None);
        }
        if !std::mem::take(&mut self.is_first) {
            if byte != b',' {
                return Err(Doubt);
            }
            self.reader.rest = rest;
            (byte, rest) = skip::token(rest).ok_or(Doubt)?;
        }
        Ok(Some((byte, rest)))
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Doubt;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Doubt> {
        match self.next(b']')? {
            None => Ok(None),
            Some(_) => seed.deserialize(&mut *self.reader).map(Some),
        }
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Doubt;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Doubt> {
        // What the API server writes between two members.
        if let [b',', b'"', rest @ ..] = self.reader.rest
            && !self.is_first
        {
            self.reader.rest = rest;
            return seed.deserialize(Key(self.reader.string()?)).map(Some);
        }
        match self.next(b'}')? {
            None => Ok(None),
            Some((b'"', rest)) => {
                self.reader.rest = rest;
                seed.deserialize(Key(self.reader.string()?)).map(Some)
            }
            Some(_) => Err(Doubt),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Doubt> {
        self.reader.rest = skip::colon(self.reader.rest).ok_or(Doubt)?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The key of a member: a text, whoever asks.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Doubt;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Doubt> {
        visit_string(self.0, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
