//! Findings for people: a block per workload, and a summary.

use std::io::{self, Write};

use prestop_core::audit::RuleText;
use prestop_core::engine::printable::printable;

use super::report::{LONGEST_NAME, Located, Report};

/// Writes the findings that count.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for (workload, open) in report.with_open() {
        match workload.file_and_line() {
            Some(place) => writeln!(out, "{} ({place})", workload.title())?,
            None => writeln!(out, "{}", workload.title())?,
        }
        for located in open {
            write_finding(located, out)?;
        }
        writeln!(out)?;
    }
    for gone in &report.gone {
        writeln!(out, "gone since the baseline: {}", gone.title())?;
    }
    writeln!(out, "{}", report.summary().sentence())
}

fn write_finding(located: &Located, out: &mut impl Write) -> io::Result<()> {
    let Located { finding, at, rehearsal, .. } = located;
    let RuleText { id, severity, advice, .. } = finding.rule.text();
    let certainty = finding.certainty;
    write!(out, "  {severity:8} {id} ({certainty}, ")?;
    match at {
        Some(at) => write!(out, "line {}:{}", at.line, at.column)?,
        None => write!(out, "{}", located.field())?,
    }
    if let Some(container) = &finding.container {
        write!(out, ", container {}", printable(container, LONGEST_NAME))?;
    }
    writeln!(out, ")\n           {}\n           -> {advice}", located.message())?;
    if let Some(mend) = &finding.mend {
        writeln!(out, "           {mend}")?;
    }
    if let Some(rehearsal) = rehearsal {
        writeln!(out, "           $ {rehearsal}")?;
    }
    Ok(())
}
