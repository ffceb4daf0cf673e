//! Skips unused JSON values, examining each byte once.
//!
//! The contract: [`value`] accepts only values that `serde_json` accepts when it skips a value, and
//! then ends at the same position. If it is uncertain (deeper than [`DEEPEST`], lone surrogates,
//! malformed or truncated text), it rejects the value, and `serde_json` reads it.
//! `tests/reading.rs` checks this.

// Measured: a tenth of all instructions of a request depends on it.
#![allow(clippy::inline_always)]

use super::special::Specials;

/// Limit for the depth of nested objects and lists; empty ones do not count.
pub const DEEPEST: u32 = 63;

/// Skips the value at the beginning of `bytes`, which may start with white space, and returns the
/// rest; `None` if the value is not certain. `bytes` are UTF-8.
#[must_use]
pub fn value(bytes: &[u8]) -> Option<&[u8]> {
    value_of(bytes, &mut Specials::unknown())
}

/// Like [`value`], for a text that was read up to this position.
#[inline]
pub(super) fn value_of<'a>(bytes: &'a [u8], specials: &mut Specials) -> Option<&'a [u8]> {
    match bytes {
        [b'"', after @ ..] => text(after, specials),
        _ => any_value(bytes, specials),
    }
}

fn any_value<'a>(bytes: &'a [u8], specials: &mut Specials) -> Option<&'a [u8]> {
    let mut open = OpenStack::none();
    let mut rest = bytes;
    let mut next = Expected::Value;
    loop {
        rest = match next {
            Expected::Key => match members(rest, &mut open, specials)? {
                (rest, Expected::Over) => rest,
                (value, other) => {
                    (rest, next) = (value, other);
                    continue;
                }
            },
            Expected::Value | Expected::Over => match token(rest)? {
                (b'"', after) => text(after, specials)?,
                (b'{', after) => match token(after)? {
                    (b'}', after) => after,
                    (b'"', after) => {
                        open = open.object()?;
                        (rest, next) = (after, Expected::Key);
                        continue;
                    }
                    _ => return None,
                },
                (b'[', after) => {
                    let (b']', after) = token(after)? else {
                        open = open.list()?;
                        (rest, next) = (after, Expected::Value);
                        continue;
                    };
                    after
                }
                (b't', after) => after.strip_prefix(b"rue")?,
                (b'f', after) => after.strip_prefix(b"alse")?,
                (b'n', after) => after.strip_prefix(b"ull")?,
                (first, after) => number(first, after)?,
            },
        };
        // A value has ended, and possibly the object or list around it.
        loop {
            if open.is_none() {
                return Some(rest);
            }
            match (token(rest)?, open.is_object()) {
                ((b',', after), true) => {
                    let (b'"', after) = token(after)? else { return None };
                    (rest, next) = (after, Expected::Key);
                    break;
                }
                ((b',', after), false) => {
                    (rest, next) = (after, Expected::Value);
                    break;
                }
                ((b'}', after), true) | ((b']', after), false) => {
                    open = open.closed();
                    rest = after;
                }
                _ => return None,
            }
        }
    }
}

/// The next part of a value.
#[derive(Clone, Copy)]
enum Expected {
    /// A key, whose opening quote has been read.
    Key,
    /// A value, possibly after white space.
    Value,
    /// Whatever may follow a value.
    Over,
}

/// Skips the members of an object and the values in them, starting after the opening quote of a
/// key, as long as they have the form that the API server usually writes: strings, numbers,
/// objects, lists of objects or of strings, without white space between them.
#[inline(always)]
fn members<'a>(
    bytes: &'a [u8],
    open: &mut OpenStack,
    specials: &mut Specials,
) -> Option<(&'a [u8], Expected)> {
    let mut rest = bytes;
    loop {
        rest = text(rest, specials)?;
        // An entry of `managedFields`, and the opening quote of the next key.
        if let Some((member, [b'"', after @ ..])) = rest.split_first_chunk()
            && member == b":{},"
        {
            rest = after;
            continue;
        }
        rest = match rest {
            [b':', b'"', after @ ..] => text(after, specials)?,
            [b':', b'{', b'"', after @ ..] => {
                *open = open.object()?;
                rest = after;
                continue;
            }
            [b':', b'{', b'}', after @ ..]
            | [b':', b't', b'r', b'u', b'e', after @ ..]
            | [b':', b'f', b'a', b'l', b's', b'e', after @ ..] => after,
            [b':', first @ b'0'..=b'9', after @ ..] => number(*first, after)?,
            [b':', b'[', b'{', b'"', after @ ..] => {
                *open = open.list()?.object()?;
                rest = after;
                continue;
            }
            [b':', b'[', b'"', after @ ..] => {
                *open = open.list()?;
                text(after, specials)?
            }
            _ => return Some((colon(rest)?, Expected::Value)),
        };
        loop {
            match (rest, open.is_object()) {
                ([b',', b'"', after @ ..], true) => {
                    rest = after;
                    break;
                }
                ([b',', b'"', after @ ..], false) => rest = text(after, specials)?,
                ([b'}', after @ ..], true) | ([b']', after @ ..], false) => {
                    *open = open.closed();
                    rest = after;
                    if open.is_none() {
                        return Some((rest, Expected::Over));
                    }
                }
                ([b',', b'{', b'"', after @ ..], false) => {
                    *open = open.object()?;
                    rest = after;
                    break;
                }
                _ => return Some((rest, Expected::Over)),
            }
        }
    }
}

/// Returns the next byte that is not white space, and the bytes after it.
#[inline(always)]
pub(super) fn token(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut rest = bytes;
    loop {
        let (&byte, after) = rest.split_first()?;
        if byte > b' ' {
            return Some((byte, after));
        }
        if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
            return None;
        }
        rest = after;
    }
}

/// Returns the bytes after a colon.
#[inline(always)]
pub(super) fn colon(bytes: &[u8]) -> Option<&[u8]> {
    match token(bytes)? {
        (b':', after) => Some(after),
        _ => None,
    }
}

/// Skips a string whose opening quote has been read; returns the bytes after it.
#[inline(always)]
pub(super) fn text<'a>(bytes: &'a [u8], specials: &mut Specials) -> Option<&'a [u8]> {
    match specials.find(bytes)? {
        [b'"', after @ ..] => Some(after),
        found => escaped_text(found, specials),
    }
}

/// Skips the rest of a string that starts with an escape.
#[inline(never)]
fn escaped_text<'a>(bytes: &'a [u8], specials: &mut Specials) -> Option<&'a [u8]> {
    let mut found = bytes;
    loop {
        found = match found {
            [b'\\', b'"', after @ ..] => specials.find(after)?,
            [b'"', after @ ..] => return Some(after),
            [b'\\', after @ ..] => specials.find(escape(after)?)?,
            _ => return None,
        }
    }
}

/// Skips an escape whose backslash has been read; returns the bytes after it.
fn escape(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => Some(after),
        // Half of a surrogate pair: `serde_json` accepts it when it skips a value, but does not
        // read it without the other half.
        [b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => None,
        [b'u', after @ ..] => {
            let (digits, after) = after.split_first_chunk::<4>()?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(after)
        }
        _ => None,
    }
}

/// Skips a number whose first byte is `first`; returns the bytes after it.
fn number(first: u8, after: &[u8]) -> Option<&[u8]> {
    let rest = match first {
        b'1'..=b'9' => digits(after),
        b'0' => after,
        b'-' => match after {
            [b'1'..=b'9', after @ ..] => digits(after),
            [b'0', after @ ..] => after,
            _ => return None,
        },
        _ => return None,
    };
    match rest.first() {
        Some(b'0'..=b'9' | b'.' | b'e' | b'E') => fraction(rest),
        _ => Some(rest),
    }
}

/// Skips a fraction, an exponent, or both; returns the bytes after them.
fn fraction(bytes: &[u8]) -> Option<&[u8]> {
    let rest = match bytes {
        [b'.', fraction @ ..] => at_least_one_digit(fraction)?,
        _ => bytes,
    };
    match rest {
        [b'0'..=b'9', ..] => None,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            at_least_one_digit(exponent)
        }
        _ => Some(rest),
    }
}

fn digits(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

fn at_least_one_digit(bytes: &[u8]) -> Option<&[u8]> {
    let rest = digits(bytes);
    (rest.len() < bytes.len()).then_some(rest)
}

/// The open objects and lists: one bit for each, 1 for objects, with the innermost in the lowest
/// bit, and a 1 above all of them as a marker.
#[derive(Clone, Copy, PartialEq, Eq)]
struct OpenStack(u64);

impl OpenStack {
    const fn none() -> Self {
        Self(1)
    }

    const fn is_none(self) -> bool {
        self.0 == 1
    }

    fn object(self) -> Option<Self> {
        self.list().map(|Self(bits)| Self(bits | 1))
    }

    fn list(self) -> Option<Self> {
        (self.0.leading_zeros() > 0).then_some(Self(self.0 << 1))
    }

    const fn is_object(self) -> bool {
        self.0 & 1 == 1
    }

    const fn closed(self) -> Self {
        Self(self.0 >> 1)
    }
}
