//! How long a front goes on sending: a duration, or a range of them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::duration::{self, DurationError, HumanSeconds};

/// At least so long, at most so long. Ordered by the upper end, then by the lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayRange {
    /// Whole seconds, 0 or more.
    pub at_least: i64,
    /// Whole seconds, not less than `at_least`.
    pub at_most: i64,
}

/// Why a text is no duration and no range of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DelayRangeError {
    /// One of its ends is no duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// It ends before it begins.
    #[error("a range begins with its shorter end, as in 10s-2m")]
    Reversed,
}

impl DelayRange {
    /// A range; the ends may come in any order.
    #[must_use]
    pub fn new(one: i64, other: i64) -> Self {
        Self { at_least: one.min(other), at_most: one.max(other) }
    }

    /// What outlasts both: the longer lower end, and the longer upper end.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            at_least: self.at_least.max(other.at_least),
            at_most: self.at_most.max(other.at_most),
        }
    }
}

impl PartialOrd for DelayRange {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DelayRange {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_most, self.at_least).cmp(&(other.at_most, other.at_least))
    }
}

impl FromStr for DelayRange {
    type Err = DelayRangeError;

    fn from_str(text: &str) -> Result<Self, DelayRangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (duration::parse(first)?.seconds, duration::parse(last)?.seconds);
        if first > last {
            return Err(DelayRangeError::Reversed);
        }
        Ok(Self { at_least: first, at_most: last })
    }
}

impl fmt::Display for DelayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", HumanSeconds(self.at_least))?;
        if self.at_most > self.at_least {
            write!(f, "-{}", HumanSeconds(self.at_most))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_printed() {
        for text in ["5s", "10s-15s", "1m-1m30s", "0s"] {
            assert_eq!(text.parse::<DelayRange>().unwrap().to_string(), text);
        }
        assert_eq!("15s-10s".parse::<DelayRange>(), Err(DelayRangeError::Reversed));
        for text in ["", "-", "5s-", "-5s", "1s-2s-3s", "soon"] {
            assert!(text.parse::<DelayRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn two_fronts_need_the_longer_of_both_ends() {
        let one = DelayRange::new(30, 40);
        let other = DelayRange::new(60, 5);
        assert_eq!(one.and(other), DelayRange { at_least: 30, at_most: 60 });
        assert!(one < other);
    }
}
