//! A replica's clock compared with the API server's. API servers check certificates by their own
//! clock, so theirs counts if the two differ. Pure: both times are arguments.

use std::time::{Duration, SystemTime};

/// Minimum by which a replica's clock is ahead of the API server's, in milliseconds; negative:
/// behind. The exact difference is unknown: a response takes time, and its `Date` has whole
/// seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Difference(i64);

/// The time by a replica's clock, and by the API server's if the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    own: SystemTime,
    api_server: Option<SystemTime>,
}

impl Difference {
    /// Measures the difference by the `Date` of a response, and by the replica's clock at the time
    /// of the request and of the response.
    #[must_use]
    pub fn measured(asked: SystemTime, date: SystemTime, answered: SystemTime) -> Self {
        let end = date + Duration::from_secs(1);
        Self(if let Ok(behind) = date.duration_since(answered) {
            -milliseconds(behind)
        } else {
            asked.duration_since(end).map_or(0, milliseconds)
        })
    }

    /// Restores a difference from the result of [`Difference::milliseconds`].
    #[must_use]
    pub const fn of_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Returns the milliseconds; positive: the replica's clock is ahead.
    #[must_use]
    pub const fn milliseconds(self) -> i64 {
        self.0
    }

    /// Whether the difference exceeds the tolerance, in either direction.
    #[must_use]
    pub fn is_beyond(self, tolerance: Duration) -> bool {
        Duration::from_millis(self.0.unsigned_abs()) > tolerance
    }

    /// Returns the API server's time when the replica's clock shows `own`.
    fn api_server(self, own: SystemTime) -> Option<SystemTime> {
        let by = Duration::from_millis(self.0.unsigned_abs());
        if self.0 < 0 { own.checked_add(by) } else { own.checked_sub(by) }
    }
}

impl Clocks {
    /// Takes the time by the replica's clock; the API server's is known only if the difference
    /// exceeds the tolerance.
    #[must_use]
    pub fn new(own: SystemTime, difference: Difference, tolerance: Duration) -> Self {
        let differs = difference.is_beyond(tolerance);
        Self { own, api_server: differs.then(|| difference.api_server(own)).flatten() }
    }

    /// Returns the time by the replica's clock.
    #[must_use]
    pub const fn own(&self) -> SystemTime {
        self.own
    }

    /// Returns the time by which API servers check certificates.
    #[must_use]
    pub fn checking(&self) -> SystemTime {
        self.api_server.unwrap_or(self.own)
    }

    /// Whether the two clocks agree, as far as known.
    #[must_use]
    pub const fn agree(&self) -> bool {
        self.api_server.is_none()
    }

    /// Returns both times, the API server's first.
    pub(super) fn both(&self) -> [SystemTime; 2] {
        [self.checking(), self.own]
    }
}

impl From<SystemTime> for Clocks {
    /// Creates clocks without a known difference.
    fn from(own: SystemTime) -> Self {
        Self { own, api_server: None }
    }
}

/// Converts to milliseconds, at most 292 million years.
fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(milliseconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_an_answer_can_not_tell_apart_is_no_difference() {
        for (asked, answered, expected) in [
            // The same clock: `Date` is truncated to whole seconds, and the answer took a while.
            (10_000, 10_010, 0),
            (10_990, 10_999, 0),
            (10_999, 11_002, 0),
            (4000, 19_000, 0),
            // Ahead and behind.
            (11_500, 11_600, 500),
            (8000, 9500, -500),
            (310_010_000, 310_010_001, 309_999_000),
        ] {
            let difference = Difference::measured(at(asked), at(10_000), at(answered));
            assert_eq!(difference.milliseconds(), expected, "{asked} {answered}");
        }
        // A clock that was set back between question and answer.
        assert_eq!(Difference::measured(at(900_000), at(10_000), at(10_500)).0, 889_000);
    }

    #[test]
    fn beyond_the_tolerance_the_api_servers_time_counts() {
        let tolerance = Duration::from_secs(5);
        for (difference, checking) in [(5000, 60_000), (5001, 54_999), (-6000, 66_000)] {
            let clocks = Clocks::new(at(60_000), Difference(difference), tolerance);
            assert_eq!(clocks.checking(), at(checking));
            assert_eq!(clocks.own(), at(60_000));
            assert_eq!(clocks.agree(), difference == 5000);
        }
        assert!(Clocks::new(at(0), Difference(i64::MIN), tolerance).checking() >= at(0));
        assert_eq!(Clocks::from(at(7)).both(), [at(7), at(7)]);
    }
}
