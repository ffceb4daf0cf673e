//! The record of a run: every request and every event, as returned by the sandbox. Times are
//! microseconds from the start of the run's load.

pub use prestop_core::engine::hook_report::HookReport;
use serde::{Deserialize, Serialize};

use super::plan::Variant;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Which of the two.
    pub variant: Variant,
    /// Every request that was sent, in the order in which they were due.
    pub samples: Vec<Sample>,
    /// The events of replicas, in order.
    pub events: Vec<Event>,
    /// How each hook ended.
    pub hooks: Vec<HookEnd>,
    /// From the start of the rolling update to the end of the drain.
    pub rollout_micros: u64,
    /// Differences from Kubernetes.
    pub notes: Vec<String>,
}

/// One request, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was to be sent.
    pub due_micros: u64,
    /// How much later it was sent: the load generator's own fault.
    pub late_micros: u64,
    /// From when it was due to its end.
    pub took_micros: u64,
    /// Who sent it.
    pub client: Client,
    /// The replica that it ended at, if it got to one.
    pub replica: Option<u32>,
    /// The result of the first attempt.
    pub first: Ending,
    /// The result of the request as a whole; differs from `first` only if it was retried.
    pub last: Ending,
}

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Client {
    /// Makes a connection for each request.
    NewConnection,
    /// Keeps connections, as proxies and HTTP libraries do.
    KeptAlive,
    /// Makes a connection for a request that takes long.
    Long,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// Answered as a whole, with a status below 400.
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

/// Something that happened to a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at_micros: u64,
    /// What.
    pub happened: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Happened {
    /// A phase of the rollout began.
    Phase(Phase),
    /// A replica counts from here on.
    Ready {
        /// Which.
        replica: u32,
    },
    /// A replica was deleted: its hook begins.
    Deleted {
        /// Which.
        replica: u32,
    },
    /// It no longer gets new connections.
    Withdrawn {
        /// Which.
        replica: u32,
    },
    /// Its hook's delay is over, which it reported later, in whole seconds.
    DelayOver {
        /// Which.
        replica: u32,
    },
    /// Its hook is over.
    HookOver {
        /// Which.
        replica: u32,
    },
    /// The stop signal was sent.
    StopSignal {
        /// Which.
        replica: u32,
    },
    /// The grace period was over: SIGKILL.
    Killed {
        /// Which.
        replica: u32,
    },
    /// Its PID 1 has ended.
    Exited {
        /// Which.
        replica: u32,
    },
}

/// Parts of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nothing happens.
    Steady,
    /// `maxSurge: 1`, `maxUnavailable: 0`.
    RollingUpdate,
    /// One replica more than needed is taken away.
    ScaleDown,
    /// All replicas are evicted, one after the other.
    Drain,
    /// Nothing happens after it.
    Settled,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookEnd {
    /// Whose.
    pub replica: u32,
    /// How.
    pub result: HookResult,
    /// From the deletion.
    pub took_micros: u64,
    /// What it printed, its end if that is long.
    pub output: String,
    /// What it saw, where it reports.
    pub report: Option<HookReport>,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookResult {
    /// It did what it was to do.
    Done,
    /// An `exec` ended with this status; 128 and a number for a signal.
    Status(i32),
    /// It could not be run, or was refused.
    Failed(String),
    /// It was not over when the grace period was.
    NotInTime,
}

impl Ending {
    /// All that are dropped requests, in the order of reports.
    pub const DROPPED: [Self; 5] =
        [Self::Refused, Self::Reset, Self::CutShort, Self::TimeOut, Self::ErrorStatus];

    /// Whether the client got what it asked for.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// For people.
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

    /// For machines.
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

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NewConnection => "new connections",
            Self::KeptAlive => "kept-alive connections",
            Self::Long => "long requests",
        }
    }

    /// For machines.
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

    /// For people.
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

    /// For machines.
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
