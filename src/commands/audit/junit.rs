//! Findings as `JUnit` XML: a suite per workload, a failed test per finding that fails the audit.

use std::io::{self, Write};

use super::report::{Audited, Located, Report, State};
use crate::commands::xml::escaped;

/// Writes the document.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let all = || report.workloads.iter().map(|workload| counts(workload, report));
    let tests: usize = all().map(|(tests, ..)| tests).sum();
    let failures: usize = all().map(|(_, failures, _)| failures).sum();
    let skipped: usize = all().map(|(.., skipped)| skipped).sum();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="prestop audit" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="0">"#
    )?;
    for workload in &report.workloads {
        suite(workload, report, out)?;
    }
    writeln!(out, "</testsuites>")
}

/// Returns the numbers of tests, failed tests and skipped tests.
fn counts(workload: &Audited, report: &Report) -> (usize, usize, usize) {
    let findings = workload.findings.iter();
    let failures = findings.clone().filter(|it| report.bar.is_reached(it)).count();
    let skipped = findings.filter(|it| it.state != State::Open).count();
    (workload.findings.len().max(1), failures, skipped)
}

fn suite(workload: &Audited, report: &Report, out: &mut impl Write) -> io::Result<()> {
    let (tests, failures, skipped) = counts(workload, report);
    let title = escaped(&workload.title());
    writeln!(
        out,
        r#"  <testsuite name="{title}" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="0">"#
    )?;
    if workload.findings.is_empty() {
        writeln!(
            out,
            r#"    <testcase classname="{title}" name="no findings"{} time="0"/>"#,
            place(workload, workload.place.as_ref().map(|place| place.line))
        )?;
    }
    for located in &workload.findings {
        case(&title, workload, located, report, out)?;
    }
    writeln!(out, "  </testsuite>")
}

/// Returns the attributes of the position; empty for objects of a cluster.
fn place(workload: &Audited, line: Option<usize>) -> String {
    let Some((place, line)) = workload.place.as_ref().zip(line) else { return String::new() };
    format!(r#" file="{}" line="{line}""#, escaped(&place.file))
}

fn case(
    title: &str,
    workload: &Audited,
    located: &Located,
    report: &Report,
    out: &mut impl Write,
) -> io::Result<()> {
    let Located { finding, at, state, .. } = located;
    let container = finding.container.as_ref();
    let container = container.map(|name| escaped(&format!(" ({name})"))).unwrap_or_default();
    let id = finding.rule.text().id;
    let message = escaped(&located.message());
    let text = escaped(&format!(
        "{}, {}; {}\n{}",
        finding.severity(),
        finding.certainty,
        located.advice(),
        finding.rule.text().source
    ));
    writeln!(
        out,
        r#"    <testcase classname="{title}" name="{id}{container}"{} time="0">"#,
        place(workload, at.map(|at| at.line))
    )?;
    match state {
        State::Ignored => {
            let reason = escaped(finding.ignored.as_deref().unwrap_or_default());
            writeln!(out, r#"      <skipped message="ignored: {reason}"/>"#)?;
        }
        State::Known => writeln!(out, r#"      <skipped message="in the baseline"/>"#)?,
        State::Open if report.bar.is_reached(located) => writeln!(
            out,
            r#"      <failure type="{id}" message="{message}">{}: {text}</failure>"#,
            escaped(&match (&workload.place, at) {
                (Some(place), Some(at)) => format!("{}:{}:{}", place.file, at.line, at.column),
                _ => format!("{}: {}", workload.title(), located.field()),
            })
        )?,
        State::Open => writeln!(out, "      <system-out>{message} {text}</system-out>")?,
    }
    writeln!(out, "    </testcase>")
}
