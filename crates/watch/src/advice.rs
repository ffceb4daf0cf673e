//! The necessary length of a delay, measured by the hooks of many terminations.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::objects::Workload;
use super::termination::{API_VERSION, Termination};
use super::words::count;

/// Number of terminations from which the measurement is considered sufficient.
const ENOUGH: u64 = 10;
/// Margin after the last new connection: hooks count whole seconds, and other pods may get later
/// connections.
const MARGIN_SECONDS: u64 = 2;

/// The reports of the hooks of one container of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Namespace of the workload.
    pub namespace: String,
    /// The workload.
    pub workload: Workload,
    /// Name of the container.
    pub container: String,
    /// Number of hooks that reported.
    pub terminations: u64,
    /// Number of hooks that counted more new connections than expected without traffic.
    pub with_traffic: u64,
    /// The latest second of a delay in which such connections arrived.
    pub last: u64,
    /// The shortest and the longest delay, in seconds.
    pub delays: (u64, u64),
    /// Number of hooks for which such connections arrived until the end of the delay.
    pub to_the_end: u64,
    /// Largest number of connections that were left at the end of a hold.
    pub left: u64,
}

/// The reports of all hooks so far, by workload and container.
#[derive(Debug, Default)]
pub struct Advice(BTreeMap<(String, Workload, String), Measured>);

impl Advice {
    /// Adds the report of a hook, if there is one.
    pub fn add(&mut self, termination: &Termination) {
        let Some((workload, report)) =
            termination.workload.as_ref().zip(termination.report.as_ref())
        else {
            return;
        };
        let Some(delay) = report.delay else { return };
        let key = (termination.namespace.clone(), workload.clone(), termination.container.clone());
        let measured = self.0.entry(key).or_insert_with(|| Measured {
            namespace: termination.namespace.clone(),
            workload: workload.clone(),
            container: termination.container.clone(),
            terminations: 0,
            with_traffic: 0,
            last: 0,
            delays: (delay, delay),
            to_the_end: 0,
            left: 0,
        });
        measured.terminations += 1;
        measured.delays = (measured.delays.0.min(delay), measured.delays.1.max(delay));
        measured.left = measured.left.max(report.left.unwrap_or(0));
        if let Some(last) = report.last {
            measured.with_traffic += 1;
            measured.last = measured.last.max(last);
            measured.to_the_end += u64::from(last + 1 >= delay);
        }
    }

    /// Iterates over the measurements, sorted by workload.
    pub fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.0.values()
    }
}

impl Measured {
    /// Returns the delay, in seconds, that would have been sufficient, if it can be determined.
    #[must_use]
    pub const fn enough_seconds(&self) -> Option<u64> {
        if self.with_traffic == 0 || self.to_the_end > 0 {
            return None;
        }
        Some(self.last + MARGIN_SECONDS)
    }

    /// Returns the measurement as one line.
    #[must_use]
    pub fn line(&self) -> String {
        let Workload { kind, name } = &self.workload;
        let of = format!(
            "{} of {} {}/{name} {}",
            count(self.terminations, "termination"),
            kind.to_lowercase(),
            self.namespace,
            self.container
        );
        let few =
            if self.terminations < ENOUGH { "; more terminations would say more" } else { "" };
        let left = match self.left {
            0 => String::new(),
            left => format!("; up to {} left at the end of the hold", count(left, "connection")),
        };
        let (least, most) = self.delays;
        let delay = if least == most { format!("{most}s") } else { format!("{least}s to {most}s") };
        let said = match self.enough_seconds() {
            _ if self.with_traffic == 0 => format!(
                "no more new connections than are expected anyway, which says nothing about the delay ({delay}) unless there was traffic"
            ),
            Some(enough) => format!(
                "the last new connection came after at most {}s; a delay of {enough}s is enough (it was {delay})",
                self.last
            ),
            None => format!(
                "in {} new connections came until the delay ({delay}) was over: it is too short, a range such as {most}s-{}s measures how long it has to be",
                self.to_the_end,
                longer(most)
            ),
        };
        format!("{of}: {said}{left}{few}")
    }

    /// Returns the measurement as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": "MeasuredDelay",
            "namespace": self.namespace,
            "workload": self.workload,
            "container": self.container,
            "terminations": self.terminations,
            "withTraffic": self.with_traffic,
            "lastConnectionSeconds": (self.with_traffic > 0).then_some(self.last),
            "shortestDelaySeconds": self.delays.0,
            "longestDelaySeconds": self.delays.1,
            "connectionsUntilTheEnd": self.to_the_end,
            "enoughSeconds": self.enough_seconds(),
            "mostConnectionsLeft": self.left,
        })
    }
}

/// Returns an upper bound for a range with this lower bound.
const fn longer(seconds: u64) -> u64 {
    let longer = seconds.saturating_mul(6);
    if longer < 60 { 60 } else { longer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;
    use crate::judge::End;
    use prestop_core::engine::hook_report::HookReport;

    fn measured(reports: &[(u64, Option<u64>)]) -> Measured {
        let mut advice = Advice::default();
        for (delay, last) in reports {
            let report = HookReport { delay: Some(*delay), last: *last, ..HookReport::default() };
            advice.add(&Termination {
                namespace: "shop".to_owned(),
                pod: "web-1".to_owned(),
                uid: String::new(),
                node: String::new(),
                workload: Some(Workload { kind: "Deployment".to_owned(), name: "web".to_owned() }),
                container: "nginx".to_owned(),
                deleted: None,
                grace_seconds: None,
                cause: Cause::Unknown,
                withdrawn: None,
                hook: None,
                hook_ended_after: None,
                report: Some(report),
                end: End::Unseen,
                verdicts: Vec::new(),
                judged: jiff::Timestamp::UNIX_EPOCH,
            });
        }
        let all: Vec<_> = advice.measured().cloned().collect();
        assert_eq!(all.len(), 1);
        all[0].clone()
    }

    #[test]
    fn the_longest_of_many_decides() {
        let mut reports = vec![(10, Some(3)); 39];
        reports.push((10, Some(7)));
        let measured = measured(&reports);
        assert_eq!(measured.enough_seconds(), Some(9));
        assert_eq!(
            measured.line(),
            "40 terminations of deployment shop/web nginx: the last new connection came after at most 7s; a delay of 9s is enough (it was 10s)"
        );
    }

    #[test]
    fn connections_until_the_end_mean_that_the_delay_is_too_short() {
        let measured = measured(&[(10, Some(9)), (10, Some(2))]);
        assert_eq!(measured.enough_seconds(), None);
        let line = measured.line();
        assert!(line.contains("it is too short, a range such as 10s-60s measures"), "{line}");
        assert!(line.ends_with("more terminations would say more"), "{line}");
    }

    #[test]
    fn without_traffic_nothing_can_be_said() {
        let measured = measured(&[(10, None), (12, None)]);
        assert_eq!(measured.enough_seconds(), None);
        assert!(measured.line().contains("says nothing about the delay (10s to 12s)"));
    }
}
