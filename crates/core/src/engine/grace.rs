//! The arithmetic of grace periods (`docs/rules.md`, section 7), in whole seconds. All operations
//! saturate, because grace periods come from users and may have any value.
//!
//! The kubelet's countdown includes the hook (KEP-3960 and the API's comment on `preStop`), so a
//! hook that is injected without raising the grace period takes its time from the application.

/// Kubernetes' default grace period.
pub const DEFAULT_GRACE_PERIOD_SECONDS: i64 = 30;
/// Divisor for the share of a period that is reserved for the stop signal.
pub(crate) const RESERVE_DIVISOR: i64 = 4;
/// Lower bound for the reserved share, in seconds.
pub(crate) const LEAST_RESERVE_SECONDS: i64 = 1;
/// Upper bound for the reserved share, in seconds.
pub(crate) const MOST_RESERVE_SECONDS: i64 = 5;

/// The time that one container needs in the grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The container's delay.
    pub delay_seconds: i64,
    /// Seconds of the delay that are only for the drain of other containers; they are shortened
    /// first if the maximum is reached.
    pub drain_seconds: i64,
    /// Seconds that the application may take to finish; `None` means the pod's own grace period.
    pub quit_timeout_seconds: Option<i64>,
}

/// A pod's grace period before and after an injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GracePeriod {
    /// The author's value, before any injection.
    pub before_seconds: i64,
    /// The grace period that covers every hook and leaves every application its time; at least the
    /// current one.
    pub after_seconds: i64,
    /// Whether the maximum is less than needed, without the drain of other containers.
    pub is_capped: bool,
    /// Whether the maximum is less than needed for everything.
    pub is_full: bool,
}

/// The part of the grace period for one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The delay, in seconds; shortened if it does not fit.
    pub delay_seconds: i64,
    /// Seconds by which a quit may delay the stop signal; the rest is reserved for the stop signal.
    pub wait_seconds: i64,
    /// Whether the application has less time after the delay than it asked for.
    pub is_short: bool,
}

impl GracePeriod {
    /// Computes the grace period for all `needs`. `now` is the value in the pod, `before` the
    /// original one; they differ only if an earlier pass has raised it.
    #[must_use]
    pub fn covering(
        before: i64,
        now: i64,
        needs: impl IntoIterator<Item = Need>,
        maximum: i64,
    ) -> Self {
        let (needed, wanted) =
            needs.into_iter().fold((before, before), |(needed, wanted), need| {
                let time = need.time_after_delay(before);
                let with_time = |delay: i64| delay.saturating_add(time);
                (needed.max(with_time(need.own_delay())), wanted.max(with_time(need.delay_seconds)))
            });
        let is_full = wanted > maximum;
        let after_seconds = if is_full { before.max(maximum) } else { wanted }.max(now);
        Self { before_seconds: before, after_seconds, is_capped: needed > maximum, is_full }
    }

    /// Returns a container's part of the grace period.
    #[must_use]
    pub fn share(&self, need: Need) -> Share {
        let longest_delay = if self.is_full {
            self.after_seconds.saturating_sub(reserve(self.after_seconds)).max(0)
        } else {
            i64::MAX
        };
        let delay_seconds = need.delay_seconds.min(longest_delay);
        let asked = need.time_after_delay(self.before_seconds);
        let left = self.after_seconds.saturating_sub(delay_seconds);
        let time = asked.min(left);
        let quit_timeout = need.quit_timeout_seconds.unwrap_or(self.before_seconds);
        let wait_seconds = quit_timeout.min(time.saturating_sub(reserve(time))).max(0);
        let own_delay = need.own_delay().min(longest_delay);
        let is_short = self.is_capped && self.after_seconds.saturating_sub(own_delay) < asked;
        Share { delay_seconds, wait_seconds, is_short }
    }
}

impl Need {
    /// Returns by how many seconds a quit may delay the stop signal if the maximum does not shorten
    /// it.
    #[must_use]
    pub fn whole_wait_seconds(&self, before: i64) -> i64 {
        let time = self.time_after_delay(before);
        let quit_timeout = self.quit_timeout_seconds.unwrap_or(before);
        quit_timeout.min(time.saturating_sub(reserve(time))).max(0)
    }

    /// Returns the delay without the part that is only for other containers.
    #[must_use]
    pub const fn own_delay(&self) -> i64 {
        self.delay_seconds.saturating_sub(self.drain_seconds)
    }

    /// Returns the seconds that the application has after its delay: never fewer than before the
    /// injection.
    fn time_after_delay(&self, before: i64) -> i64 {
        before.max(self.quit_timeout_seconds.unwrap_or(before))
    }
}

/// Returns the seconds of a period that are reserved for the stop signal: a quarter, limited to 1
/// to 5 seconds.
fn reserve(seconds: i64) -> i64 {
    (seconds / RESERVE_DIVISOR).clamp(LEAST_RESERVE_SECONDS, MOST_RESERVE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn need(delay_seconds: i64) -> Need {
        Need { delay_seconds, drain_seconds: 0, quit_timeout_seconds: None }
    }

    #[test]
    fn the_application_keeps_every_second_it_had() {
        let grace = GracePeriod::covering(30, 30, [need(10)], 600);
        assert_eq!(
            grace,
            GracePeriod { before_seconds: 30, after_seconds: 40, is_capped: false, is_full: false }
        );
        assert_eq!(
            grace.share(need(10)),
            Share { delay_seconds: 10, wait_seconds: 25, is_short: false }
        );
    }

    #[test]
    fn a_tiny_grace_period_does_not_shorten_the_delay() {
        let grace = GracePeriod::covering(1, 1, [need(10)], 600);
        assert_eq!(grace.after_seconds, 11);
        let share = Share { delay_seconds: 10, wait_seconds: 0, is_short: false };
        assert_eq!(grace.share(need(10)), share);
    }

    #[test]
    fn a_longer_quit_timeout_raises_it() {
        let patient = Need { quit_timeout_seconds: Some(120), ..need(10) };
        let grace = GracePeriod::covering(30, 30, [patient, need(15)], 600);
        assert_eq!(grace.after_seconds, 130);
        assert_eq!(grace.share(patient).wait_seconds, 115);
        assert_eq!(grace.share(need(15)).wait_seconds, 25);
    }

    #[test]
    fn a_shorter_quit_timeout_takes_nothing_away() {
        let hasty = Need { quit_timeout_seconds: Some(5), ..need(10) };
        let grace = GracePeriod::covering(30, 30, [hasty], 600);
        assert_eq!((grace.after_seconds, grace.share(hasty).wait_seconds), (40, 5));
    }

    #[test]
    fn at_the_cap_delay_and_wait_are_shortened() {
        let grace = GracePeriod::covering(600, 600, [need(10)], 600);
        assert_eq!(grace.after_seconds, 600);
        assert_eq!(
            grace.share(need(10)),
            Share { delay_seconds: 10, wait_seconds: 585, is_short: true }
        );
        let tight = GracePeriod::covering(30, 30, [need(120)], 40);
        assert_eq!(tight.after_seconds, 40);
        assert_eq!(
            tight.share(need(120)),
            Share { delay_seconds: 35, wait_seconds: 4, is_short: true }
        );
    }

    #[test]
    fn a_grace_period_above_the_cap_is_left() {
        let grace = GracePeriod::covering(3600, 3600, [need(10)], 600);
        assert_eq!(grace.after_seconds, 3600);
        assert!(grace.share(need(10)).is_short);
    }

    #[test]
    fn what_is_for_the_drain_of_others_gives_way_to_the_maximum() {
        let sidecar = Need { drain_seconds: 285, ..need(300) };
        let grace = GracePeriod::covering(30, 30, [need(10), sidecar], 600);
        assert_eq!((grace.after_seconds, grace.is_full), (330, false));
        let grace = GracePeriod::covering(400, 400, [need(10), sidecar], 600);
        assert_eq!((grace.after_seconds, grace.is_capped, grace.is_full), (600, false, true));
        let share = Share { delay_seconds: 300, wait_seconds: 295, is_short: false };
        assert_eq!(grace.share(sidecar), share);
        let grace = GracePeriod::covering(100, 100, [need(10), sidecar], 120);
        assert_eq!(grace.share(sidecar).delay_seconds, 115);
        assert!(!grace.share(sidecar).is_short);
    }

    #[test]
    fn the_whole_wait_leaves_time_for_the_stop_signal() {
        assert_eq!(need(10).whole_wait_seconds(30), 25);
        assert_eq!(Need { quit_timeout_seconds: Some(90), ..need(10) }.whole_wait_seconds(30), 85);
        assert_eq!(Need { quit_timeout_seconds: Some(5), ..need(10) }.whole_wait_seconds(30), 5);
        assert_eq!(need(10).whole_wait_seconds(1), 0);
    }

    #[test]
    fn nothing_overflows() {
        for before in [1, i64::MAX - 5, i64::MAX] {
            for timeout in [None, Some(0), Some(i64::MAX)] {
                let need = Need { quit_timeout_seconds: timeout, ..need(i64::MAX) };
                let grace = GracePeriod::covering(before, before, [need], i64::MAX);
                let share = grace.share(need);
                assert!(grace.after_seconds >= before);
                assert!(
                    share.delay_seconds.saturating_add(share.wait_seconds) <= grace.after_seconds
                );
            }
        }
    }

    #[test]
    fn a_second_pass_starts_from_the_first_grace_period() {
        let grace = GracePeriod::covering(30, 40, [need(15)], 600);
        assert_eq!(
            grace,
            GracePeriod { before_seconds: 30, after_seconds: 45, is_capped: false, is_full: false }
        );
        assert_eq!(GracePeriod::covering(30, 40, [need(5)], 600).after_seconds, 40);
    }
}
