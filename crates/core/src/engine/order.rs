//! The order in which the containers of a pod stop (`docs/rules.md`, section 6): a backend after
//! the servers in front of it, a sidecar after the applications. A longer delay makes a container
//! stop later, because the kubelet starts all hooks at the same time.

use crate::catalogue::Role;
use crate::policy::Policy;

use super::Source;
use super::container::{Asked, Candidate, Context, Ending, Place, Standing};
use super::grace::Need;
use super::hook_note::HookNote;
use super::own_hook::OwnHook;
use super::reason::ContainerReason;

/// Expected end of a container's phases, in seconds after the pod's deletion.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// Earliest end of the delay: less than `delayed` if the delay is watched.
    least: i64,
    /// End of the delay.
    delayed: i64,
    /// End of the time in which the container finishes its requests.
    drained: i64,
    /// Length of this time, in seconds.
    drain: i64,
    quiet: i64,
}

impl Times {
    /// Returns the times at which all of several containers have reached each phase.
    fn of_all(times: impl Iterator<Item = Self>) -> Option<Self> {
        times.reduce(|one, other| Self {
            least: one.least.max(other.least),
            delayed: one.delayed.max(other.delayed),
            drained: one.drained.max(other.drained),
            drain: one.drain.max(other.drain),
            quiet: one.quiet.max(other.quiet),
        })
    }

    /// Returns whether the end of the delay depends on the traffic.
    const fn is_watched(self) -> bool {
        self.least < self.delayed
    }
}

/// Lengthens the delays of containers that have to stop later. `before` is the pod's own grace
/// period.
pub(super) fn put_in_order(candidates: &mut [Candidate<'_>], before: i64, context: &Context<'_>) {
    let has =
        |wanted: fn(Place) -> bool| candidates.iter().any(|candidate| wanted(candidate.place));
    if has(|place| place == Place::Application(Some(Role::Backend)))
        && has(|place| place == Place::Application(Some(Role::Front)))
    {
        delay_backends(candidates, before, context);
    }
    if candidates.iter().any(|candidate| matches!(candidate.place, Place::Sidecar { .. })) {
        delay_sidecars(candidates, before, context);
    }
}

fn delay_backends(candidates: &mut [Candidate<'_>], before: i64, context: &Context<'_>) {
    let fronts = candidates
        .iter()
        .filter(|candidate| candidate.place == Place::Application(Some(Role::Front)))
        .map(|candidate| candidate.times_of_front(before));
    let fronts = Times::of_all(fronts).unwrap_or_default();
    for candidate in candidates {
        let is_backend = candidate.place == Place::Application(Some(Role::Backend));
        if !is_backend
            || !matches!(candidate.standing, Standing::Free(_))
            || candidate.has_delay_of_its_own()
        {
            continue;
        }
        let own = candidate.delay_seconds;
        let both = Times {
            least: fronts.least.max(candidate.least_seconds),
            delayed: fronts.delayed.max(own),
            ..fronts
        };
        if candidate.can_watch_as(both, context) {
            let drained = both.delayed.saturating_add(fronts.drain);
            candidate.stay_until(own, drained, Source::Backend, context.policy);
            candidate.watch_as(both);
        } else {
            candidate.stay_until(own, fronts.drained, Source::Backend, context.policy);
            candidate.least_seconds = candidate.delay_seconds;
            if candidate.delay_from == Source::Backend {
                let obstacle = if fronts.is_watched() { candidate.obstacle(context) } else { None };
                candidate.unwatched = candidate.unwatched.or(obstacle);
            }
        }
    }
}

fn delay_sidecars(candidates: &mut [Candidate<'_>], before: i64, context: &Context<'_>) {
    let applications = candidates
        .iter()
        .filter(|candidate| matches!(candidate.place, Place::Application(_)))
        .map(|candidate| candidate.times(before));
    // If there is no application in the pod, the proxy itself is the application.
    let Some(longest) = Times::of_all(applications) else { return };
    for candidate in candidates {
        if let Place::Sidecar { margin_seconds } = candidate.place
            && !candidate.has_delay_of_its_own()
        {
            let with_margin = |seconds: i64| seconds.saturating_add(margin_seconds);
            let own = candidate.extension.as_ref().map_or(0, |hook| hook.delay_seconds);
            let delayed = with_margin(longest.delayed).max(own);
            candidate.delay_seconds = delayed;
            candidate.delay_from = Source::Sidecar;
            if candidate.can_watch_as(longest, context) {
                let drained = with_margin(longest.delayed.saturating_add(longest.drain));
                candidate.stay_until(delayed, drained, Source::Sidecar, context.policy);
                candidate.watch_as(longest);
            } else {
                let drained = with_margin(longest.drained);
                candidate.stay_until(delayed, drained, Source::Sidecar, context.policy);
                candidate.least_seconds = candidate.delay_seconds;
                candidate.unwatched =
                    if longest.is_watched() { candidate.obstacle(context) } else { None };
            }
        }
    }
}

impl Candidate<'_> {
    pub(super) fn need(&self) -> Need {
        Need {
            delay_seconds: self.delay_seconds,
            drain_seconds: self.drain_seconds,
            quit_timeout_seconds: self.timeout.map(|(seconds, _)| seconds),
        }
    }

    /// Returns whether the others watch their delay and this container can do so too.
    fn can_watch_as(&self, others: Times, context: &Context<'_>) -> bool {
        let is_free = matches!(self.standing, Standing::Free(_));
        is_free && others.is_watched() && self.obstacle(context).is_none()
    }

    /// Watches the same counter with the same parameters as the others, so that the delay ends when
    /// theirs ends. The rest of the container's delay follows after that.
    fn watch_as(&mut self, others: Times) {
        let own = self.extension.as_ref().map_or(0, |hook| hook.delay_seconds);
        self.least_seconds = others.least.max(own).min(self.delay_seconds);
        self.extra_seconds = self.delay_seconds.saturating_sub(others.delayed);
        self.quiet_seconds = self.quiet_seconds.max(others.quiet);
    }

    /// Lengthens the delay from `own` to the time that the others need, limited by the maximum
    /// delay.
    fn stay_until(&mut self, own: i64, drained: i64, from: Source, policy: &Policy) {
        if self.has_delay_of_its_own() || drained <= own {
            return;
        }
        let until = drained.min(policy.maximum_delay_seconds).max(own);
        let drain_seconds = until.saturating_sub(own);
        self.delay_seconds = until;
        if drain_seconds > 0 {
            self.drain_seconds = drain_seconds;
            self.delay_from = from;
            self.notes.push(HookNote::OutlivesDrain { seconds: drain_seconds });
        }
        if until < drained {
            let note = HookNote::DrainIsLonger { delay_seconds: until, drained_seconds: drained };
            self.notes.push(note);
        }
    }

    /// Returns the times for the delay of a sidecar: they include the wait of a quit, and the whole
    /// grace period for a container that its profile leaves alone.
    fn times(&self, before: i64) -> Times {
        let delayed = self.holds_back_for();
        let drain = match &self.standing {
            Standing::Free(_) if self.waits() => self.need().whole_wait_seconds(before),
            Standing::Earlier(earlier) => earlier.wait.unwrap_or(0).max(0),
            Standing::LeftAlone(ContainerReason::LeftAloneByProfile) => before,
            Standing::Free(_) | Standing::OwnHook(_) | Standing::LeftAlone(_) => 0,
        };
        // The part of the delay that is for the drain of others does not belong to the container's
        // own delay.
        let for_others = match self.standing {
            Standing::Earlier(_) => self.extra_seconds,
            _ => self.drain_seconds,
        };
        let own = delayed.saturating_sub(for_others);
        let drained = delayed.saturating_add(drain);
        let is_hooked = matches!(self.standing, Standing::Free(_) | Standing::Earlier(_));
        let least = if is_hooked { self.least_seconds.min(own) } else { own };
        Times {
            least,
            delayed: own,
            drained,
            drain: drained.saturating_sub(own),
            quiet: if least < own { self.quiet_seconds } else { 0 },
        }
    }

    /// Returns the times for the delay of a backend: they also include the time of a front that
    /// finishes on its stop signal.
    fn times_of_front(&self, before: i64) -> Times {
        let times = self.times(before);
        if self.ending == Ending::Graceful && times.drained == times.delayed {
            let drain = self.need().whole_wait_seconds(before);
            return Times { drained: times.drained.saturating_add(drain), drain, ..times };
        }
        times
    }

    /// Returns whether the hook waits after the delay.
    pub(super) fn waits(&self) -> bool {
        self.holds() || self.quit.as_ref().is_some_and(|quit| quit.waits)
    }

    /// Returns whether the hook waits for connections.
    pub(super) fn holds(&self) -> bool {
        self.hold.is_some_and(Asked::is_possible)
    }

    /// Returns by how many seconds the container's stop is delayed, as far as known.
    fn holds_back_for(&self) -> i64 {
        match &self.standing {
            Standing::Free(_) | Standing::OwnHook(None) => self.delay_seconds,
            Standing::OwnHook(Some(hook)) if hook.is_plain_delay() => hook.seconds,
            // The other commands of the hook take time as well.
            Standing::OwnHook(Some(OwnHook { seconds, .. })) => self.delay_seconds.max(*seconds),
            Standing::Earlier(earlier) => earlier.delay,
            Standing::LeftAlone(_) => 0,
        }
    }
}
