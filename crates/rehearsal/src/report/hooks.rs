//! The results and reports of a run's hooks.

use std::fmt::Write;
use std::time::Duration;

use super::{Played, time};
use crate::plan::{Measured, Range, Termination};
use crate::recording::{HookEnd, HookReport, HookResult};

/// Describes the run's hook, the results of the hooks, and their reports.
pub(super) fn words(run: &Played, stop_signal: &str) -> String {
    let Termination { variant, hook, grace_period_seconds, .. } = &run.how;
    let mut text = format!(
        "{}: {}, grace period {grace_period_seconds}s",
        variant.words(),
        run.how.hook_words()
    );
    if hook.is_none() {
        let _ = write!(text, "; {stop_signal} at once");
    }
    for (result, hooks) in by_result(&run.recording.hooks) {
        let longest = hooks.iter().map(|hook| hook.took_micros).max().unwrap_or_default();
        let longest = time(Duration::from_micros(longest));
        let _ = write!(
            text,
            "\n  {} {}, after at most {longest}",
            times(hooks.len()),
            result_words(result)
        );
        let output =
            hooks.iter().map(|hook| hook.output.as_str()).find(|output| !output.is_empty());
        for line in output.unwrap_or_default().lines() {
            let _ = write!(text, "\n    {line}");
        }
    }
    for line in run.how.measured.iter().flat_map(|measured| what_it_saw(measured, run)) {
        let _ = write!(text, "\n  {line}");
    }
    text
}

/// Describes when traffic had stopped and what the hold waited for, and quotes the report if the
/// pod's own hook asks for one.
fn what_it_saw(measured: &Measured, run: &Played) -> Vec<String> {
    let hooks = &run.recording.hooks;
    let reports: Vec<_> = hooks.iter().filter_map(|hook| hook.report.as_ref()).collect();
    let mut lines = Vec::new();
    if let Some(range) = measured.range {
        lines.extend(delay_words(range, &reports));
    }
    if measured.holds {
        lines.extend(hold_words(&reports));
    }
    if measured.is_asked_for {
        let reporting = hooks.iter().filter_map(|hook| Some((hook.replica, hook.report.as_ref()?)));
        for (replica, report) in reporting {
            let own = report.lines.iter();
            lines.extend(own.map(|line| format!("replica {replica} reported {line}")));
        }
    }
    lines
}

fn delay_words(range: Range, reports: &[&HookReport]) -> Option<String> {
    let delays: Vec<_> = reports.iter().filter_map(|report| report.delay).collect();
    let mut words = format!("the delay took {}", spread(&delays)?);
    let last: Vec<_> = reports.iter().filter_map(|report| report.last).collect();
    match spread(&last) {
        None if reports.iter().all(|report| report.new.is_none_or(|new| new == 0)) => {
            words.push_str("; there were no new connections");
        }
        None => {
            let Range { allowed, quiet, .. } = range;
            let _ = write!(
                words,
                "; there were never more than {allowed} new connections within {quiet}s"
            );
        }
        Some(last) => {
            let _ = write!(
                words,
                "; more than {} new connections within {}s came last {last} after the deletion",
                range.allowed, range.quiet
            );
        }
    }
    let most = range.most.saturating_add(range.extra);
    let to_the_end = delays.iter().filter(|delay| **delay >= most).count();
    if to_the_end > 0 {
        let _ = write!(words, "; {} it lasted until its upper bound", times(to_the_end));
    }
    Some(words)
}

fn hold_words(reports: &[&HookReport]) -> Option<String> {
    let waits: Vec<_> = reports.iter().filter_map(|report| report.waited).collect();
    let waited = spread(&waits)?;
    let left: Vec<_> =
        reports.iter().filter_map(|report| report.left).filter(|left| *left > 0).collect();
    Some(match left.iter().max() {
        None => format!("the hold took {waited}, until no connection was left"),
        Some(most) => format!(
            "the hold took {waited}; {} connections were left at its end, at most {most}",
            times(left.len())
        ),
    })
}

/// Prints `4s`, or `4s to 6s`; `None` without times.
fn spread(seconds: &[u64]) -> Option<String> {
    let (least, most) = (seconds.iter().min()?, seconds.iter().max()?);
    Some(if least == most { format!("{least}s") } else { format!("{least}s to {most}s") })
}

fn by_result(hooks: &[HookEnd]) -> Vec<(&HookResult, Vec<&HookEnd>)> {
    let mut groups: Vec<(&HookResult, Vec<&HookEnd>)> = Vec::new();
    for hook in hooks {
        match groups.iter_mut().find(|(result, _)| **result == hook.result) {
            Some((_, group)) => group.push(hook),
            None => groups.push((&hook.result, vec![hook])),
        }
    }
    groups
}

fn result_words(result: &HookResult) -> String {
    match result {
        HookResult::Done => "it succeeded".to_owned(),
        HookResult::Status(137) => {
            "it ended together with the application, status 137 (Kubernetes records a FailedPreStopHook event, which is harmless)"
                .to_owned()
        }
        HookResult::Status(status) => format!("it failed with status {status}"),
        HookResult::Failed(why) => format!("it could not start: {why}"),
        HookResult::NotInTime => "it was still running at the end of the grace period".to_owned(),
    }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Variant;
    use crate::recording::Recording;

    fn report(delay: u64, last: Option<u64>, left: u64, waited: u64) -> HookReport {
        let lines = vec![format!(r#"{{"prestop":{{"delay":{delay}}}}}"#)];
        let (delay, left, waited) = (Some(delay), Some(left), Some(waited));
        HookReport { delay, last, new: Some(9), quit: None, left, waited, lines }
    }

    /// Returns the description of a run with hooks that wrote these reports.
    fn told(reports: Vec<HookReport>, is_asked_for: bool) -> String {
        let hooks = (0..).zip(reports).map(|(replica, report)| HookEnd {
            replica,
            result: HookResult::Done,
            took_micros: 6_000_000,
            output: String::new(),
            report: Some(report),
        });
        let measured = Measured {
            command: Vec::new(),
            file: String::new(),
            is_asked_for,
            range: Some(Range { least: 1, most: 8, quiet: 2, allowed: 4, extra: 0 }),
            holds: true,
        };
        let variant = Variant::AsInjected;
        let how = Termination {
            variant,
            hook: None,
            measured: Some(measured),
            words: Some("delay 1s to 8s".to_owned()),
            grace_period_seconds: 38,
            exec_fails: None,
        };
        let (samples, events, notes) = (Vec::new(), Vec::new(), Vec::new());
        let hooks = hooks.collect();
        let recording = Recording { variant, samples, events, hooks, rollout_micros: 0, notes };
        words(&Played::new(how, recording), "TERM")
    }

    #[test]
    fn reports_of_hooks_are_described() {
        let text = told(vec![report(4, Some(2), 0, 0), report(6, Some(3), 0, 5)], false);
        for line in [
            "the delay took 4s to 6s; more than 4 new connections within 2s came last 2s to 3s after the deletion",
            "the hold took 0s to 5s, until no connection was left",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("reported"), "{text}");
    }

    #[test]
    fn a_hook_without_a_quiet_period_or_an_end_is_described() {
        let text = told(vec![report(8, Some(8), 3, 29), report(1, None, 0, 1)], true);
        for line in [
            "; once it lasted until its upper bound",
            "the hold took 1s to 29s; once connections were left at its end, at most 3",
            r#"replica 0 reported {"prestop":{"delay":8}}"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
        let few = "there were never more than 4 new connections within 2s";
        assert!(told(vec![report(1, None, 0, 0)], false).contains(few));
        let none = HookReport { new: Some(0), ..report(1, None, 0, 0) };
        assert!(told(vec![none], false).contains("there were no new connections"));
    }
}
