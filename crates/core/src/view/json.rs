//! The fast JSON reader: borrowed views from JSON text. Most fields of a review are not used;
//! `serde_json` is slow at skipping them, [`skip`] is fast. `docs/json-reader.md` explains why and how.
//!
//! The contract: for every text, [`read`] returns the same value or the same error as `serde_json::from_str`.
//! The reader accepts the JSON that API servers write. If it is uncertain (malformed text, fractions
//! and large numbers in fields that are read, lone surrogates, deep nesting), `serde_json` reads
//! the whole text again, and its value or error is returned. `tests/reading.rs` and the fuzz target
//! `json_reader` check this.

// Measured: see `skip`.
#![allow(clippy::inline_always)]

pub mod skip;
mod special;

use std::borrow::Cow;

use self::special::Specials;
use super::{FromJson, Items, Key, Members, Shape};

/// Limit for digits: more may not fit into an `i64`.
const MOST_DIGITS: usize = 18;

/// Initial capacity for a string with escapes, in bytes: the size of a hook's script.
const USUAL_ESCAPED_BYTES: usize = 1_400;

/// A frequent string that is slow to unescape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The string as JSON text, with quotes.
    pub(crate) json: &'static str,
    /// The unescaped string.
    pub(crate) value: &'static str,
}

/// Parses a text that contains one value and nothing else.
///
/// # Errors
/// Returns an error if the text is not JSON.
pub fn read<'de, T: FromJson<'de>>(text: &'de str) -> Result<Shape<T>, serde_json::Error> {
    read_certain(text).map_or_else(|| serde_json::from_str(text), Ok)
}

/// Like [`read`], but returns `None` if `serde_json` has to decide.
#[must_use]
pub fn read_certain<'de, T: FromJson<'de>>(text: &'de str) -> Option<Shape<T>> {
    Reader::new(text, &[]).whole()
}

/// Like [`read`], but `known` strings are looked up instead of being unescaped.
pub(crate) fn read_knowing<'de, T: FromJson<'de>>(
    text: &'de str,
    known: &'static [Known],
) -> Result<Shape<T>, serde_json::Error> {
    let certain = Reader::new(text, known).whole();
    certain.map_or_else(|| serde_json::from_str(text), Ok)
}

/// A text, and its unread rest.
struct Reader<'de> {
    text: &'de str,
    rest: &'de [u8],
    specials: Specials,
    /// Number of objects and lists that may still be opened.
    depth_left: u32,
    known: &'static [Known],
}

/// This reader can't decide what the text means.
#[derive(Debug)]
struct Doubt;

impl<'de> Reader<'de> {
    const fn new(text: &'de str, known: &'static [Known]) -> Self {
        let rest = text.as_bytes();
        Self { text, rest, specials: Specials::unknown(), depth_left: skip::DEEPEST, known }
    }

    fn whole<T: FromJson<'de>>(mut self) -> Option<Shape<T>> {
        let mut shape = Shape::Absent;
        self.read(&mut shape).ok()?;
        let is_white = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
        self.rest.iter().all(is_white).then_some(shape)
    }

    /// Reads the next value into `place`.
    fn read<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<(), Doubt> {
        // Strings are handled separately, because they are the most frequent values.
        if T::READS_TEXT
            && let Some((b'"', start)) = skip::token(self.rest)
            && let Some([b'"', rest @ ..]) = self.specials.find(start)
        {
            let text = self.between(start, rest.len() + 1)?;
            self.rest = rest;
            *place = T::from_text(Cow::Borrowed(text)).into();
            return Ok(());
        }
        self.read_any(place)
    }

    #[inline(never)]
    fn read_any<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<(), Doubt> {
        *place = match self.token()? {
            b'"' if T::READS_TEXT => {
                let found = self.specials.find(self.rest).ok_or(Doubt)?;
                T::from_text(self.odd_string(found)?).into()
            }
            b'"' => {
                self.rest = skip::text(self.rest, &mut self.specials).ok_or(Doubt)?;
                T::from_text(Cow::Borrowed("")).into()
            }
            b'{' => {
                let mut members = OpenValue::new(self)?;
                T::from_members(place, &mut members)?;
                return members.end();
            }
            b'[' => {
                let mut items = OpenValue::new(self)?;
                T::from_items(place, &mut items)?;
                return items.end();
            }
            b'n' => self.word(b"ull", Shape::Absent)?,
            b't' => self.word(b"rue", T::from_bool(true).into())?,
            b'f' => self.word(b"alse", T::from_bool(false).into())?,
            first => T::from_integer(self.integer(first)?).into(),
        };
        Ok(())
    }

    fn pass_over(&mut self) -> Result<(), Doubt> {
        self.rest = skip::value_of(self.rest, &mut self.specials).ok_or(Doubt)?;
        Ok(())
    }

    /// Reads a key, whose opening quote has been read, and the colon.
    #[inline(always)]
    fn key(&mut self) -> Result<Key<'de>, Doubt> {
        let found = self.specials.find(self.rest).ok_or(Doubt)?;
        let key = if let [b'"', rest @ ..] = found {
            let key = self.rest.get(..self.rest.len() - found.len()).ok_or(Doubt)?;
            self.rest = rest;
            Key(Cow::Borrowed(key))
        } else {
            self.odd_string(found)?.into()
        };
        self.rest = skip::colon(self.rest).ok_or(Doubt)?;
        Ok(key)
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

    /// Reads a string, whose opening quote has been read, with a special byte at `found` that is
    /// not its end.
    #[cold]
    #[inline(never)]
    fn odd_string(&mut self, found: &'de [u8]) -> Result<Cow<'de, str>, Doubt> {
        match self.known_string() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.escaped_string(found).map(Cow::Owned),
        }
    }

    /// Reads a string, whose opening quote has been read, if it is a known one.
    fn known_string(&mut self) -> Option<&'static str> {
        let (value, rest) = self.known.iter().find_map(|known| {
            let without_quote = known.json.as_bytes().get(1..)?;
            Some((known.value, self.rest.strip_prefix(without_quote)?))
        })?;
        self.rest = rest;
        Some(value)
    }

    /// Returns the text from `start` until `left` bytes of the whole text are left.
    #[inline(always)]
    fn between(&self, start: &[u8], left: usize) -> Result<&'de str, Doubt> {
        let (start, end) = (self.text.len() - start.len(), self.text.len() - left);
        self.text.get(start..end).ok_or(Doubt)
    }

    /// Reads a string, whose opening quote has been read, with its first escape at `found`.
    fn escaped_string(&mut self, found: &'de [u8]) -> Result<String, Doubt> {
        let mut found = found;
        let mut string = String::with_capacity(self.rest.len().min(USUAL_ESCAPED_BYTES));
        loop {
            string.push_str(self.between(self.rest, found.len())?);
            let (letter, rest) = match found {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    // Otherwise thousands of short strings would take the memory of long ones.
                    if string.len() < string.capacity() / 2 {
                        string.shrink_to_fit();
                    }
                    return Ok(string);
                }
                // The unescaped character is copied together with the text after it.
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

    /// Reads a whole number whose first byte is `first`.
    fn integer(&mut self, first: u8) -> Result<i64, Doubt> {
        let is_negative = first == b'-';
        let first = if is_negative { self.byte()? } else { first };
        let mut value = match first {
            // `serde_json` treats a negative zero as a fraction.
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
        Ok(if is_negative { -value } else { value })
    }

    fn word<V>(&mut self, rest: &[u8], value: V) -> Result<V, Doubt> {
        let (word, after) = self.rest.split_at_checked(rest.len()).ok_or(Doubt)?;
        self.rest = after;
        if word == rest { Ok(value) } else { Err(Doubt) }
    }
}

/// Returns the character for a backslash and this letter.
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

/// Reads a character as four hexadecimal digits. `serde_json` handles characters with two such
/// groups.
fn code_point(bytes: &[u8]) -> Result<(char, &[u8]), Doubt> {
    let (digits, rest) = bytes.split_first_chunk::<4>().ok_or(Doubt)?;
    let mut value = 0;
    for digit in digits {
        value = value * 16 + char::from(*digit).to_digit(16).ok_or(Doubt)?;
    }
    char::from_u32(value).map(|letter| (letter, rest)).ok_or(Doubt)
}

/// An object or a list that is being read.
struct OpenValue<'r, 'de> {
    reader: &'r mut Reader<'de>,
    is_first: bool,
    is_over: bool,
}

impl<'r, 'de> OpenValue<'r, 'de> {
    #[inline(always)]
    fn new(reader: &'r mut Reader<'de>) -> Result<Self, Doubt> {
        reader.depth_left = reader.depth_left.checked_sub(1).ok_or(Doubt)?;
        Ok(Self { reader, is_first: true, is_over: false })
    }

    /// Ends the object or list; an error if it was not read completely.
    #[inline(always)]
    fn end(self) -> Result<(), Doubt> {
        self.reader.depth_left += 1;
        if self.is_over { Ok(()) } else { Err(Doubt) }
    }

    /// Returns the first byte of the next item and the bytes after it; `None` after the last item.
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

impl<'de> Items<'de> for OpenValue<'_, 'de> {
    type Error = Doubt;

    fn read<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<bool, Doubt> {
        if self.next(b']')?.is_none() {
            return Ok(false);
        }
        self.reader.read(place)?;
        Ok(true)
    }

    fn read_to<T: FromJson<'de>>(&mut self, list: &mut Vec<Shape<T>>) -> Result<bool, Doubt> {
        if self.next(b']')?.is_none() {
            return Ok(false);
        }
        list.push(Shape::Absent);
        let place = list.last_mut().ok_or(Doubt)?;
        self.reader.read(place)?;
        Ok(true)
    }

    fn pass_over(&mut self) -> Result<bool, Doubt> {
        if self.next(b']')?.is_none() {
            return Ok(false);
        }
        self.reader.pass_over()?;
        Ok(true)
    }
}

impl<'de> Members<'de> for OpenValue<'_, 'de> {
    type Error = Doubt;

    #[inline(always)]
    fn next_key(&mut self) -> Result<Option<Key<'de>>, Doubt> {
        // The bytes that the API server writes between two members.
        if let [b',', b'"', rest @ ..] = self.reader.rest
            && !self.is_first
        {
            self.reader.rest = rest;
            return self.reader.key().map(Some);
        }
        match self.next(b'}')? {
            None => Ok(None),
            Some((b'"', rest)) => {
                self.reader.rest = rest;
                self.reader.key().map(Some)
            }
            Some(_) => Err(Doubt),
        }
    }

    #[inline(always)]
    fn read<T: FromJson<'de>>(&mut self, place: &mut Shape<T>) -> Result<(), Doubt> {
        self.reader.read(place)
    }

    #[inline(always)]
    fn pass_over(&mut self) -> Result<(), Doubt> {
        self.reader.pass_over()
    }
}
