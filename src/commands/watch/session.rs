//! Prints and counts during a watch.

use std::io::{self, Write};

use jiff::Timestamp;
use prestop_watch::advice::{Advice, Measured};
use prestop_watch::gaps::Gap;
use prestop_watch::state::{Output, Watch};
use prestop_watch::summary::Summary;
use prestop_watch::termination::{API_VERSION, Termination};
use prestop_watch::words::count;
use serde_json::{Value, json};

use super::junit;
use super::live::Live;
use super::requests::Requests;
use crate::cli::{WatchArguments, WatchForm};
use crate::commands::tell;

/// Reason why the watch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Ctrl-C, or SIGTERM.
    Asked,
    /// The time limit of `--for` is over.
    TimeOver,
    /// The workload is rolled out.
    Rolled,
    /// The workload will not be rolled out, for this reason.
    NotRolled(String),
    /// The workload does not roll out by itself, for this reason.
    NeverRolls(String),
}

/// Everything that was seen and printed.
pub(super) struct Session {
    form: WatchForm,
    live: Live,
    pub(super) summary: Summary,
    advice: Advice,
    /// Terminations for output that is written at the end.
    pub(super) ended: Vec<Termination>,
    gaps: Vec<Gap>,
    keeps: bool,
    rolls: bool,
    waits: String,
    pub(super) scope: String,
    pub(super) began: Timestamp,
}

impl Session {
    pub(super) fn new(arguments: &WatchArguments, scope: String, began: Timestamp) -> Self {
        Self {
            form: arguments.output,
            live: Live::new(arguments.output),
            summary: Summary::new(arguments.accept.iter().copied()),
            advice: Advice::default(),
            ended: Vec::new(),
            gaps: Vec::new(),
            keeps: arguments.output == WatchForm::Junit || arguments.svg.is_some(),
            rolls: arguments.until_rolled.is_some(),
            waits: String::new(),
            scope,
            began,
        }
    }

    /// Prints and counts the output of the state machine.
    pub(super) fn output(&mut self, output: Output) -> io::Result<()> {
        match output {
            Output::Ended(termination) => {
                self.summary.add(&termination);
                self.advice.add(&termination);
                let weight = self.summary.weight(&termination);
                self.print(|| termination.line(weight), || termination.json(weight))?;
                if self.keeps {
                    self.ended.push(*termination);
                }
            }
            Output::Gap(gap) => {
                self.summary.add_gap(&gap);
                self.print(|| gap.line(), || gap_json(&gap))?;
                if self.keeps {
                    self.gaps.push(gap);
                }
            }
        }
        Ok(())
    }

    /// Prints the requests that were lost since the last call.
    pub(super) fn requests(&mut self, requests: &mut Requests, at: Timestamp) -> io::Result<()> {
        for lost in requests.take(at) {
            self.print(|| lost.line(), || lost.json())?;
        }
        Ok(())
    }

    /// Prints the reason why a rollout waits, whenever it changes.
    pub(super) fn waits(&mut self, why: String) -> io::Result<()> {
        if self.waits != why {
            if self.form == WatchForm::Text {
                self.live.clear(&mut io::stdout().lock())?;
            }
            tell(&format!("waiting: {why}"));
            self.waits = why;
        }
        Ok(())
    }

    /// Draws the table on a terminal.
    pub(super) fn draw(
        &mut self,
        state: &Watch,
        requests: Option<&Requests>,
        at: Timestamp,
    ) -> io::Result<()> {
        self.live.draw(state, &self.summary, requests, at, &mut io::stdout().lock())
    }

    /// Whether anything bad was seen.
    pub(super) fn is_bad(
        &self,
        is_strict: bool,
        requests: Option<&Requests>,
        ended: &Ended,
    ) -> bool {
        let is_unknown = self.summary.unknown() > 0 && is_strict;
        let has_lost = requests.is_some_and(|requests| requests.counts().1 > 0);
        self.summary.bad() > 0 || is_unknown || has_lost || self.not_rolled(ended).is_some()
    }

    /// Returns the reason why the workload is not rolled out, if it should be.
    fn not_rolled<'a>(&self, ended: &'a Ended) -> Option<&'a str> {
        match ended {
            Ended::NotRolled(why) | Ended::NeverRolls(why) => Some(why),
            Ended::Asked if self.rolls => Some("interrupted"),
            Ended::TimeOver if self.rolls => Some("not within the time of --for"),
            Ended::Rolled | Ended::Asked | Ended::TimeOver => None,
        }
    }

    /// Prints the summary.
    pub(super) fn finish(
        mut self,
        state: &Watch,
        requests: Option<&Requests>,
        ended: &Ended,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        self.live.clear(&mut out)?;
        let not_rolled = self.not_rolled(ended);
        let ending = state.ending().len();
        match self.form {
            WatchForm::Text => {
                for line in self.lines(requests, not_rolled, ending) {
                    writeln!(out, "{line}")?;
                }
            }
            WatchForm::Json => {
                for object in self.objects(requests, not_rolled, ending) {
                    writeln!(out, "{object}")?;
                }
            }
            WatchForm::Junit => {
                junit::write(&self, &self.gaps, requests, not_rolled, &mut out)?;
            }
        }
        out.flush()
    }

    fn lines(
        &self,
        requests: Option<&Requests>,
        not_rolled: Option<&str>,
        ending: usize,
    ) -> Vec<String> {
        let mut lines = vec![String::new()];
        lines.extend(self.summary.lines());
        if ending > 0 {
            let ending = u64::try_from(ending).unwrap_or(u64::MAX);
            lines.push(format!("{} had not ended yet", count(ending, "more pod")));
        }
        lines.extend(
            self.advice.measured().map(|measured| format!("measured: {}", measured.line())),
        );
        match requests {
            Some(requests) => lines.extend(requests.lines()),
            None => lines.push(
                "requests are not counted; --url sends some and says how many of them are lost"
                    .to_owned(),
            ),
        }
        lines.extend(not_rolled.map(|why| format!("× not rolled out: {why}")));
        lines
    }

    fn objects(
        &self,
        requests: Option<&Requests>,
        not_rolled: Option<&str>,
        ending: usize,
    ) -> Vec<Value> {
        let mut objects: Vec<_> = self.advice.measured().map(Measured::json).collect();
        objects.extend(requests.map(Requests::json));
        let mut summary = self.summary.json();
        if let Some(summary) = summary.as_object_mut() {
            summary.insert("stillEnding".to_owned(), ending.into());
            summary.insert("notRolledOut".to_owned(), not_rolled.into());
        }
        objects.push(summary);
        objects
    }

    fn print(
        &mut self,
        line: impl FnOnce() -> String,
        object: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.form {
            WatchForm::Text => self.live.line(&line(), &mut out),
            WatchForm::Json => {
                writeln!(out, "{}", object())?;
                out.flush()
            }
            WatchForm::Junit => Ok(()),
        }
    }
}

fn gap_json(gap: &Gap) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Gap",
        "from": gap.from.to_string(),
        "to": gap.to.to_string(),
        "seconds": gap.seconds(),
        "why": gap.why,
        "listedAnew": gap.listed_anew,
        "podsEndedUnseen": gap.vanished,
    })
}
