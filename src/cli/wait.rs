//! The time limit for waiting.

use std::str::FromStr;
use std::time::Duration;

use prestop_core::duration;

/// Maximum time: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A time limit for waiting, written as everywhere in prestop: `90s`, `2m`, `1m30s`, or seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(Duration);

impl Wait {
    /// Returns the time limit as a duration.
    #[must_use]
    pub(crate) const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Wait {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = duration::parse(text).ok().and_then(|it| u64::try_from(it.seconds).ok());
        parsed
            .map(Duration::from_secs)
            .filter(|wait| *wait <= LONGEST)
            .map(Self)
            .ok_or("a duration such as 30s, 2m or 1h, at most 24h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [("90", 90), ("2m", 120), ("1m30s", 90), ("0s", 0), ("24h", 86_400)]
        {
            assert_eq!(text.parse(), Ok(Wait(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "soon", "-1", "25h", "2 m"] {
            assert!(text.parse::<Wait>().is_err(), "{text}");
        }
    }
}
