//! Effects of a container's plan on the other containers and on the pod.

use prestop_core::catalogue::{Presence, Role};
use prestop_core::policy::{Policy, SleepAction};
use serde_json::Value;

use super::hook::own_sleep;
use super::{INJECTED, Plan, Problems, own_hook, reserve};

impl Plan<'_> {
    pub(super) fn margin(&self) -> Option<i64> {
        self.known?.sidecar_margin_seconds
    }

    pub(super) fn is_application(&self) -> bool {
        self.code != "malformed-container" && self.margin().is_none()
    }

    pub(super) fn has_role(&self, role: Role) -> bool {
        self.is_application() && self.known.and_then(|known| known.role) == Some(role)
    }

    /// Returns for how many seconds the hook delays the stop.
    pub(super) fn held(&self, container: &Value) -> i64 {
        match (self.code, self.earlier) {
            ("own-hook", Some((delay, _))) => delay,
            ("own-hook", None) => match own_hook(container).and_then(own_sleep) {
                Some((seconds, true)) => seconds,
                Some((seconds, false)) => seconds.max(self.delay),
                None => self.delay,
            },
            (INJECTED, _) => self.delay,
            _ => 0,
        }
    }

    pub(super) fn drains_for(&self, grace: i64) -> i64 {
        match self.code {
            "own-hook" => self.earlier.map_or(0, |(_, wait)| wait.max(0)),
            "left-alone-by-profile" => grace,
            INJECTED if self.waits() => self.wait_0(grace),
            _ => 0,
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.holds() || self.quit.as_ref().is_some_and(|quit| quit.waits)
    }

    pub(super) fn holds(&self) -> bool {
        self.hold.is_some_and(|(_, is_possible)| is_possible)
    }

    pub(super) fn reports(&self) -> bool {
        self.report.is_some_and(|(_, is_possible)| is_possible)
    }

    /// Whether a delay between these bounds, which other containers watch, can be watched here as
    /// well.
    pub(super) fn can_follow(&self, least: i64, most: i64) -> bool {
        self.code == INJECTED && self.obstacle.is_none() && least < most
    }

    /// Watches between the bounds of the other containers; the rest of the delay follows.
    pub(super) fn follow(&mut self, least: i64, most: i64, quiet: i64) {
        let own = self.own.as_ref().map_or(0, |own| own.seconds);
        self.least = least.max(own).min(self.delay);
        self.extra = (self.delay - most).max(0);
        self.quiet = self.quiet.max(quiet);
    }

    /// Returns the earliest and the latest end of the container's own delay.
    pub(super) fn own_bounds(&self, container: &Value) -> (i64, i64) {
        let for_others = if self.earlier.is_some() { self.extra } else { self.drain };
        let own = self.held(container) - for_others;
        let is_hooked = self.code == INJECTED || self.earlier.is_some();
        (if is_hooked { self.least.min(own) } else { own }, own)
    }

    /// Returns WAIT0: WAIT without the maximum grace period.
    pub(super) fn wait_0(&self, grace: i64) -> i64 {
        let time = self.application_seconds(grace);
        self.quit_timeout.unwrap_or(grace).min(time - reserve(time)).max(0)
    }

    pub(super) fn stays_until(&mut self, until: i64, policy: &Policy) {
        let raised = until.min(policy.maximum_delay_seconds).max(self.delay);
        self.drain = raised - self.delay;
        self.delay = raised;
    }

    pub(super) fn tell_what_is_left_out(&self, problems: &mut Problems) {
        if self.unwatched == Some(true) {
            problems.insert("delay-not-watched");
        }
        if self.hold == Some((true, false)) {
            problems.insert("hold-not-possible");
        }
        if self.report == Some((true, false)) {
            problems.insert("report-not-possible");
        }
    }

    /// Returns max(G, W).
    pub(super) fn application_seconds(&self, grace: i64) -> i64 {
        self.quit_timeout.map_or(grace, |timeout| timeout.max(grace))
    }

    /// Applies the rest of section 2, once the delay is known.
    pub(super) fn close(&mut self, windows: bool, policy: &Policy, problems: &mut Problems) {
        if self.code != INJECTED || self.quit.is_some() || self.holds() {
            return;
        }
        if self.delay == 0 {
            self.code = "no-delay";
        } else if windows && !policy.has_sleep_action() {
            self.code = "windows";
        } else if self.programs.sleep == Presence::Absent && !self.uses_action(policy) {
            self.code = "no-sleep-program";
            problems.insert("no-sleep-program");
        }
    }

    /// Whether Kubernetes' sleep action is used for a delay alone.
    pub(super) fn uses_action(&self, policy: &Policy) -> bool {
        let knows = policy
            .kubernetes_version
            .is_some_and(|version| (version.major, version.minor) >= (1, 30));
        let helps = self.programs.sleep == Presence::Absent
            && policy.sleep_action == SleepAction::Auto
            && knows;
        policy.has_sleep_action() || helps
    }
}
