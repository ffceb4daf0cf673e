//! The time that the caller has left. The API server sends its deadline in the query
//! (`?timeout=10s`, a duration in Go's format) and discards an answer that arrives later.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prestop_core::duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Time for the answer to reach the caller.
const RESERVE: Duration = Duration::from_millis(200);

/// Returns the time limit for a body: the server's own, or less if the caller has less time. A
/// timeout that is not a positive duration is ignored.
pub(super) fn time_for_body(query: Option<&str>, limit: Duration) -> Duration {
    let timeout = query.and_then(|query| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
        duration::parse_go(value).filter(|timeout| !timeout.is_zero())
    });
    timeout.map_or(limit, |timeout| limit.min(timeout.saturating_sub(RESERVE.min(timeout / 2))))
}

/// A timer that can be reset.
type Timer = Pin<Box<Sleep>>;

/// Timers for reuse. A new timer that is due before all others makes the runtime wake itself, which
/// takes two system calls; moving a timer to a later time does not.
#[derive(Clone, Default)]
pub(super) struct Alarms(Arc<Mutex<Vec<Timer>>>);

/// An alarm at a fixed time. It takes a timer only when it is awaited.
pub(super) struct Alarm<'a> {
    alarms: &'a Alarms,
    deadline: Instant,
    timer: Option<Timer>,
}

impl Alarms {
    pub(super) const fn at(&self, deadline: Instant) -> Alarm<'_> {
        Alarm { alarms: self, deadline, timer: None }
    }

    fn timer(&self, deadline: Instant) -> Timer {
        let unused = self.lock().pop();
        match unused {
            None => Box::pin(sleep_until(deadline)),
            Some(mut timer) => {
                timer.as_mut().reset(deadline);
                timer
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Timer>> {
        // No code that holds the lock can leave the value inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarm<'_> {
    /// Waits until the deadline.
    pub(super) async fn rings(&mut self) {
        let Self { alarms, deadline, timer } = self;
        timer.get_or_insert_with(|| alarms.timer(*deadline)).await;
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            // It may expire without a waiter, and then wakes a connection needlessly.
            self.alarms.lock().push(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_timer_is_used_again_for_earlier_and_later_times() {
        let alarms = Alarms::default();
        let soon = Duration::from_millis(20);
        for (away, does_ring) in [(60, false), (0, true), (60, false), (0, true)] {
            let deadline = Instant::now() + Duration::from_secs(away) + soon / 2;
            let mut alarm = alarms.at(deadline);
            for _ in 0..2 {
                let rang = timeout(soon, alarm.rings()).await.is_ok();
                assert_eq!(rang, does_ring, "{away}");
            }
            assert!(!does_ring || Instant::now() >= deadline);
            drop(alarm);
            assert_eq!(alarms.lock().len(), 1);
        }
        drop(alarms.at(Instant::now()));
        assert_eq!(alarms.lock().len(), 1);
    }

    #[test]
    fn the_shorter_time_counts() {
        let limit = Duration::from_secs(5);
        for (query, expected) in [
            (None, 5.0),
            (Some(""), 5.0),
            (Some("timeout=10s"), 5.0),
            (Some("timeout=2s"), 1.8),
            (Some("a=b&timeout=1m0s"), 5.0),
            (Some("timeout=1s500ms"), 1.3),
            (Some("timeout=1.5s"), 1.3),
            (Some("timeout=100ms"), 0.05),
            (Some("timeout=0s"), 5.0),
            (Some("timeout="), 5.0),
            (Some("timeout=abc"), 5.0),
            (Some("timeout=10"), 5.0),
            (Some("timeout=-1s"), 5.0),
            (Some("timeout=..s"), 5.0),
            (Some("timeout=100h"), 5.0),
            (Some("timeout=99999999999999999999999h"), 5.0),
            (Some("timeout=\u{e4}s"), 5.0),
        ] {
            let time = time_for_body(query, limit).as_secs_f64();
            assert!((time - expected).abs() < 1e-9, "{query:?}: {time}");
        }
    }
}
