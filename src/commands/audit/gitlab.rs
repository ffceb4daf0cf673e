//! Findings as a code quality report, which GitLab shows in merge requests.
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use std::io::{self, Write};

use prestop_core::audit::Severity;
use serde_json::{Value, json};

use super::report::{Audited, Located, Report};

/// Writes a list of the findings that count. GitLab compares it with the list of the target branch
/// by the fingerprints, which therefore contain no line numbers.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let findings: Vec<_> = report
        .with_open()
        .flat_map(|(workload, open)| open.into_iter().map(move |it| finding(workload, it)))
        .collect();
    serde_json::to_writer_pretty(&mut *out, &findings)?;
    writeln!(out)
}

fn finding(workload: &Audited, located: &Located) -> Value {
    let Located { finding, at, .. } = located;
    let id = finding.rule.text().id;
    let Audited { kind, namespace, name, .. } = workload;
    let file = match &workload.place {
        // GitLab looks for the file in the repository.
        Some(place) => place.file.strip_prefix("./").unwrap_or(&place.file).to_owned(),
        // An object of a cluster has no file, and GitLab requires one for each finding.
        None => format!("{namespace}/{kind}/{name}"),
    };
    let line = at.map_or(1, |at| at.line);
    let container = finding.container.as_deref().unwrap_or_default();
    let fingerprint = [id, &file, namespace, kind, name, container, &finding.pointer].join(":");
    json!({
        "description": format!("{}: {} {}", workload.title(), located.message(), located.advice()),
        "check_name": id,
        "fingerprint": fingerprint,
        "severity": severity(finding.severity()),
        "location": {"path": file, "lines": {"begin": line}},
    })
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "critical",
        Severity::Warning => "major",
        Severity::Info => "info",
    }
}
