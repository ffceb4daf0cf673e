//! The plan of a rehearsal: all inputs of the sandbox, decided before it is created.

pub mod container;
mod image;

use std::time::Duration;

use prestop_core::engine::DEFAULT_TERMINATION_MESSAGE_PATH;
use prestop_core::engine::hook::LongScript;
use serde::{Deserialize, Serialize};

use self::container::{HookAction, Probe};

pub(crate) use self::image::lacks_programs;

/// A rehearsal: one server, one or two ways of stopping it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The server: program and arguments, PID 1 of each replica.
    pub command: Vec<String>,
    /// How many replicas serve; at least 1.
    pub replicas: u32,
    /// The port that they listen on.
    pub port: u16,
    /// When a replica counts as ready.
    pub probe: Probe,
    /// How long a replica may take until it is.
    pub ready_timeout: Duration,
    /// The signal by which replicas are stopped, without `SIG`.
    pub stop_signal: String,
    /// How long after the deletion a replica is still given new connections.
    pub endpoint_delay: EndpointDelay,
    /// How much later than that a load balancer outside the cluster learns of every change.
    pub late_endpoints: Duration,
    /// Who asks for what.
    pub load: Load,
    /// The runs, one after the other.
    pub runs: Vec<Termination>,
}

/// The time from the deletion of a pod until no proxy sends it new connections: a uniformly distributed
/// range.
///
/// Every proxy of a cluster has its own watch, so the time differs between nodes and between deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDelay {
    /// The shortest.
    pub least: Duration,
    /// The longest; at least the shortest.
    pub most: Duration,
}

/// Who asks for what, how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Requests of all clients together, evenly spaced, whether answers come or not.
    pub rate_per_second: u32,
    /// At least so many are sent in each run.
    pub least_requests: u64,
    /// Of everything that is left to chance.
    pub seed: u64,
    /// The path of the requests.
    pub path: String,
    /// Longer requests, if there are any.
    pub long: Option<LongRequests>,
    /// How long a client waits for an answer; for long requests on top of their own time.
    pub timeout: Duration,
}

/// Requests that take their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongRequests {
    /// The path of the requests.
    pub path: String,
    /// How long the server takes.
    pub takes: Duration,
    /// So many are in flight on average, over all replicas.
    pub in_flight: u32,
}

/// One way of stopping a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// Which of the two.
    pub variant: Variant,
    /// The preStop hook, if there is one.
    pub hook: Option<HookAction>,
    /// The same hook with a report, if it can write one. It is run instead of the original.
    pub measured: Option<Measured>,
    /// A description of the hook, if it is a script of prestop.
    pub words: Option<String>,
    /// `terminationGracePeriodSeconds`.
    pub grace_period_seconds: u64,
    /// Why `exec` hooks fail, if the image has no programs to run.
    pub exec_fails: Option<String>,
}

/// A script of prestop that measures, with a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The command with a report.
    pub command: Vec<String>,
    /// The container's termination message, to which it reports.
    pub file: String,
    /// Whether the pod's own hook reports too.
    pub is_asked_for: bool,
    /// The range of the delay, where it is one.
    pub range: Option<Range>,
    /// Whether it waits for connections.
    pub holds: bool,
}

/// A delay that ends when no new connections arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The lower bound in seconds.
    pub least: u64,
    /// The upper one.
    pub most: u64,
    /// It is quiet when in so many seconds
    pub quiet: u64,
    /// no more than so many connections have come.
    pub allowed: u64,
    /// So many seconds after that are for other containers.
    pub extra: u64,
}

/// The manifest before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Variant {
    /// As its author wrote it.
    AsWritten,
    /// As prestop injects it.
    AsInjected,
}

impl Measured {
    /// Of a hook, if it is the long script.
    #[must_use]
    pub(crate) fn of(hook: &HookAction) -> Option<Self> {
        let HookAction::Exec { command } = hook else { return None };
        let LongScript { watch, holds, report } = LongScript::of(command)?;
        let is_asked_for = !report.is_empty();
        let file = if is_asked_for { report } else { DEFAULT_TERMINATION_MESSAGE_PATH };
        let seconds = |number: i64| u64::try_from(number).unwrap_or_default();
        let range = Range {
            least: seconds(watch.least_seconds),
            most: seconds(watch.most_seconds),
            quiet: seconds(watch.quiet_seconds),
            allowed: seconds(watch.allowed_connections),
            extra: seconds(watch.extra_seconds),
        };
        Some(Self {
            command: LongScript::reporting(command, file),
            file: file.to_owned(),
            is_asked_for,
            range: (range.least < range.most).then_some(range),
            holds,
        })
    }
}

impl Variant {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::AsWritten => "as written",
            Self::AsInjected => "as injected",
        }
    }
}

impl Termination {
    /// The hook as it is played: with a report, if it can have one.
    pub(crate) fn played_hook(&self) -> Option<HookAction> {
        let measured = self.measured.as_ref().map(|measured| measured.command.clone());
        measured.map(|command| HookAction::Exec { command }).or_else(|| self.hook.clone())
    }

    /// A description of the hook.
    pub(crate) fn hook_words(&self) -> String {
        match (&self.words, &self.hook) {
            (Some(words), _) => words.clone(),
            (None, Some(hook)) => hook.words(),
            (None, None) => "no hook".to_owned(),
        }
    }
}

impl Plan {
    /// How long after its deletion the replica of this number is still given new connections.
    pub(crate) fn withdrawn_after(&self, deletion: u64) -> Duration {
        self.endpoint_delay.of_deletion(deletion, self.load.seed) + self.late_endpoints
    }
}

impl EndpointDelay {
    /// The delay of the deletion of this number: by the seed alone, so that both runs have the same.
    #[must_use]
    pub fn of_deletion(self, number: u64, seed: u64) -> Duration {
        let spread = self.most.saturating_sub(self.least);
        let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        let mut random = random(seed, Draw::EndpointDelay, number);
        self.least + Duration::from_millis(random.u64(0..=millis))
    }
}

/// The purpose of a random number: each has a separate sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Draw {
    EndpointDelay = 1,
    Request = 2,
}

/// The random numbers of one thing, by the seed and its number alone.
pub(crate) fn random(seed: u64, draw: Draw, number: u64) -> fastrand::Rng {
    // Mixed, since neighbouring seeds of fastrand begin alike.
    let mut mixed = fastrand::Rng::with_seed(seed ^ ((draw as u64) << 56));
    let base = mixed.u64(..);
    let mut random =
        fastrand::Rng::with_seed(base.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let _ = random.u64(..);
    random
}

#[cfg(test)]
mod tests {
    use super::*;
    use prestop_core::engine::hook::{Delay, Hook, ScriptHook, Task, Wait, Watch};
    use serde_json::json;

    fn plan(late: Duration) -> Plan {
        let millis = Duration::from_millis;
        Plan {
            command: Vec::new(),
            replicas: 2,
            port: 80,
            probe: Probe::connect(80),
            ready_timeout: Duration::ZERO,
            stop_signal: "TERM".to_owned(),
            endpoint_delay: EndpointDelay { least: millis(100), most: millis(2000) },
            late_endpoints: late,
            load: Load {
                rate_per_second: 1,
                least_requests: 1,
                seed: 7,
                path: "/".to_owned(),
                long: None,
                timeout: Duration::ZERO,
            },
            runs: Vec::new(),
        }
    }

    #[test]
    fn a_late_load_balancer_adds_to_the_delay_of_each_deletion() {
        let (plain, late) = (plan(Duration::ZERO), plan(Duration::from_secs(20)));
        let mut all = Vec::new();
        for deletion in 0..100 {
            let delay = plain.withdrawn_after(deletion);
            assert!((100..=2000).contains(&delay.as_millis()), "{delay:?}");
            assert_eq!(late.withdrawn_after(deletion), delay + Duration::from_secs(20));
            all.push(delay);
        }
        all.dedup();
        assert!(all.len() > 90, "they differ from deletion to deletion");
    }

    fn action(delay: Delay, wait: Wait, report: Option<&str>) -> HookAction {
        let report = report.map(std::borrow::Cow::Borrowed);
        let hook = Hook::Script(ScriptHook { delay, task: Task::None, wait, report });
        container::action(&json!(hook), &json!({})).unwrap()
    }

    fn how(hook: HookAction) -> Termination {
        Termination {
            variant: Variant::AsInjected,
            measured: Measured::of(&hook),
            hook: Some(hook),
            words: None,
            grace_period_seconds: 30,
            exec_fails: None,
        }
    }

    #[test]
    fn a_hook_that_measures_is_played_with_a_report() {
        let watch = Watch {
            least_seconds: 1,
            most_seconds: 8,
            quiet_seconds: 2,
            allowed_connections: 4,
            extra_seconds: 3,
        };
        let delay = Delay::Watched(watch);
        let played = how(action(delay, Wait::No, None));
        let measured = played.measured.clone().unwrap();
        let range = Range { least: 1, most: 8, quiet: 2, allowed: 4, extra: 3 };
        assert_eq!((measured.range, measured.is_asked_for), (Some(range), false));
        assert_eq!(
            played.played_hook(),
            Some(action(delay, Wait::No, Some("/dev/termination-log")))
        );
        // Its own file, where it has one.
        let own = how(action(delay, Wait::No, Some("/run/message")));
        let measured = own.measured.clone().unwrap();
        assert_eq!((measured.file.as_str(), measured.is_asked_for), ("/run/message", true));
        assert_eq!(own.played_hook(), own.hook);
    }

    #[test]
    fn other_hooks_are_played_as_they_are() {
        let hold = Wait::ForConnections { seconds: 9 };
        let hold = how(action(Delay::Fixed { seconds: 3 }, hold, None)).measured.unwrap();
        assert!(hold.holds && hold.range.is_none());
        let sleep = how(HookAction::Sleep { seconds: 3 });
        assert_eq!((&sleep.measured, sleep.played_hook()), (&None, sleep.hook.clone()));
        let own = how(HookAction::Exec { command: vec!["nginx".to_owned()] });
        assert_eq!(own.measured, None);
    }
}
