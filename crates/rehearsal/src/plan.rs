//! The plan of a rehearsal: all inputs of the sandbox, determined before it is created.

pub mod container;
mod image;

use std::time::Duration;

use prestop_core::engine::DEFAULT_TERMINATION_MESSAGE_PATH;
use prestop_core::engine::hook::LongScript;
use serde::{Deserialize, Serialize};

use self::container::{HookAction, Probe};

pub(crate) use self::image::lacks_programs;

/// A rehearsal: one server, and one or two ways of stopping it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command of the server, program and arguments; PID 1 of each replica.
    pub command: Vec<String>,
    /// Number of replicas that serve; at least 1.
    pub replicas: u32,
    /// Port on which they listen.
    pub port: u16,
    /// Condition for a replica to be ready.
    pub probe: Probe,
    /// Time limit for a replica to become ready.
    pub ready_timeout: Duration,
    /// The signal that stops replicas, without `SIG`.
    pub stop_signal: String,
    /// Time after its deletion during which a replica still gets new connections.
    pub endpoint_delay: EndpointDelay,
    /// Additional time until a load balancer outside the cluster learns of a change.
    pub late_endpoints: Duration,
    /// The requests of the clients.
    pub load: Load,
    /// The runs, in order.
    pub runs: Vec<Termination>,
}

/// The time from the deletion of a pod until no proxy sends it new connections: a uniformly distributed
/// range.
///
/// Every proxy of a cluster has its own watch, so the time differs between nodes and between deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDelay {
    /// The shortest time.
    pub least: Duration,
    /// The longest time; at least the shortest.
    pub most: Duration,
}

/// The requests of the clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Rate of all clients together, evenly spaced, whether answers arrive or not.
    pub rate_per_second: u32,
    /// Minimum number of requests in each run.
    pub least_requests: u64,
    /// Seed of all random choices.
    pub seed: u64,
    /// The path of the requests.
    pub path: String,
    /// Longer requests, if there are any.
    pub long: Option<LongRequests>,
    /// Maximum time to wait for an answer; for long requests in addition to their own time.
    pub timeout: Duration,
}

/// Requests that take a long time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongRequests {
    /// The path of the requests.
    pub path: String,
    /// Time that the server takes for one.
    pub takes: Duration,
    /// Average number of these requests in flight, over all replicas.
    pub in_flight: u32,
}

/// One way of stopping a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// The variant of the manifest.
    pub variant: Variant,
    /// The preStop hook, if there is one.
    pub hook: Option<HookAction>,
    /// The same hook with a report, if it can write one. It runs instead of the original.
    pub measured: Option<Measured>,
    /// A description of the hook, if it is a script of prestop.
    pub words: Option<String>,
    /// `terminationGracePeriodSeconds`.
    pub grace_period_seconds: u64,
    /// Reason why `exec` hooks fail, if the image does not have their programs.
    pub exec_fails: Option<String>,
}

/// A script of prestop that measures, and writes a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The command with a report.
    pub command: Vec<String>,
    /// Path of the container's termination message, to which the script writes the report.
    pub file: String,
    /// Whether the pod's own hook reports as well.
    pub is_asked_for: bool,
    /// The range of the delay, if it is a range.
    pub range: Option<Range>,
    /// Whether the script waits for connections.
    pub holds: bool,
}

/// A delay that ends when no new connections arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Lower bound, in seconds.
    pub least: u64,
    /// Upper bound, in seconds.
    pub most: u64,
    /// Length of the quiet period, in seconds.
    pub quiet: u64,
    /// Number of new connections in the quiet period that do not count as traffic.
    pub allowed: u64,
    /// Additional delay for other containers after that, in seconds.
    pub extra: u64,
}

/// The variant of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Variant {
    /// As its author wrote it.
    AsWritten,
    /// As prestop injects it.
    AsInjected,
}

impl Measured {
    /// Returns the hook with a report, if it is the long script.
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
    /// Words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::AsWritten => "as written",
            Self::AsInjected => "as injected",
        }
    }
}

impl Termination {
    /// Returns the hook that is run: with a report, if it can write one.
    pub(crate) fn played_hook(&self) -> Option<HookAction> {
        let measured = self.measured.as_ref().map(|measured| measured.command.clone());
        measured.map(|command| HookAction::Exec { command }).or_else(|| self.hook.clone())
    }

    /// Returns a description of the hook.
    pub(crate) fn hook_words(&self) -> String {
        match (&self.words, &self.hook) {
            (Some(words), _) => words.clone(),
            (None, Some(hook)) => hook.words(),
            (None, None) => "no hook".to_owned(),
        }
    }
}

impl Plan {
    /// Returns the time after the deletion with this number during which the replica still gets new
    /// connections.
    pub(crate) fn withdrawn_after(&self, deletion: u64) -> Duration {
        self.endpoint_delay.of_deletion(deletion, self.load.seed) + self.late_endpoints
    }
}

impl EndpointDelay {
    /// Returns the delay of the deletion with this number. It depends on the seed alone, so that
    /// both runs have the same delays.
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

/// Returns the random numbers for one purpose and number, which depend on the seed alone.
pub(crate) fn random(seed: u64, draw: Draw, number: u64) -> fastrand::Rng {
    // The seed is mixed, because neighbouring seeds of fastrand start with similar numbers.
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
        // The hook's own file, if it has one.
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
