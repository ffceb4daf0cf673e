//! Termination of a container as in the kubelet (`killContainer` and `executePreStopHook`):
//!
//! 1. The preStop hook runs, at most for the grace period, which includes it.
//! 2. The rest of the grace period is at least 2 s (`minimumGracePeriodInSeconds`).
//! 3. The runtime sends the stop signal, and SIGKILL when that time is over.
//!
//! A hook that is late is neither awaited nor stopped. A failing hook has no effect on the
//! termination. A `sleep` continues after the container has ended (kubernetes/kubernetes issue
//! 134338).

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::plan::Termination;
use super::plan::container::HookAction;
use super::recording::HookResult;

/// The time that the runtime always leaves a container after its stop signal, however long the hook
/// took.
pub(crate) const LEAST_TIME_TO_STOP: Duration = Duration::from_secs(2);

/// Upper bound for the time until the kernel reports that PID 1 has ended.
const NEWS_OF_EXIT: Duration = Duration::from_millis(200);

/// A container that is being terminated.
pub(crate) trait Container {
    /// Runs a hook to its end and returns its result and output.
    fn hook(&self, action: &HookAction) -> impl Future<Output = (HookResult, String)> + Send;
    /// Sends the stop signal.
    fn stop(&self);
    /// Sends SIGKILL.
    fn kill(&self);
    /// Returns when PID 1 has ended; immediately if it already has.
    fn exited(&self) -> impl Future<Output = ()> + Send;
    /// Returns whether PID 1 has ended.
    fn has_exited(&self) -> bool;
}

/// The steps of the kubelet, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The hook has ended, or is no longer awaited.
    HookOver {
        /// Result of the hook.
        result: HookResult,
        /// Output of the hook.
        output: String,
        /// Time for which the hook was awaited.
        took: Duration,
    },
    /// The stop signal was sent.
    StopSignal,
    /// SIGKILL was sent.
    Killed,
    /// PID 1 has ended.
    Exited,
}

/// The next step of the kubelet. Pure: the rules, without a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Run the hook, and wait for it at most for this time.
    Hook {
        /// The grace period.
        at_most: Duration,
    },
    /// Send the stop signal, and SIGKILL after this time.
    Stop {
        /// At least two seconds.
        kill_after: Duration,
    },
    /// No further step: the container has ended.
    Done,
}

impl NextStep {
    /// Returns the first step after the deletion.
    #[must_use]
    pub(crate) fn at_deletion(how: &Termination) -> Self {
        let grace = Duration::from_secs(how.grace_period_seconds);
        if how.hook.is_some() && !grace.is_zero() {
            Self::Hook { at_most: grace }
        } else {
            Self::after(how, Duration::ZERO)
        }
    }

    /// Returns the next step after the hook has used a part of the grace period.
    #[must_use]
    pub(crate) fn after(how: &Termination, used: Duration) -> Self {
        // The kubelet subtracts whole seconds.
        let left = how.grace_period_seconds.saturating_sub(used.as_secs());
        Self::Stop { kill_after: Duration::from_secs(left).max(LEAST_TIME_TO_STOP) }
    }
}

/// Terminates a container and reports each step.
pub(crate) async fn terminate<C: Container + Sync>(
    container: &C,
    how: &Termination,
    mut tell: impl FnMut(Step) + Send,
) {
    let started = Instant::now();
    let mut next = NextStep::at_deletion(how);
    if let (NextStep::Hook { at_most }, Some(action)) = (next, how.played_hook()) {
        let hook = timeout(at_most, container.hook(&action)).await;
        let (result, output) = hook.unwrap_or((HookResult::NotInTime, String::new()));
        let took = started.elapsed();
        let is_killed = matches!(result, HookResult::Status(137));
        tell(Step::HookOver { result, output, took });
        if is_killed {
            // The hook ended because PID 1 did, which is reported a moment later.
            let _ = timeout(NEWS_OF_EXIT, container.exited()).await;
        }
        next = if container.has_exited() { NextStep::Done } else { NextStep::after(how, took) };
    }
    if let NextStep::Stop { kill_after } = next {
        container.stop();
        tell(Step::StopSignal);
        if timeout(kill_after, container.exited()).await.is_err() {
            container.kill();
            tell(Step::Killed);
        }
        container.exited().await;
    }
    tell(Step::Exited);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Variant;
    use std::sync::Mutex;
    use tokio::sync::watch;

    fn how(has_hook: bool, grace_period_seconds: u64) -> Termination {
        let hook = has_hook.then_some(HookAction::Sleep { seconds: 1 });
        let variant = Variant::AsWritten;
        Termination {
            variant,
            hook,
            measured: None,
            words: None,
            grace_period_seconds,
            exec_fails: None,
        }
    }

    fn stop(seconds: u64) -> NextStep {
        NextStep::Stop { kill_after: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_grace_period_includes_the_hook_but_for_two_seconds() {
        assert_eq!(NextStep::at_deletion(&how(false, 30)), stop(30));
        let hook = NextStep::Hook { at_most: Duration::from_secs(30) };
        assert_eq!(NextStep::at_deletion(&how(true, 30)), hook);
        for (used_millis, left) in
            [(0, 30), (999, 30), (1_000, 29), (10_500, 20), (28_000, 2), (29_000, 2), (30_000, 2)]
        {
            let used = Duration::from_millis(used_millis);
            assert_eq!(NextStep::after(&how(true, 30), used), stop(left), "{used:?}");
        }
    }

    #[test]
    fn no_grace_period_no_hook() {
        assert_eq!(NextStep::at_deletion(&how(true, 0)), stop(2));
    }

    /// A container without a process.
    struct Fake {
        ends_in_hook: bool,
        obeys: bool,
        exited: watch::Sender<bool>,
        seen: Mutex<Vec<&'static str>>,
    }

    impl Fake {
        fn saw(&self, what: &'static str) {
            self.seen.lock().unwrap().push(what);
        }
    }

    impl Container for Fake {
        async fn hook(&self, _: &HookAction) -> (HookResult, String) {
            self.saw("hook");
            self.exited.send_replace(self.ends_in_hook);
            (HookResult::Done, "told to quit".to_owned())
        }
        fn stop(&self) {
            self.saw("stop");
            if self.obeys {
                self.exited.send_replace(true);
            }
        }
        fn kill(&self) {
            self.saw("kill");
            self.exited.send_replace(true);
        }
        async fn exited(&self) {
            let _ = self.exited.subscribe().wait_for(|exited| *exited).await;
        }
        fn has_exited(&self) -> bool {
            *self.exited.borrow()
        }
    }

    /// Returns the events of the container, and the number of reported steps.
    fn played(ends_in_hook: bool, obeys: bool, how: &Termination) -> (Vec<&'static str>, usize) {
        let exited = watch::Sender::new(false);
        let fake = Fake { ends_in_hook, obeys, exited, seen: Mutex::default() };
        let mut steps = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(terminate(&fake, how, |step| steps.push(step)));
        assert_eq!(steps.last(), Some(&Step::Exited));
        (fake.seen.into_inner().unwrap(), steps.len())
    }

    #[test]
    fn the_signal_comes_after_the_hook() {
        assert_eq!(played(false, true, &how(true, 30)), (vec!["hook", "stop"], 3));
        assert_eq!(played(false, true, &how(false, 30)), (vec!["stop"], 2));
    }

    #[test]
    fn what_has_ended_gets_no_signal() {
        assert_eq!(played(true, true, &how(true, 30)), (vec!["hook"], 2));
    }

    #[test]
    fn who_does_not_obey_is_killed() {
        assert_eq!(played(false, false, &how(false, 0)), (vec!["stop", "kill"], 3));
    }
}
