//! Derives verdicts from the observations of a container's termination.
//!
//! Times of the API are in whole seconds and from several clocks (the API server's for the
//! deletion, the node's for the end), so comparisons allow for one second.

use jiff::Timestamp;
use prestop_core::engine::planned::PlannedHook;

use super::facts::{ContainerFacts, Role};
use super::seconds_between;
use super::verdict::Verdict;

/// Signals that ask an application to stop: HUP, INT, QUIT, USR1, USR2, TERM, WINCH, and RTMIN+3 of
/// systemd. Any other signal is the result of a fault.
const STOP_SIGNALS: [i32; 8] = [1, 2, 3, 10, 12, 15, 28, 37];
/// Signals of faults: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];
const KILL: i32 = 9;
/// Tolerance, in seconds, for an end at the same time as the deletion. An application rarely ends
/// by its own decision in exactly the second of a deletion of which it is not informed. A hook that
/// can't start fails in that second.
const AT_ONCE: f64 = 1.0;
/// Upper bound, in seconds, for the time by which the API server's streams overtake each other.
const STREAMS: f64 = 0.5;

/// Observations of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Time of the pod's deletion, by the API server's clock.
    pub deleted: Timestamp,
    /// End of the grace period.
    pub grace_end: Timestamp,
    /// The container's end.
    pub end: End,
    /// Failure of the hook, if there was one.
    pub hook_failure: Option<HookFailure>,
    /// Endpoint of the pod, if the container serves it.
    pub endpoint: Option<EndpointSeen>,
}

/// End of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The node reported the end.
    Exited(Exit),
    /// The container never ran.
    NeverStarted,
    /// The container was running when it was last seen.
    Unseen,
}

/// End of a container, as reported by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 and more for signals.
    pub code: i32,
    /// The signal, if the code stands for one.
    pub signal: Option<i32>,
    /// Time of the end, by the node's clock.
    pub at: Timestamp,
    /// Reason, such as `OOMKilled`.
    pub reason: Option<String>,
}

/// A `FailedPreStopHook` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookFailure {
    /// Time of the event.
    pub at: Timestamp,
    /// Whether the message reports that the hook was killed (137), together with the application.
    /// Newer kubelets do not report this.
    pub says_killed: bool,
}

/// The endpoint of a pod to which a Service sent requests at the time of its deletion. Times are
/// relative to the moment at which the deletion was observed, by one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EndpointSeen {
    /// Time at which the endpoint was withdrawn.
    pub withdrawn_after: Withdrawn,
    /// Seconds until the end of the container was observed, which is later than the end itself.
    pub end_seen_after: Option<f64>,
}

/// Time at which an endpoint was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Withdrawn {
    /// This many seconds after the deletion.
    After(f64),
    /// Not within this many seconds.
    NotWithin(f64),
    /// Before the watch started.
    Unknown,
}

impl Exit {
    /// Creates an exit from an exit code.
    #[must_use]
    pub fn new(code: i32, signal: Option<i32>, at: Timestamp, reason: Option<String>) -> Self {
        let signal = signal.filter(|signal| *signal > 0);
        let of_code = (129..=192).contains(&code).then_some(code - 128);
        Self { code, signal: signal.or(of_code), at, reason }
    }
}

/// Returns the verdicts on a container, the most severe first. There is at least one.
#[must_use]
pub fn judge(facts: &ContainerFacts, seen: &Seen) -> Vec<Verdict> {
    let exit = match &seen.end {
        End::NeverStarted => return vec![Verdict::NeverStarted],
        End::Unseen => {
            let mut verdicts = vec![Verdict::Unseen];
            verdicts.extend(never_had_a_hook(facts, seen));
            verdicts.sort_unstable();
            return verdicts;
        }
        End::Exited(exit) if seconds_between(seen.deleted, exit.at) < -AT_ONCE => {
            return vec![Verdict::EndedBeforeDeletion];
        }
        End::Exited(exit) => exit,
    };
    let one = One { facts, seen, exit };
    let mut verdicts = vec![one.of_exit()];
    verdicts.extend(one.of_hook());
    verdicts.extend(one.of_delay());
    verdicts.extend(one.of_endpoint());
    verdicts.extend(never_had_a_hook(facts, seen));
    // If the hook overran the grace period, the stop signal is not a separate finding.
    if verdicts.contains(&Verdict::HookUsedGrace) {
        verdicts.retain(|verdict| *verdict != Verdict::ObeyedStopSignal);
    }
    verdicts.sort_unstable();
    verdicts.dedup();
    verdicts
}

fn never_had_a_hook(facts: &ContainerFacts, seen: &Seen) -> Option<Verdict> {
    let is_served = seen.endpoint.is_some() && facts.role != Role::Sidecar;
    (is_served && facts.hook.is_none()).then_some(Verdict::NoHook)
}

struct One<'a> {
    facts: &'a ContainerFacts,
    seen: &'a Seen,
    exit: &'a Exit,
}

impl One<'_> {
    fn of_exit(&self) -> Verdict {
        match self.exit.signal {
            _ if self.exit.reason.as_deref() == Some("OOMKilled") => Verdict::OutOfMemory,
            Some(KILL) if self.is_at_grace_end() => Verdict::KilledAtGraceEnd,
            Some(KILL) => Verdict::Killed,
            Some(signal) if FAULTS.contains(&signal) => Verdict::Crashed,
            Some(signal) if STOP_SIGNALS.contains(&signal) => Verdict::ObeyedStopSignal,
            _ => Verdict::EndedByItself,
        }
    }

    fn of_hook(&self) -> Option<Verdict> {
        let hook = self.facts.hook?;
        let Some(failure) = self.seen.hook_failure else {
            return self.used_grace(hook).then_some(Verdict::HookUsedGrace);
        };
        if failure.says_killed {
            return Some(Verdict::HookEndedWithApplication);
        }
        let failed_after = seconds_between(self.seen.deleted, failure.at);
        let lived_on = seconds_between(failure.at, self.exit.at);
        let delay = hook.delay_seconds.map(as_seconds).unwrap_or_default();
        if lived_on > AT_ONCE || (failed_after <= AT_ONCE && delay > 2.0 * AT_ONCE) {
            return Some(Verdict::HookFailed);
        }
        // The hook failed in the second in which the application ended.
        let is_over = failed_after + AT_ONCE >= delay;
        let is_known_to_wait = hook.waits && hook.delay_seconds.is_some() && delay > 0.0;
        if (is_over && is_known_to_wait) || failed_after > AT_ONCE && !is_over {
            Some(Verdict::HookEndedWithApplication)
        } else {
            Some(Verdict::HookUnclear)
        }
    }

    /// Returns whether the hook used the whole grace period: the stop signal came at its end. If
    /// the hook was over earlier, the application used the rest of it.
    fn used_grace(&self, hook: PlannedHook) -> bool {
        let grace = seconds_between(self.seen.deleted, self.seen.grace_end);
        let can_last =
            hook.waits || hook.delay_seconds.is_none_or(|it| as_seconds(it) + 2.0 >= grace);
        can_last && self.is_at_grace_end() && self.exit.signal != Some(KILL)
    }

    fn of_delay(&self) -> Option<Verdict> {
        let hook = self.facts.hook?;
        let ended_after = seconds_between(self.seen.deleted, self.exit.at);
        let delay = as_seconds(hook.delay_seconds.unwrap_or_default());
        if delay > 0.0 {
            let is_early = ended_after + AT_ONCE < delay && !self.is_at_grace_end();
            return is_early.then_some(Verdict::EndedBeforeDelay);
        }
        let is_served = self.seen.endpoint.is_some() && self.facts.role != Role::Sidecar;
        (is_served && ended_after <= AT_ONCE).then_some(Verdict::EndedAtOnce)
    }

    /// Returns a verdict if the container had certainly ended before its endpoint was withdrawn.
    fn of_endpoint(&self) -> Option<Verdict> {
        let endpoint = self.seen.endpoint?;
        let withdrawn = match endpoint.withdrawn_after {
            Withdrawn::After(seconds) | Withdrawn::NotWithin(seconds) => seconds,
            Withdrawn::Unknown => return None,
        };
        let by_clocks = seconds_between(self.seen.deleted, self.exit.at) + AT_ONCE;
        let ended =
            endpoint.end_seen_after.map_or(by_clocks, |seen| (seen + STREAMS).min(by_clocks));
        (withdrawn > ended).then_some(Verdict::GoneBeforeWithdrawal)
    }

    fn is_at_grace_end(&self) -> bool {
        seconds_between(self.exit.at, self.seen.grace_end) <= AT_ONCE
            && self.seen.grace_end > self.seen.deleted
    }
}

fn as_seconds(seconds: i64) -> f64 {
    u32::try_from(seconds).map_or(0.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::Verdict::*;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Creates a container with this hook: its delay, and whether it waits.
    fn with_hook(hook: Option<(Option<i64>, bool)>) -> ContainerFacts {
        let hook = hook.map(|(delay_seconds, waits)| PlannedHook { delay_seconds, waits });
        ContainerFacts { name: "web".to_owned(), hook, ports: Vec::new(), role: Role::Main }
    }

    /// Creates the observation of a container that was deleted at second 0 with a grace period of
    /// 30 s, and ended after `after` seconds with this code.
    fn ended(code: i32, after: i64) -> Seen {
        Seen {
            deleted: at(0),
            grace_end: at(30),
            end: End::Exited(Exit::new(code, None, at(after), None)),
            hook_failure: None,
            endpoint: None,
        }
    }

    fn served(withdrawn_after: Withdrawn, end_seen_after: f64, seen: Seen) -> Seen {
        let end_seen_after = Some(end_seen_after);
        Seen { endpoint: Some(EndpointSeen { withdrawn_after, end_seen_after }), ..seen }
    }

    fn hook_failed(after: i64, says_killed: bool, seen: Seen) -> Seen {
        Seen { hook_failure: Some(HookFailure { at: at(after), says_killed }), ..seen }
    }

    const DELAY: Option<(Option<i64>, bool)> = Some((Some(10), false));
    const DELAY_AND_WAIT: Option<(Option<i64>, bool)> = Some((Some(10), true));

    #[test]
    fn the_exit_code_says_how_it_ended() {
        let verdict = |code, after| judge(&with_hook(DELAY), &ended(code, after));
        assert_eq!(verdict(0, 11), [EndedByItself]);
        assert_eq!(verdict(1, 11), [EndedByItself]);
        assert_eq!(verdict(143, 10), [ObeyedStopSignal]);
        assert_eq!(verdict(131, 10), [ObeyedStopSignal]);
        assert_eq!(verdict(139, 10), [Crashed]);
        assert_eq!(verdict(137, 12), [Killed]);
        assert_eq!(verdict(137, 29), [KilledAtGraceEnd]);
        assert_eq!(verdict(137, 32), [KilledAtGraceEnd]);
        // Codes such as 255 do not stand for signals.
        assert_eq!(verdict(255, 11), [EndedByItself]);
    }

    #[test]
    fn the_runtime_may_name_the_signal_or_the_memory_limit() {
        let mut seen = ended(0, 11);
        seen.end = End::Exited(Exit::new(2, Some(15), at(11), None));
        assert_eq!(judge(&with_hook(DELAY), &seen), [ObeyedStopSignal]);
        seen.end = End::Exited(Exit::new(137, None, at(30), Some("OOMKilled".to_owned())));
        assert_eq!(judge(&with_hook(DELAY), &seen), [OutOfMemory]);
    }

    #[test]
    fn a_grace_period_of_nothing_has_no_end_to_be_killed_at() {
        let seen = Seen { grace_end: at(0), ..ended(137, 0) };
        assert_eq!(judge(&with_hook(None), &seen), [Killed]);
    }

    #[test]
    fn a_container_without_an_end_is_unseen_or_never_started() {
        let seen = Seen { end: End::NeverStarted, ..ended(0, 0) };
        assert_eq!(judge(&with_hook(None), &seen), [NeverStarted]);
        let seen = Seen { end: End::Unseen, ..ended(0, 0) };
        assert_eq!(judge(&with_hook(DELAY), &seen), [Unseen]);
        let seen = served(Withdrawn::After(0.1), 0.5, seen);
        assert_eq!(judge(&with_hook(None), &seen), [NoHook, Unseen]);
    }

    #[test]
    fn what_ended_before_the_deletion_is_not_judged() {
        assert_eq!(judge(&with_hook(DELAY), &ended(137, -5)), [EndedBeforeDeletion]);
        // Clocks may differ by one second.
        assert_eq!(judge(&with_hook(None), &ended(0, -1)), [EndedByItself]);
    }

    #[test]
    fn an_application_that_ends_before_its_delay() {
        assert_eq!(judge(&with_hook(DELAY), &ended(0, 4)), [EndedBeforeDelay, EndedByItself]);
        assert_eq!(judge(&with_hook(DELAY), &ended(0, 9)), [EndedByItself]);
        // An exec hook ends with the application, and the kubelet writes an event.
        let seen = hook_failed(4, false, ended(0, 4));
        let expected = [EndedBeforeDelay, EndedByItself, HookEndedWithApplication];
        assert_eq!(judge(&with_hook(DELAY), &seen), expected);
        // A delay that a short grace period cuts off is another fault.
        let seen = Seen { grace_end: at(2), ..ended(143, 2) };
        assert_eq!(judge(&with_hook(DELAY), &seen), [HookUsedGrace]);
    }

    #[test]
    fn a_hook_that_fails_is_told_from_one_that_ends_with_the_application() {
        let verdict = |hook, seen| judge(&with_hook(hook), &seen);
        // The hook can't start: the stop signal comes immediately.
        let seen = hook_failed(0, false, ended(0, 0));
        assert_eq!(verdict(DELAY, seen), [HookFailed, EndedBeforeDelay, EndedByItself]);
        // The application continues to run after it.
        let seen = hook_failed(0, false, ended(0, 8));
        assert_eq!(verdict(Some((None, true)), seen), [HookFailed, EndedByItself]);
        // The wait of prestop's hook, after the delay.
        let seen = hook_failed(12, false, ended(0, 12));
        assert_eq!(verdict(DELAY_AND_WAIT, seen), [EndedByItself, HookEndedWithApplication]);
        let seen = hook_failed(13, false, ended(0, 12));
        assert_eq!(verdict(DELAY_AND_WAIT, seen), [EndedByItself, HookEndedWithApplication]);
        // Older kubelets report it.
        let seen = hook_failed(0, true, ended(0, 0));
        assert_eq!(verdict(Some((None, true)), seen), [EndedByItself, HookEndedWithApplication]);
        // A hook about which nothing is known.
        let seen = hook_failed(3, false, ended(0, 3));
        assert_eq!(verdict(Some((None, true)), seen), [HookUnclear, EndedByItself]);
        // A quit after the delay that fails, or is cut off by the end of the application.
        let seen = hook_failed(10, false, ended(0, 10));
        assert_eq!(verdict(DELAY, seen), [HookUnclear, EndedByItself]);
    }

    #[test]
    fn a_hook_that_takes_the_whole_grace_period() {
        assert_eq!(judge(&with_hook(Some((Some(30), false))), &ended(143, 31)), [HookUsedGrace]);
        let killed = judge(&with_hook(Some((Some(30), false))), &ended(137, 32));
        assert_eq!(killed, [KilledAtGraceEnd]);
        assert_eq!(judge(&with_hook(None), &ended(143, 31)), [ObeyedStopSignal]);
        // The application used the rest of the grace period.
        assert_eq!(judge(&with_hook(DELAY), &ended(0, 29)), [EndedByItself]);
    }

    #[test]
    fn an_endpoint_that_is_withdrawn_too_late() {
        let verdict = |hook, seen| judge(&with_hook(hook), &seen);
        let soon = served(Withdrawn::After(0.2), 11.3, ended(0, 11));
        assert_eq!(verdict(DELAY, soon), [EndedByItself]);
        // By the clocks of the node and the API server.
        let late = served(Withdrawn::After(12.5), 20.0, ended(0, 11));
        assert_eq!(verdict(DELAY, late), [GoneBeforeWithdrawal, EndedByItself]);
        // By the order of the observations.
        let late = served(Withdrawn::After(1.0), 0.4, ended(0, 0));
        assert_eq!(verdict(None, late), [GoneBeforeWithdrawal, NoHook, EndedByItself]);
        let never = served(Withdrawn::NotWithin(30.0), 11.0, ended(0, 11));
        assert_eq!(verdict(DELAY, never), [GoneBeforeWithdrawal, EndedByItself]);
        let unknown = served(Withdrawn::Unknown, 11.0, ended(0, 11));
        assert_eq!(verdict(DELAY, unknown), [EndedByItself]);
    }

    #[test]
    fn a_hook_that_does_not_delay_is_as_bad_as_none() {
        let seen = served(Withdrawn::After(0.2), 0.9, ended(0, 0));
        assert_eq!(judge(&with_hook(Some((Some(0), false))), &seen), [EndedAtOnce, EndedByItself]);
        assert_eq!(judge(&with_hook(None), &seen), [NoHook, EndedByItself]);
        let drained = served(Withdrawn::After(0.2), 6.0, ended(0, 5));
        assert_eq!(judge(&with_hook(Some((Some(0), true))), &drained), [EndedByItself]);
        // The pod gets no requests.
        assert_eq!(judge(&with_hook(None), &ended(143, 0)), [ObeyedStopSignal]);
        // Kubernetes stops native sidecars after the other containers.
        let sidecar = ContainerFacts { role: Role::Sidecar, ..with_hook(None) };
        assert_eq!(judge(&sidecar, &seen), [EndedByItself]);
    }
}
