//! The record of a run: every request and every event, as returned by the sandbox. Times are
//! microseconds from the start of the run's load.

pub use prestop_core::engine::hook_report::HookReport;
use serde::{Deserialize, Serialize};

use super::plan::Variant;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The variant of the manifest.
    pub variant: Variant,
    /// Every request, in the order in which they were due.
    pub samples: Vec<Sample>,
    /// The events of replicas, in order.
    pub events: Vec<Event>,
    /// The end of each hook.
    pub hooks: Vec<HookEnd>,
    /// Time from the start of the rolling update to the end of the drain.
    pub rollout_micros: u64,
    /// Differences from Kubernetes.
    pub notes: Vec<String>,
}

/// One request and its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Time at which it was due.
    pub due_micros: u64,
    /// Delay before it was sent, caused by the load generator itself.
    pub late_micros: u64,
    /// Time from when it was due to its end.
    pub took_micros: u64,
    /// The client that sent it.
    pub client: Client,
    /// The replica at which it ended, if it reached one.
    pub replica: Option<u32>,
    /// The result of the first attempt.
    pub first: Ending,
    /// The result of the request as a whole; differs from `first` only if it was retried.
    pub last: Ending,
}

/// Kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Client {
    /// Opens a connection for each request.
    NewConnection,
    /// Keeps connections open, as proxies and HTTP libraries do.
    KeptAlive,
    /// Opens a connection for each long request.
    Long,
}

/// Result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// A complete answer with a status below 400.
    Ok,
    /// No connection could be made.
    Refused,
    /// The connection ended before any byte of the answer.
    Reset,
    /// The connection ended within the answer.
    CutShort,
    /// No answer in time.
    TimeOut,
    /// Answered with a status of 400 or more.
    ErrorStatus,
}

/// An event of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Time of the event.
    pub at_micros: u64,
    /// Kind of the event.
    pub happened: Happened,
}

/// Kind of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Happened {
    /// A phase of the rollout began.
    Phase(Phase),
    /// A replica has become ready.
    Ready {
        /// Number of the replica.
        replica: u32,
    },
    /// A replica was deleted: its hook begins.
    Deleted {
        /// Number of the replica.
        replica: u32,
    },
    /// A replica no longer gets new connections.
    Withdrawn {
        /// Number of the replica.
        replica: u32,
    },
    /// The delay of a replica's hook was over, according to the hook's later report, in whole
    /// seconds.
    DelayOver {
        /// Number of the replica.
        replica: u32,
    },
    /// A replica's hook was over.
    HookOver {
        /// Number of the replica.
        replica: u32,
    },
    /// The stop signal was sent.
    StopSignal {
        /// Number of the replica.
        replica: u32,
    },
    /// The grace period was over, and SIGKILL was sent.
    Killed {
        /// Number of the replica.
        replica: u32,
    },
    /// PID 1 of a replica has ended.
    Exited {
        /// Number of the replica.
        replica: u32,
    },
}

/// Parts of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Before the first change.
    Steady,
    /// `maxSurge: 1`, `maxUnavailable: 0`.
    RollingUpdate,
    /// A surplus replica is removed.
    ScaleDown,
    /// All replicas are evicted, one after another.
    Drain,
    /// After the last change.
    Settled,
}

/// The end of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookEnd {
    /// Number of the replica.
    pub replica: u32,
    /// Result of the hook.
    pub result: HookResult,
    /// Time from the deletion to the end of the hook.
    pub took_micros: u64,
    /// Output of the hook; only the end of a long one.
    pub output: String,
    /// The hook's report, if there is one.
    pub report: Option<HookReport>,
}

/// Result of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookResult {
    /// The hook succeeded.
    Done,
    /// An `exec` ended with this status; 128 and more stands for a signal.
    Status(i32),
    /// The hook could not be run, or was refused.
    Failed(String),
    /// The hook was still running at the end of the grace period.
    NotInTime,
}

impl Ending {
    /// All results that count as dropped requests, in the order of reports.
    pub const DROPPED: [Self; 5] =
        [Self::Refused, Self::Reset, Self::CutShort, Self::TimeOut, Self::ErrorStatus];

    /// Returns whether the request succeeded.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "connection refused",
            Self::Reset => "closed without an answer",
            Self::CutShort => "answer cut short",
            Self::TimeOut => "no answer in time",
            Self::ErrorStatus => "error status",
        }
    }

    /// Stable word for JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::CutShort => "cutShort",
            Self::TimeOut => "timeOut",
            Self::ErrorStatus => "errorStatus",
        }
    }
}

impl Client {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::NewConnection, Self::KeptAlive, Self::Long];

    /// Words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NewConnection => "new connections",
            Self::KeptAlive => "kept-alive connections",
            Self::Long => "long requests",
        }
    }

    /// Stable word for JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NewConnection => "newConnection",
            Self::KeptAlive => "keptAlive",
            Self::Long => "long",
        }
    }
}

impl Phase {
    /// The phases in which something happens.
    pub const PLAYED: [Self; 3] = [Self::RollingUpdate, Self::ScaleDown, Self::Drain];

    /// Words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Steady => "before",
            Self::RollingUpdate => "rolling update",
            Self::ScaleDown => "scale-down",
            Self::Drain => "drain",
            Self::Settled => "after",
        }
    }

    /// Stable word for JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Steady => "before",
            Self::RollingUpdate => "rollingUpdate",
            Self::ScaleDown => "scaleDown",
            Self::Drain => "drain",
            Self::Settled => "after",
        }
    }
}
