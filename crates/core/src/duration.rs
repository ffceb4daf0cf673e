//! Durations in the notation of annotations and of the configuration: `15s`, `1m30s`, `2h`, or a
//! plain number of whole seconds; and in Go's notation ([`parse_go`]).
//!
//! Kubernetes counts grace periods and sleeps in whole seconds, and so does this module: a fraction
//! of a second is rounded up, and the result records that.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Longest accepted duration: a hundred years, in seconds. Longer values are typing errors.
const LONGEST_SECONDS: i64 = 100 * 366 * 24 * 3600;

/// A parsed duration in whole seconds, and whether it was rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedDuration {
    /// Whole seconds, 0 to a hundred years.
    pub seconds: i64,
    /// Whether the text contained a fraction of a second (`1500ms`), which was rounded up.
    pub rounded_up: bool,
}

/// Reason why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// The text is empty or contains only whitespace.
    #[error("empty; write a duration such as 15s or 1m30s")]
    Empty,
    /// The text is neither a number of seconds nor a list of number-unit pairs in the order h, m,
    /// s, ms.
    #[error("not a duration; write 15s, 1m30s or a whole number of seconds")]
    Malformed,
    /// The duration is longer than a hundred years.
    #[error("the duration is too long")]
    TooLong,
}

/// A delay, either fixed or with two bounds. Ordered by the upper bound, then by the lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The lower bound, in whole seconds.
    pub least_seconds: i64,
    /// The upper bound, in whole seconds; at least the lower bound, and equal to it for a fixed
    /// delay.
    pub most_seconds: i64,
}

/// A delay as requested in an annotation or the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedDelay {
    /// This delay.
    Of(Delay),
    /// The delay that the fronts of the pod need: `auto`.
    Auto,
}

/// A delay, printed in seconds: `10s-120s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain(pub Delay);

/// A parsed delay, and whether it was rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedDelay {
    /// The bounds, each 0 to a hundred years.
    pub delay: Delay,
    /// Whether the text contained a fraction of a second, which was rounded up.
    pub rounded_up: bool,
}

/// Reason why a text is not a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DelayError {
    /// The text is not a duration and contains no `-`.
    #[error(transparent)]
    NotADuration(#[from] DurationError),
    /// The text contains a `-`, but not exactly one duration on each side of it.
    #[error("not a range of delays; write 10s-2m")]
    NotARange,
    /// The lower bound is greater than the upper one.
    #[error("{} is more than {}; write the shorter one first", HumanSeconds(*.least_seconds), HumanSeconds(*.most_seconds))]
    WrongOrder {
        /// The lower bound.
        least_seconds: i64,
        /// The upper bound.
        most_seconds: i64,
    },
}

/// Seconds, printed with units: `90` is `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanSeconds(pub i64);

/// Parses `15s`, `1m30s`, `1h`, `250ms` or plain whole seconds (`15`).
///
/// Units must come in the order h, m, s, ms, each at most once; no signs, no spaces, no decimal
/// point, ASCII digits only.
///
/// # Errors
/// Returns an error if the text is empty or has any other form, or if the duration is longer than a
/// hundred years.
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

/// Parses a duration in Go's notation, for example from a URL: a sum of decimal numbers with units,
/// without a sign: `1m0.5s`. Returns `None` for anything else.
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

/// Parses a delay: a duration, or a range of two durations with `-` between them (`10s-2m`), each
/// as accepted by [`parse`].
///
/// # Errors
/// Returns an error if the text has any other form, or if the lower bound is greater than the upper
/// one.
pub fn parse_delay(text: &str) -> Result<ParsedDelay, DelayError> {
    let Some((least, most)) = text.split_once('-') else {
        let ParsedDuration { seconds, rounded_up } = parse(text)?;
        return Ok(ParsedDelay { delay: Delay::fixed(seconds), rounded_up });
    };
    let bound = |text: &str| {
        parse(text).map_err(|cause| match cause {
            DurationError::TooLong => DelayError::NotADuration(cause),
            // `-5` and `15; rm -rf` are mistakes in a duration, not in a range.
            _ if parse(least.trim()).is_err() => DelayError::NotADuration(DurationError::Malformed),
            _ => DelayError::NotARange,
        })
    };
    let (least, most) = (bound(least)?, bound(most)?);
    let (least_seconds, most_seconds) = (least.seconds, most.seconds);
    if least_seconds > most_seconds {
        return Err(DelayError::WrongOrder { least_seconds, most_seconds });
    }
    let rounded_up = least.rounded_up || most.rounded_up;
    Ok(ParsedDelay { delay: Delay { least_seconds, most_seconds }, rounded_up })
}

fn number(digits: &str) -> Result<i64, DurationError> {
    if digits.is_empty() {
        return Err(DurationError::Malformed);
    }
    // The text consists of digits, so parsing fails only if the number is too large.
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

impl Delay {
    /// Creates a fixed delay.
    #[must_use]
    pub const fn fixed(seconds: i64) -> Self {
        Self { least_seconds: seconds, most_seconds: seconds }
    }

    /// Creates a delay with two bounds, which may be given in any order.
    #[must_use]
    pub fn between(one: i64, other: i64) -> Self {
        Self { least_seconds: one.min(other), most_seconds: one.max(other) }
    }

    /// Returns the delay that covers both: the longer lower bound and the longer upper bound.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            least_seconds: self.least_seconds.max(other.least_seconds),
            most_seconds: self.most_seconds.max(other.most_seconds),
        }
    }

    /// Returns whether the bounds differ.
    #[must_use]
    pub const fn is_range(self) -> bool {
        self.least_seconds < self.most_seconds
    }

    /// Limits both bounds.
    #[must_use]
    pub fn at_most(self, seconds: i64) -> Self {
        Self {
            least_seconds: self.least_seconds.min(seconds),
            most_seconds: self.most_seconds.min(seconds),
        }
    }
}

impl PartialOrd for Delay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delay {
    fn cmp(&self, other: &Self) -> Ordering {
        let bounds = |delay: &Self| (delay.most_seconds, delay.least_seconds);
        bounds(self).cmp(&bounds(other))
    }
}

impl AskedDelay {
    /// Notation of a delay that depends on the fronts of the pod.
    pub const AUTO: &'static str = "auto";

    /// Limits both bounds; `auto` is not changed.
    #[must_use]
    pub fn at_most(self, seconds: i64) -> Self {
        match self {
            Self::Of(delay) => Self::Of(delay.at_most(seconds)),
            Self::Auto => Self::Auto,
        }
    }
}

impl fmt::Display for Delay {
    /// Prints the delay with units: `10s`, `10s-2m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_range() {
            write!(f, "{}-", HumanSeconds(self.least_seconds))?;
        }
        write!(f, "{}", HumanSeconds(self.most_seconds))
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Delay { least_seconds, most_seconds }) = self;
        if self.0.is_range() {
            write!(f, "{least_seconds}s-")?;
        }
        write!(f, "{most_seconds}s")
    }
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

    #[test]
    fn two_fronts_need_the_longer_of_both_bounds() {
        let (one, other) = (Delay::between(30, 40), Delay::between(60, 5));
        assert_eq!(one.and(other), Delay { least_seconds: 30, most_seconds: 60 });
        assert!(one < other);
    }

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

    #[test]
    fn reads_delays_and_ranges() {
        for (text, least, most, rounded_up) in [
            ("10s", 10, 10, false),
            ("10s-10s", 10, 10, false),
            ("10s-2m", 10, 120, false),
            ("0-1m30s", 0, 90, false),
            ("5-10", 5, 10, false),
            ("1500ms-2s", 2, 2, true),
            ("1s-2500ms", 1, 3, true),
        ] {
            let delay = Delay { least_seconds: least, most_seconds: most };
            assert_eq!(parse_delay(text), Ok(ParsedDelay { delay, rounded_up }), "{text}");
        }
        assert_eq!(parse_delay("10s-120s").unwrap().delay.to_string(), "10s-2m");
        assert_eq!(parse_delay("60s-1m").unwrap().delay.to_string(), "1m");
    }

    #[test]
    fn refuses_what_is_no_delay() {
        for text in [
            "10s-",
            "10s--2m",
            "10s - 2m",
            "10s-2m-3m",
            "10s-x",
            "10s-2m ",
            "10s–2m",
            "a-b",
            "1-+2",
        ] {
            let is_malformed = matches!(
                parse_delay(text),
                Err(DelayError::NotARange | DelayError::NotADuration(DurationError::Malformed))
            );
            assert!(is_malformed, "{text}: {:?}", parse_delay(text));
        }
        for text in ["-5", "-", "-5s"] {
            let expected = Err(DelayError::NotADuration(DurationError::Malformed));
            assert_eq!(parse_delay(text), expected, "{text}");
        }
        assert_eq!(parse_delay(""), Err(DelayError::NotADuration(DurationError::Empty)));
        let too_long = Err(DelayError::NotADuration(DurationError::TooLong));
        assert_eq!(parse_delay("1s-99999999999999999999"), too_long);
        let order = parse_delay("2m-10s").unwrap_err();
        assert_eq!(order.to_string(), "2m is more than 10s; write the shorter one first");
    }
}
