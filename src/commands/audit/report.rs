//! Findings as text and as JSON.

use std::collections::BTreeSet;
use std::io::{self, Write};

use prestop_core::audit::{Finding, Mend, RuleText, Severity};
use prestop_core::engine::printable::printable;
use serde_json::{Value, json};

use super::{Audited, LONGEST_NAME};

/// The version of the JSON report. New fields may come; old ones keep their meaning.
const API_VERSION: &str = "prestop.dev/v1alpha1";
const KIND: &str = "AuditReport";

/// What all findings come to.
struct Summary {
    workloads: usize,
    dropping: usize,
    mended: usize,
    /// Whose label mends them.
    namespaces: BTreeSet<String>,
    counts: [(Severity, usize); 3],
}

/// A block of text per workload, and a summary.
pub(super) fn write_text(audited: &[Audited], out: &mut impl Write) -> io::Result<()> {
    for workload in audited.iter().filter(|workload| !workload.findings.is_empty()) {
        writeln!(out, "{} ({}:{})", workload.title(), workload.place.file, workload.place.line)?;
        for (finding, line) in &workload.findings {
            write_finding(finding, *line, out)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}", Summary::of(audited).sentence())
}

fn write_finding(finding: &Finding, line: usize, out: &mut impl Write) -> io::Result<()> {
    let RuleText { id, severity, sentence, advice, .. } = finding.rule.text();
    let certainty = finding.certainty;
    write!(out, "  {severity:8} {id} ({certainty}, line {line}")?;
    if let Some(container) = &finding.container {
        write!(out, ", container {}", printable(container, LONGEST_NAME))?;
    }
    write!(out, ")\n           {sentence}")?;
    if !finding.detail.is_empty() {
        write!(out, " Here: {}.", printable(&finding.detail, LONGEST_NAME))?;
    }
    match &finding.mend {
        Some(mend) => writeln!(out, "\n           -> {advice}\n           {mend}"),
        None => writeln!(out, "\n           -> {advice}"),
    }
}

/// One object.
pub(super) fn write_json(audited: &[Audited], out: &mut impl Write) -> io::Result<()> {
    let workloads: Vec<_> = audited.iter().map(described).collect();
    let Summary { workloads: count, dropping, mended, namespaces, counts } = Summary::of(audited);
    let [errors, warnings, infos] = counts.map(|(_, count)| count);
    let report = json!({
        "apiVersion": API_VERSION, "kind": KIND, "items": workloads,
        "summary": {
            "workloads": count, "dropRequests": dropping, "mendedByLabel": mended,
            "namespacesToLabel": namespaces,
            "errors": errors, "warnings": warnings, "infos": infos,
        },
    });
    writeln!(out, "{report:#}")
}

fn described(workload: &Audited) -> Value {
    let findings: Vec<_> = workload
        .findings
        .iter()
        .map(|(finding, line)| {
            let RuleText { id, severity, sentence, advice, source } = finding.rule.text();
            let annotation = match &finding.mend {
                Some(Mend::Annotated(_, annotation)) => Some(annotation),
                Some(Mend::Injected(_)) | None => None,
            };
            json!({
                "rule": id, "severity": severity.word(), "certainty": finding.certainty.word(),
                "container": finding.container, "field": finding.pointer, "line": line,
                "message": sentence, "detail": finding.detail, "advice": advice, "source": source,
                "mendedBy": finding.mend.as_ref().map(ToString::to_string), "annotation": annotation,
            })
        })
        .collect();
    json!({
        "kind": workload.kind, "namespace": workload.namespace, "name": workload.name,
        "file": workload.place.file, "line": workload.place.line, "findings": findings,
    })
}

impl Summary {
    fn of(audited: &[Audited]) -> Self {
        let findings = || audited.iter().flat_map(|workload| &workload.findings);
        let count = |severity| {
            (severity, findings().filter(|(finding, _)| finding.severity() == severity).count())
        };
        let mended: Vec<_> = audited.iter().filter(|it| it.is_mended_by_label()).collect();
        Self {
            workloads: audited.len(),
            dropping: audited.iter().filter(|it| it.drops_requests()).count(),
            mended: mended.len(),
            namespaces: mended.into_iter().map(|it| it.namespace.clone()).collect(),
            counts: [Severity::Error, Severity::Warning, Severity::Info].map(count),
        }
    }

    fn sentence(&self) -> String {
        let Self { workloads, dropping, mended, namespaces, counts } = self;
        let [errors, warnings, infos] = counts.map(|(_, count)| count);
        let sentence = match (workloads, dropping) {
            (0, _) => "no workload in the input".to_owned(),
            (1, 0) => "the workload does not drop requests in a rollout, as far as the rules tell"
                .to_owned(),
            (_, 0) => format!(
                "none of {workloads} workloads drops requests in a rollout, as far as the rules tell"
            ),
            _ => format!(
                "{dropping} of {workloads} workloads {} requests in a rollout",
                if *dropping == 1 { "drops" } else { "drop" }
            ),
        };
        let names: Vec<_> = namespaces.iter().map(|it| printable(it, LONGEST_NAME)).collect();
        let plural = if names.len() == 1 { "" } else { "s" };
        let names = names.join(", ");
        let mended = match mended {
            0 => String::new(),
            1 => format!("; 1 is mended by labelling namespace {names}"),
            _ => format!("; {mended} are mended by labelling namespace{plural} {names}"),
        };
        format!("{sentence}{mended} ({errors} errors, {warnings} warnings, {infos} infos)")
    }
}
