//! The result of a cell, and its comparison with the expectation.

use serde_json::{Value, json};

use super::cells::{Cell, REPLICAS, Treatment};
use crate::hook_report;
use crate::traffic::LEAST_REQUESTS;
use crate::traffic::load;
use crate::traffic::seen::Ended;
use crate::workloads::Server;

pub(crate) const COLUMNS: [&str; 10] = [
    "server",
    "delay",
    "requests",
    "dropped",
    "new",
    "kept",
    "2 s",
    "8 s",
    "delays, median (from, to)",
    "pods ended after",
];

/// Number of pods that end: all in the rollout, all in the drain, one in the scale-down.
const ENDED: usize = 2 * REPLICAS as usize + 1;
/// The default delay, and the lower bound of the range, in seconds.
const LEAST_DELAY: u64 = 10;
const QUIET_PERIOD: u64 = 5;
/// Seconds by which a median may be late on a machine that is busy with other work.
const LATE: u64 = 4;
/// Downloads of 8 s, longer than the quiet period.
const LONG: &str = "long";

pub(crate) struct Row {
    cell: Cell,
    /// The client's counts.
    load: Value,
    ended: Vec<Ended>,
    /// Seconds of delay according to the hooks' own reports, sorted.
    delays: Vec<u64>,
}

impl Row {
    pub(crate) fn new(cell: Cell, load: Value, ended: Vec<Ended>) -> Self {
        let mut delays: Vec<_> = ended
            .iter()
            .filter_map(|pod| hook_report::read(&pod.message)["delay"].as_u64())
            .collect();
        delays.sort_unstable();
        Self { cell, load, ended, delays }
    }

    pub(crate) fn raw(&self) -> Value {
        json!({"cell": self.cell.name(), "load": self.load, "ended": self.ended})
    }

    /// Whether the client had to wait a second for a processor.
    pub(crate) fn had_no_time(&self) -> bool {
        self.load["late_seconds"].as_f64().unwrap() >= 1.0
    }

    pub(crate) fn cells(&self) -> [String; 10] {
        let stream = |name: &str| {
            let stream = &self.load["streams"][name];
            format!("{} / {}", stream["failed"], stream["requests"])
        };
        let seconds = || self.ended.iter().filter_map(|pod| pod.seconds);
        let (first, last) = (seconds().min().unwrap_or(-1), seconds().max().unwrap_or(-1));
        let delays = match (self.delays.first(), self.median(), self.delays.last()) {
            (Some(first), Some(median), Some(last)) => format!("{median} s ({first}, {last})"),
            _ => String::new(),
        };
        [
            self.cell.server.name().to_owned(),
            self.cell.treatment.name().to_owned(),
            self.load["requests"].to_string(),
            self.load["failed"].to_string(),
            stream("new"),
            stream("kept"),
            stream("short"),
            stream(LONG),
            delays,
            format!("{first} to {last} s"),
        ]
    }

    fn median(&self) -> Option<u64> {
        self.delays.get(self.delays.len() / 2).copied()
    }

    /// Returns the deviations from the expectation behind a load balancer with this delay.
    pub(crate) fn faults(&self, lag: u64) -> Vec<String> {
        let mut faults = Vec::new();
        let requests = self.load["requests"].as_u64().unwrap();
        if requests < LEAST_REQUESTS {
            faults.push(format!("only {requests} requests"));
        }
        if let Some(fault) = self.fault_of_losses(lag) {
            faults.push(fault);
        }
        if self.ended.len() != ENDED {
            faults.push(format!("{} pods ended, not {ENDED}", self.ended.len()));
        }
        for pod in self.ended.iter().filter(|pod| pod.how != "Completed (0)") {
            faults.push(format!("{}: {}", pod.pod, pod.how));
        }
        if self.cell.treatment != Treatment::Default {
            faults.extend(self.fault_of_delays(lag));
        }
        let name = self.cell.name();
        faults.iter().map(|fault| format!("{lag} s late, {name}: {fault}")).collect()
    }

    fn fault_of_losses(&self, lag: u64) -> Option<String> {
        let failed = |stream: &str| self.load["streams"][stream]["failed"].as_u64().unwrap();
        let all = self.load["failed"].as_u64().unwrap();
        let is_late = lag > LEAST_DELAY;
        let is_right = match self.cell.treatment {
            // Without a loss here, a 0 in the other rows would prove nothing.
            Treatment::Default => is_late == (all > 0),
            // A download of 8 s is not awaited after a quiet period of 5 s, unless the server does
            // so.
            Treatment::Range if is_late && self.cell.server == Server::NaiveWithShell => {
                all == failed(LONG)
            }
            Treatment::Range | Treatment::RangeAndHold => all == 0,
        };
        let causes = load::causes(&self.load);
        (!is_right).then(|| format!("{all} dropped: {causes}: {:#}", self.load["failures"]))
    }

    /// Checks that traffic has ended before the delay ends, and that the delay ends soon after
    /// that.
    fn fault_of_delays(&self, lag: u64) -> Option<String> {
        if self.delays.len() != self.ended.len() {
            return Some(format!("{} of {} hooks reported", self.delays.len(), self.ended.len()));
        }
        // If the kubelet starts late, the delay of a single pod is shorter.
        let least = LEAST_DELAY.max(lag);
        let most = if lag == 0 { LEAST_DELAY + 1 } else { lag + QUIET_PERIOD + LATE };
        let is_right = self.delays[0] >= LEAST_DELAY
            && self.median().is_some_and(|median| (least..=most).contains(&median));
        (!is_right).then(|| format!("delays of {:?}, not of {least} to {most}", self.delays))
    }
}
