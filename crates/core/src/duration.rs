//! Durations as people write them in annotations and in the configuration: `15s`, `1m30s`, `2h`,
//! or a plain number of whole seconds; and as Go writes them ([`parse_go`]).
//!
//! Kubernetes counts grace periods and sleeps in whole seconds, so that is all this module knows:
//! a value with a fraction of a second is rounded up, and the caller is told.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// The most that is read: a hundred years. Longer values are typing errors.
const LONGEST_SECONDS: i64 = 100 * 366 * 24 * 3600;

/// A parsed duration: whole seconds, and whether rounding was needed to get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedDuration {
    /// Whole seconds, 0 to a hundred years.
    pub seconds: i64,
    /// The text named a fraction of a second (`1500ms`), which was rounded up.
    pub rounded_up: bool,
}

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Nothing there, or only spaces.
    #[error("empty; write a duration such as 15s or 1m30s")]
    Empty,
    /// Neither a number of seconds nor number-unit pairs in the order h, m, s, ms.
    #[error("not a duration; write 15s, 1m30s or a whole number of seconds")]
    Malformed,
    /// More than a hundred years.
    #[error("too long a duration")]
    TooLong,
}

/// Seconds, printed as people write them: `90` is `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanSeconds(pub i64);

/// Reads `15s`, `1m30s`, `1h`, `250ms` or plain whole seconds (`15`).
///
/// Units must come in the order h, m, s, ms, each at most once; no signs, no spaces, no decimal
/// point, ASCII digits only.
///
/// # Errors
/// When the text is empty, is anything else than the above, or is longer than a hundred years.
pub fn parse(text: &str) -> Result<ParsedDuration, DurationError> {
    if text.trim().is_empty() {
        return Err(DurationError::Empty);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return finish(number(text)?.saturating_mul(1000));
    }
    let mut rest = text;
    let mut milliseconds: i64 = 0;
    let mut units: &[(&str, i64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (value, tail) = rest.split_at_checked(digits).ok_or(DurationError::Malformed)?;
        let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, tail) = tail.split_at_checked(letters).ok_or(DurationError::Malformed)?;
        let position =
            units.iter().position(|(name, _)| *name == unit).ok_or(DurationError::Malformed)?;
        let (&(_, scale), later) =
            units.get(position..).and_then(<[_]>::split_first).ok_or(DurationError::Malformed)?;
        milliseconds = milliseconds.saturating_add(number(value)?.saturating_mul(scale));
        units = later;
        rest = tail;
    }
    finish(milliseconds)
}

/// Reads a duration as Go writes it, in a URL: a sum of decimal numbers with units, without a sign: `1m0.5s`.
/// `None` for anything else.
#[must_use]
pub fn parse_go(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    Some(total)
}

fn number(digits: &str) -> Result<i64, DurationError> {
    if digits.is_empty() {
        return Err(DurationError::Malformed);
    }
    // Only digits get here, so the one way to fail is a number that is too large.
    digits.parse().map_err(|_| DurationError::TooLong)
}

fn finish(milliseconds: i64) -> Result<ParsedDuration, DurationError> {
    let rounded_up = milliseconds % 1000 != 0;
    let seconds = (milliseconds / 1000).saturating_add(i64::from(rounded_up));
    if seconds > LONGEST_SECONDS {
        return Err(DurationError::TooLong);
    }
    Ok(ParsedDuration { seconds, rounded_up })
}

impl fmt::Display for HumanSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 % 3600 / 60, self.0 % 60);
        if hours != 0 {
            write!(f, "{hours}h")?;
        }
        if minutes != 0 {
            write!(f, "{minutes}m")?;
        }
        if seconds != 0 || self.0 == 0 {
            write!(f, "{seconds}s")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<i64, DurationError> {
        parse(text).map(|parsed| parsed.seconds)
    }

    #[test]
    fn reads_what_people_write() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("15", 15),
            ("15s", 15),
            ("1m30s", 90),
            ("2h", 7200),
            ("1h1s", 3601),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse(text),
                Ok(ParsedDuration { seconds: expected, rounded_up: false }),
                "{text}"
            );
        }
    }

    #[test]
    fn rounds_fractions_up_and_says_so() {
        for (text, expected) in [("1ms", 1), ("1500ms", 2), ("1s1ms", 2), ("999ms", 1)] {
            assert_eq!(
                parse(text),
                Ok(ParsedDuration { seconds: expected, rounded_up: true }),
                "{text}"
            );
        }
        assert_eq!(parse("2000ms"), Ok(ParsedDuration { seconds: 2, rounded_up: false }));
    }

    #[test]
    fn refuses_everything_else() {
        let hostile = [
            "-5",
            "+5",
            " 15 ",
            "15 s",
            "1.5s",
            "1e3",
            "0x10",
            "١٥",
            "NaN",
            "15; rm -rf /",
            "$(id)",
            "5\n",
            "5\0",
            "s",
            "5d",
            "5S",
            "1s1m",
            "5s5s",
            "1m30",
            "5ss",
            "ms",
            "1µs",
        ];
        for text in hostile {
            assert_eq!(seconds(text), Err(DurationError::Malformed), "{text:?}");
        }
        assert_eq!(seconds(""), Err(DurationError::Empty));
        assert_eq!(seconds("  "), Err(DurationError::Empty));
    }

    #[test]
    fn refuses_what_would_overflow() {
        for text in
            ["99999999999999999999", "9223372036854775807", "9223372036854775807h", "9999999h"]
        {
            assert_eq!(seconds(text), Err(DurationError::TooLong), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["0s", "5s", "1m", "1m30s", "1h", "1h1s", "2h3m4s"] {
            assert_eq!(HumanSeconds(seconds(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn go_writes_fractions_and_any_order() {
        for (text, expected) in [
            ("", Some(0)),
            ("1m0s", Some(60_000_000)),
            ("1.5s", Some(1_500_000)),
            ("2ms1h", Some(3_600_002_000)),
            ("3us", Some(3)),
            ("3µs", Some(3)),
            ("5000ns", Some(5)),
            ("10", None),
            ("s", None),
            ("..s", None),
            ("-1s", None),
            ("1d", None),
            ("\u{e4}s", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(parse_go(text), expected.map(Duration::from_micros), "{text:?}");
        }
    }
}
