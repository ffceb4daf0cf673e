//! What is to be rehearsed: everything that the sandbox has to know, decided before it exists.

pub mod container;
mod image;

use std::time::Duration;

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
    /// Who asks for what.
    pub load: Load,
    /// The runs, one after the other.
    pub runs: Vec<Termination>,
}

/// The time from the deletion of a pod until no proxy sends it new connections any more: a spread,
/// evenly.
///
/// Every proxy of a cluster hears of it by a watch of its own, so it differs from node to node and
/// from deletion to deletion.
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
    /// What is asked for.
    pub path: String,
    /// Longer requests, if there are any.
    pub long: Option<LongRequests>,
    /// How long a client waits for an answer; for long requests on top of their own time.
    pub timeout: Duration,
}

/// Requests that take their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongRequests {
    /// What is asked for.
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
    /// What the hook does, for people, where it is a script of prestop.
    pub words: Option<String>,
    /// `terminationGracePeriodSeconds`.
    pub grace_period_seconds: u64,
    /// Why `exec` hooks fail, if the image has no programs to run.
    pub exec_fails: Option<String>,
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
    /// What the hook does, for people.
    pub(crate) fn hook_words(&self) -> String {
        match (&self.words, &self.hook) {
            (Some(words), _) => words.clone(),
            (None, Some(hook)) => hook.words(),
            (None, None) => "no hook".to_owned(),
        }
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

/// What a random number is for: each has a sequence of its own.
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
