//! The ended containers as `JUnit` XML: a suite per workload, a test per container, a failed test
//! per bad end.

use std::collections::BTreeMap;
use std::io::{self, Write};

use prestop_watch::gaps::Gap;
use prestop_watch::termination::Termination;
use prestop_watch::verdict::Weight;

use super::requests::Requests;
use super::session::Session;
use crate::commands::xml::escaped;

/// A test case.
struct Case {
    name: String,
    seconds: f64,
    result: Outcome,
}

enum Outcome {
    Passed(String),
    Skipped(String),
    Failed { kind: String, message: String, text: String },
}

/// Writes the document.
pub(super) fn write(
    session: &Session,
    gaps: &[Gap],
    requests: Option<&Requests>,
    not_rolled: Option<&str>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut suites: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for termination in &session.ended {
        let case = case(session, termination);
        suites.entry(suite_of(termination)).or_default().push(case);
    }
    let of_watch = of_watch(session, gaps, requests, not_rolled);
    suites.insert("prestop watch".to_owned(), of_watch);
    let all = || suites.values().flatten();
    let (tests, failures, skipped) = counts(all());
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="prestop watch" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="0">"#
    )?;
    for (name, cases) in &suites {
        suite(&escaped(name), cases, out)?;
    }
    writeln!(out, "</testsuites>")
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> (usize, usize, usize) {
    cases.fold((0, 0, 0), |(tests, failures, skipped), case| match case.result {
        Outcome::Passed(_) => (tests + 1, failures, skipped),
        Outcome::Skipped(_) => (tests + 1, failures, skipped + 1),
        Outcome::Failed { .. } => (tests + 1, failures + 1, skipped),
    })
}

fn suite_of(termination: &Termination) -> String {
    match &termination.workload {
        Some(workload) => {
            format!("{} {}/{}", workload.kind, termination.namespace, workload.name)
        }
        None => format!("Pod {}/{}", termination.namespace, termination.pod),
    }
}

fn case(session: &Session, termination: &Termination) -> Case {
    let weight = session.summary.weight(termination);
    let text = termination.verdict().text();
    let line = termination.line(weight);
    let result = match weight {
        Weight::Good => Outcome::Passed(line),
        Weight::Unknown => Outcome::Skipped(format!("{line} {}", text.advice)),
        Weight::Bad => Outcome::Failed {
            kind: text.code.to_owned(),
            message: text.sentence.to_owned(),
            text: format!("{line}\n{}", text.advice),
        },
    };
    let seconds = termination.exited_after().unwrap_or_default().max(0.0);
    Case { name: format!("{} {}", termination.pod, termination.container), seconds, result }
}

/// Returns the test cases for gaps, requests and the rollout.
fn of_watch(
    session: &Session,
    gaps: &[Gap],
    requests: Option<&Requests>,
    not_rolled: Option<&str>,
) -> Vec<Case> {
    let bad = |kind: &str, text: String| Outcome::Failed {
        kind: kind.to_owned(),
        message: text.clone(),
        text,
    };
    let of_gap = |gap: &Gap| Case {
        name: "connection to the API server".to_owned(),
        seconds: gap.seconds(),
        result: Outcome::Skipped(gap.line()),
    };
    let mut cases: Vec<_> = gaps.iter().map(of_gap).collect();
    if let Some(requests) = requests {
        let lines = requests.lines().join("\n");
        let result = match requests.counts() {
            (_, 0) => Outcome::Passed(lines),
            _ => bad("lost-requests", lines),
        };
        cases.push(Case { name: "requests".to_owned(), seconds: 0.0, result });
    }
    let result = match not_rolled {
        Some(why) => bad("not-rolled-out", why.to_owned()),
        None => Outcome::Passed(session.summary.lines().join("\n")),
    };
    cases.push(Case { name: "summary".to_owned(), seconds: 0.0, result });
    cases
}

fn suite(name: &str, cases: &[Case], out: &mut impl Write) -> io::Result<()> {
    let (tests, failures, skipped) = counts(cases.iter());
    writeln!(
        out,
        r#"  <testsuite name="{name}" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="0">"#
    )?;
    for case in cases {
        let (test, seconds) = (escaped(&case.name), case.seconds);
        writeln!(out, r#"    <testcase classname="{name}" name="{test}" time="{seconds}">"#)?;
        match &case.result {
            Outcome::Passed(line) => {
                writeln!(out, "      <system-out>{}</system-out>", escaped(line))?;
            }
            Outcome::Skipped(line) => {
                writeln!(out, r#"      <skipped message="{}"/>"#, escaped(line))?;
            }
            Outcome::Failed { kind, message, text: said } => writeln!(
                out,
                r#"      <failure type="{}" message="{}">{}</failure>"#,
                escaped(kind),
                escaped(message),
                escaped(said)
            )?,
        }
        writeln!(out, "    </testcase>")?;
    }
    writeln!(out, "  </testsuite>")
}
