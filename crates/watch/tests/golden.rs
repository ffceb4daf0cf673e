//! Compares recordings of clusters with the expected reports. `tests/cases/NAME/record.jsonl` has a
//! line for each observation:
//!
//! ```json
//! {"at": "2026-11-28T16:28:01.500Z", "pods": {"type": "APPLIED", "object": {}}}
//! ```
//!
//! `pods`, `events` or `slices` with one of `LISTBEGINS`, `LISTED`, `LISTDONE`, `APPLIED`,
//! `DELETED`; or `failed` with a reason, or `heard`. At most one second passes between two ticks.
//! `expected.txt` contains the printed lines, then the summary and the measured delays;
//! `UPDATE_GENERATED=1` writes it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use prestop_watch::advice::{Advice, Measured};
use prestop_watch::state::{Change, Input, Output, Watch};
use prestop_watch::summary::Summary;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Time that passes after the last line, so that every result is final.
const AFTERWARDS: SignedDuration = SignedDuration::from_secs(40);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

#[derive(Default)]
struct Played {
    watch: Watch,
    summary: Summary,
    advice: Advice,
    lines: Vec<String>,
    ticked: Option<Timestamp>,
}

impl Played {
    fn take(&mut self, at: Timestamp, input: Input) {
        let outputs = self.watch.take(at, input);
        self.print(outputs);
    }

    /// Ticks once a second until `until`.
    fn pass(&mut self, until: Timestamp) {
        let mut at = self.ticked.unwrap_or(until);
        while at + SECOND <= until {
            at += SECOND;
            self.take(at, Input::Tick);
        }
        self.ticked = Some(at);
    }

    fn print(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Ended(termination) => {
                    self.summary.add(&termination);
                    self.advice.add(&termination);
                    self.lines.push(termination.line(self.summary.weight(&termination)));
                }
                Output::Gap(gap) => {
                    self.summary.add_gap(&gap);
                    self.lines.push(gap.line());
                }
            }
        }
    }

    fn text(mut self, end: Timestamp) -> String {
        self.pass(end);
        let last = self.watch.finish(end);
        self.print(last);
        let mut lines = self.lines;
        lines.push(String::new());
        lines.extend(self.summary.lines());
        lines.extend(self.advice.measured().map(Measured::line));
        lines.join("\n") + "\n"
    }
}

fn change<T: DeserializeOwned>(value: &Value) -> Change<T> {
    let object = || serde_json::from_value(value["object"].clone()).unwrap();
    match value["type"].as_str().unwrap() {
        "LISTBEGINS" => Change::ListBegins,
        "LISTED" => Change::Listed(object()),
        "LISTDONE" => Change::ListDone,
        "APPLIED" => Change::Applied(object()),
        "DELETED" => Change::Deleted(object()),
        other => panic!("{other}"),
    }
}

fn input(line: &Value) -> Input {
    if let Some(pods) = line.get("pods") {
        Input::Pods(change(pods))
    } else if let Some(events) = line.get("events") {
        Input::Events(change(events))
    } else if let Some(slices) = line.get("slices") {
        Input::Slices(change(slices))
    } else if let Some(why) = line.get("failed") {
        Input::Failed(why.as_str().unwrap().to_owned())
    } else {
        Input::Heard
    }
}

fn played(record: &str) -> String {
    let mut played = Played::default();
    let mut end = Timestamp::UNIX_EPOCH;
    for line in record.lines().filter(|line| !line.is_empty()) {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        end = line["at"].as_str().unwrap().parse().unwrap();
        played.pass(end);
        played.take(end, input(&line));
    }
    played.text(end + AFTERWARDS)
}

#[test]
fn recorded_sequences_become_the_expected_lines() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut count = 0;
    for case in fs::read_dir(cases).unwrap() {
        let case = case.unwrap().path();
        let text = played(&fs::read_to_string(case.join("record.jsonl")).unwrap());
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        let expected = fs::read_to_string(expected).unwrap_or_default();
        assert!(text == expected, "{}: UPDATE_GENERATED=1 writes this\n{text}", case.display());
        count += 1;
    }
    assert!(count >= 3, "only {count} cases");
}

/// The order in which the three watches are read is random: the verdicts must not depend on it.
#[test]
fn watches_that_overtake_each_other_change_no_verdict() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for case in fs::read_dir(cases).unwrap() {
        let record = fs::read_to_string(case.unwrap().path().join("record.jsonl")).unwrap();
        let codes = |record: &str| {
            let text = played(record);
            let lines = text.lines().take_while(|line| !line.is_empty());
            let mut codes: Vec<String> = lines
                .map(|line| {
                    let name = line.split([':', '(']).next().unwrap_or_default();
                    let name = if line.ends_with("[gap]") { "" } else { name };
                    let code = line.rsplit('[').next().unwrap_or_default();
                    format!("{name} {code}")
                })
                .collect();
            codes.sort();
            codes
        };
        let expected = codes(&record);
        for late in ["pods", "events", "slices"] {
            // One watch is read a third of a second later than recorded.
            let delayed = record.lines().filter(|line| !line.is_empty()).map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                let at: Timestamp = line["at"].as_str().unwrap().parse().unwrap();
                let at = if line.get(late).is_some() {
                    at + SignedDuration::from_millis(333)
                } else {
                    at
                };
                line["at"] = at.to_string().into();
                (at, line.to_string())
            });
            let mut delayed: Vec<_> = delayed.collect();
            delayed.sort_by_key(|(at, _)| *at);
            let delayed: Vec<_> = delayed.into_iter().map(|(_, line)| line).collect();
            assert_eq!(codes(&delayed.join("\n")), expected, "{late} later");
        }
    }
}
