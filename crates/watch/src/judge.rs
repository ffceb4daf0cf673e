//! From what was seen of a container's end to verdicts.
//!
//! Times of the API are whole seconds and of several clocks (the API server's for the deletion, the node's for the
//! end), so comparisons allow for a second.

use jiff::Timestamp;
use prestop_core::engine::planned::PlannedHook;

use super::facts::{ContainerFacts, Role};
use super::seconds_between;
use super::verdict::Verdict;

/// Signals that ask an application to stop; any other ends it by a fault: HUP, INT, QUIT, USR1, USR2, TERM, WINCH,
/// and RTMIN+3 of systemd.
const STOP_SIGNALS: [i32; 8] = [1, 2, 3, 10, 12, 15, 28, 37];
/// Faults: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];
const KILL: i32 = 9;
/// An application that ends by its own choice rarely does so in the very second of a deletion that it knows nothing
/// of. A hook that cannot start fails then.
const AT_ONCE: f64 = 1.0;
/// Streams of the API server overtake each other by less than that.
const STREAMS: f64 = 0.5;

/// Observations of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// When the pod was deleted, by the API server's clock.
    pub deleted: Timestamp,
    /// When its grace period ended.
    pub grace_end: Timestamp,
    /// How it ended.
    pub end: End,
    /// Its hook's failure, if there was one.
    pub hook_failure: Option<HookFailure>,
    /// Its endpoint, if the container serves one.
    pub endpoint: Option<EndpointSeen>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As the node reported it.
    Exited(Exit),
    /// It never ran.
    NeverStarted,
    /// It ran when it was last seen.
    Unseen,
}

/// The end of a container, as the node reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// 128 and more for signals.
    pub code: i32,
    /// The signal, if the code means one.
    pub signal: Option<i32>,
    /// When, by the node's clock.
    pub at: Timestamp,
    /// `OOMKilled` and others.
    pub reason: Option<String>,
}

/// A `FailedPreStopHook` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookFailure {
    /// When.
    pub at: Timestamp,
    /// Its text says that the hook was killed (137): with the application. Newer kubelets do not say so.
    pub says_killed: bool,
}

/// The endpoint of a pod that a Service sent requests to when it was deleted. Times are from when the deletion was
/// seen, by one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EndpointSeen {
    /// When it was withdrawn.
    pub withdrawn_after: Withdrawn,
    /// When the end of the container was seen, which is later than it was.
    pub end_seen_after: Option<f64>,
}

/// When an endpoint was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Withdrawn {
    /// So many seconds after the deletion.
    After(f64),
    /// Not within so many seconds.
    NotWithin(f64),
    /// Before anybody watched.
    Unknown,
}

impl Exit {
    /// Of an exit code.
    #[must_use]
    pub fn new(code: i32, signal: Option<i32>, at: Timestamp, reason: Option<String>) -> Self {
        let signal = signal.filter(|signal| *signal > 0);
        let of_code = (129..=192).contains(&code).then_some(code - 128);
        Self { code, signal: signal.or(of_code), at, reason }
    }
}

/// The verdicts on a container, the heaviest first. There is always one.
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
    // A hook that overran its grace period has said all about the end.
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
        // It failed in the second in which the application ended.
        let is_over = failed_after + AT_ONCE >= delay;
        let is_known_to_wait = hook.waits && hook.delay_seconds.is_some() && delay > 0.0;
        if (is_over && is_known_to_wait) || failed_after > AT_ONCE && !is_over {
            Some(Verdict::HookEndedWithApplication)
        } else {
            Some(Verdict::HookUnclear)
        }
    }

    /// The stop signal came when the grace period was over. Where the hook was over earlier, the application used the
    /// rest of it.
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

    /// The container had certainly ended when its endpoint was withdrawn.
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

    /// A container with this hook: delay, and whether it waits.
    fn with_hook(hook: Option<(Option<i64>, bool)>) -> ContainerFacts {
        let hook = hook.map(|(delay_seconds, waits)| PlannedHook { delay_seconds, waits });
        ContainerFacts { name: "web".to_owned(), hook, ports: Vec::new(), role: Role::Main }
    }

    /// Deleted in second 0 with 30 s of grace, ended like this.
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
        // 255 and the like are no signals.
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
        // Clocks differ by a second.
        assert_eq!(judge(&with_hook(None), &ended(0, -1)), [EndedByItself]);
    }

    #[test]
    fn an_application_that_ends_before_its_delay() {
        assert_eq!(judge(&with_hook(DELAY), &ended(0, 4)), [EndedBeforeDelay, EndedByItself]);
        assert_eq!(judge(&with_hook(DELAY), &ended(0, 9)), [EndedByItself]);
        // An exec hook ends with it, and the kubelet writes an event.
        let seen = hook_failed(4, false, ended(0, 4));
        let expected = [EndedBeforeDelay, EndedByItself, HookEndedWithApplication];
        assert_eq!(judge(&with_hook(DELAY), &seen), expected);
        // Cut by a short grace period is another fault.
        let seen = Seen { grace_end: at(2), ..ended(143, 2) };
        assert_eq!(judge(&with_hook(DELAY), &seen), [HookUsedGrace]);
    }

    #[test]
    fn a_hook_that_fails_is_told_from_one_that_ends_with_the_application() {
        let verdict = |hook, seen| judge(&with_hook(hook), &seen);
        // It can't start: the stop signal comes immediately.
        let seen = hook_failed(0, false, ended(0, 0));
        assert_eq!(verdict(DELAY, seen), [HookFailed, EndedBeforeDelay, EndedByItself]);
        // The application lives on after it.
        let seen = hook_failed(0, false, ended(0, 8));
        assert_eq!(verdict(Some((None, true)), seen), [HookFailed, EndedByItself]);
        // The wait of ours, after the delay.
        let seen = hook_failed(12, false, ended(0, 12));
        assert_eq!(verdict(DELAY_AND_WAIT, seen), [EndedByItself, HookEndedWithApplication]);
        let seen = hook_failed(13, false, ended(0, 12));
        assert_eq!(verdict(DELAY_AND_WAIT, seen), [EndedByItself, HookEndedWithApplication]);
        // Older kubelets say so.
        let seen = hook_failed(0, true, ended(0, 0));
        assert_eq!(verdict(Some((None, true)), seen), [EndedByItself, HookEndedWithApplication]);
        // A hook of which nothing is known.
        let seen = hook_failed(3, false, ended(0, 3));
        assert_eq!(verdict(Some((None, true)), seen), [HookUnclear, EndedByItself]);
        // A quit after the delay that fails, or is cut by the end of the application.
        let seen = hook_failed(10, false, ended(0, 10));
        assert_eq!(verdict(DELAY, seen), [HookUnclear, EndedByItself]);
    }

    #[test]
    fn a_hook_that_takes_the_whole_grace_period() {
        assert_eq!(judge(&with_hook(Some((Some(30), false))), &ended(143, 31)), [HookUsedGrace]);
        let killed = judge(&with_hook(Some((Some(30), false))), &ended(137, 32));
        assert_eq!(killed, [KilledAtGraceEnd]);
        assert_eq!(judge(&with_hook(None), &ended(143, 31)), [ObeyedStopSignal]);
        // The application took the rest of its time.
        assert_eq!(judge(&with_hook(DELAY), &ended(0, 29)), [EndedByItself]);
    }

    #[test]
    fn an_endpoint_that_is_withdrawn_too_late() {
        let verdict = |hook, seen| judge(&with_hook(hook), &seen);
        let soon = served(Withdrawn::After(0.2), 11.3, ended(0, 11));
        assert_eq!(verdict(DELAY, soon), [EndedByItself]);
        // By the clocks of node and API server.
        let late = served(Withdrawn::After(12.5), 20.0, ended(0, 11));
        assert_eq!(verdict(DELAY, late), [GoneBeforeWithdrawal, EndedByItself]);
        // By the order in which it was seen.
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
        // Nobody sends requests to it.
        assert_eq!(judge(&with_hook(None), &ended(143, 0)), [ObeyedStopSignal]);
        // Kubernetes stops native sidecars after the others.
        let sidecar = ContainerFacts { role: Role::Sidecar, ..with_hook(None) };
        assert_eq!(judge(&sidecar, &seen), [EndedByItself]);
    }
}
