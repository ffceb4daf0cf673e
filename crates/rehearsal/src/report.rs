//! The result of a rehearsal for readers: as text, as one sentence, as [JSON](json).

mod hooks;
pub mod json;
mod table;

use std::time::Duration;

pub(super) use self::table::grouped;

use super::plan::{Plan, Termination, Variant};
use super::recording::{Phase, Recording};
use super::tally::Tally;

/// The subject of the rehearsal, beyond its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The workload, for example `Deployment default/web`.
    pub workload: String,
    /// Name of the container.
    pub container: String,
    /// Image of the container.
    pub image: String,
    /// Source of the stop signal.
    pub stop_signal_from: String,
    /// Reason why the injected manifest does not differ from the original, if that is the case.
    pub unchanged: Option<String>,
    /// Notes as in reports of `inject`, and differences from Kubernetes.
    pub notes: Vec<String>,
}

/// One run with its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// The way of stopping replicas.
    pub how: Termination,
    /// The record of the run.
    pub recording: Recording,
    /// The counts of the recording.
    pub tally: Tally,
}

/// All data of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The subject of the rehearsal.
    pub subject: Subject,
    /// The plan of the rehearsal.
    pub plan: Plan,
    /// The runs. The last one is as injected, unless nothing is injected: then there is only the
    /// run as written.
    pub runs: Vec<Played>,
}

impl Rehearsal {
    /// Returns the number of requests that were dropped in the last run.
    #[must_use]
    pub fn dropped_as_injected(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.tally.all.dropped)
    }

    /// Returns the notes of the plan and of all runs, without duplicates.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.subject.notes.clone();
        notes.extend(self.plan.probe.note.clone());
        for run in &self.runs {
            notes.extend(run.recording.notes.iter().cloned());
            if run.tally.most_late > LATE {
                notes.push(format!(
                    "{}: requests were sent up to {} late: this machine is too busy for reliable times",
                    run.how.variant.words(),
                    time(run.tally.most_late)
                ));
            }
        }
        for run in &self.runs {
            let others =
                run.tally.phases.iter().filter(|(phase, _)| !Phase::PLAYED.contains(phase));
            let dropped: u64 = others.map(|(_, count)| count.dropped).sum();
            if dropped > 0 {
                notes.push(format!(
                    "{}: {} dropped before or after the rollout, not because of it",
                    run.how.variant.words(),
                    grouped(dropped)
                ));
            }
        }
        let mut once: Vec<String> = Vec::new();
        for note in notes {
            if !once.contains(&note) {
                once.push(note);
            }
        }
        once
    }

    /// Returns the report as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.heading();
        text.push('\n');
        text.push_str(&table::of(&self.runs));
        text.push('\n');
        for run in &self.runs {
            push(&mut text, &hooks::words(run, &self.plan.stop_signal));
        }
        for note in self.notes() {
            push(&mut text, &format!("note: {note}"));
        }
        text.push('\n');
        push(&mut text, &self.verdict());
        text
    }

    /// Returns the conclusion as one sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else {
            return "There was no run.".to_owned();
        };
        let share = |run: &Played| {
            let (dropped, sent) = (run.tally.all.dropped, run.tally.all.sent);
            if dropped == 0 {
                format!("none of {} requests", grouped(sent))
            } else {
                format!("{} of {} requests", grouped(dropped), grouped(sent))
            }
        };
        if let Some(why) = &self.subject.unchanged {
            return format!(
                "prestop changes nothing here ({why}); this rollout drops {}.",
                share(last)
            );
        }
        match (first.tally.all.dropped, last.tally.all.dropped) {
            (0, 0) => format!(
                "No request was dropped, neither as written ({}) nor as injected ({}): the hook only adds time here.",
                share(first),
                share(last)
            ),
            (_, 0) => format!(
                "As written this rollout drops {}; as injected it drops {}.",
                share(first),
                share(last)
            ),
            _ => format!(
                "As written this rollout drops {}; as injected it still drops {}, most of them: {}.",
                share(first),
                share(last),
                most_of_them(last)
            ),
        }
    }

    fn heading(&self) -> String {
        let Subject { workload, container, image, stop_signal_from, .. } = &self.subject;
        let Plan { command, replicas, stop_signal, endpoint_delay, late_endpoints, load, .. } =
            &self.plan;
        let late = if late_endpoints.is_zero() {
            String::new()
        } else {
            format!(", the load balancer learns of each change {} later", time(*late_endpoints))
        };
        let mut text = String::new();
        push(&mut text, &format!("{workload}, container {container} ({image})"));
        push(&mut text, &format!("{replicas} replicas of: {}", command.join(" ")));
        push(&mut text, &format!("stop signal {stop_signal} ({stop_signal_from})"));
        push(
            &mut text,
            &format!(
                "{} requests a second to {}; endpoints change {} to {} after a deletion{late}; seed {}",
                load.rate_per_second,
                load.path,
                time(endpoint_delay.least),
                time(endpoint_delay.most),
                load.seed
            ),
        );
        text
    }
}

/// Lateness from which the load generator counts as overloaded.
const LATE: Duration = Duration::from_millis(250);

/// Prints a duration with a useful number of digits.
#[must_use]
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 || duration.is_zero() {
        let text = format!("{seconds:.1}");
        format!("{}s", text.strip_suffix(".0").unwrap_or(&text))
    } else if seconds >= 0.01 {
        format!("{:.0}ms", seconds * 1000.0)
    } else {
        format!("{:.1}ms", seconds * 1000.0)
    }
}

fn most_of_them(run: &Played) -> String {
    let ending = run.tally.endings.iter().rev().max_by_key(|(_, count)| *count);
    let client = run.tally.clients.iter().rev().max_by_key(|(_, count)| count.dropped);
    match (client, ending) {
        (Some((client, _)), Some((ending, _))) => format!("{}, {}", client.words(), ending.words()),
        _ => String::new(),
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

impl Played {
    /// Creates a run with its counts.
    #[must_use]
    pub fn new(how: Termination, recording: Recording) -> Self {
        let tally = Tally::of(&recording);
        Self { how, recording, tally }
    }

    /// Returns the variant of the manifest.
    #[must_use]
    pub const fn variant(&self) -> Variant {
        self.how.variant
    }
}
