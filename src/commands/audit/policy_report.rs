//! Findings as reports of the policy working group, for dashboards that show such reports:
//! `PolicyReport`, and its successor `Report`. One per namespace, to be applied with kubectl.
//! <https://github.com/kubernetes-sigs/wg-policy-prototypes>, <https://github.com/openreports/reports-api>

use std::collections::BTreeMap;
use std::io::{self, Write};

use prestop_core::audit::Severity;
use prestop_manifest::to_yaml;
use serde_json::{Value, json};

use super::fields::set;
use super::report::{Audited, Located, Report, State};

const NAME: &str = "prestop-audit";

/// The kind of report.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// `wgpolicyk8s.io/v1alpha2`.
    PolicyReport,
    /// `openreports.io/v1alpha1`.
    OpenReport,
}

/// Writes a document per namespace.
pub(super) fn write(report: &Report, form: Form, out: &mut impl Write) -> io::Result<()> {
    let mut namespaces: BTreeMap<&str, Vec<&Audited>> = BTreeMap::new();
    for workload in &report.workloads {
        namespaces.entry(&workload.namespace).or_default().push(workload);
    }
    for (namespace, workloads) in namespaces {
        let results: Vec<_> = workloads.into_iter().flat_map(results).collect();
        let count = |word: &str| {
            results.iter().filter(|it| it.get("result").is_some_and(|it| it == word)).count()
        };
        let summary = json!({
            "pass": count("pass"), "fail": count("fail"), "warn": count("warn"), "error": 0,
            "skip": count("skip"),
        });
        let (api_version, kind) = match form {
            Form::PolicyReport => ("wgpolicyk8s.io/v1alpha2", "PolicyReport"),
            Form::OpenReport => ("openreports.io/v1alpha1", "Report"),
        };
        let labels = json!({"app.kubernetes.io/managed-by": "prestop"});
        let mut document = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": NAME, "namespace": namespace, "labels": labels},
            "summary": summary, "results": results,
        });
        if let Form::OpenReport = form {
            set(&mut document, "source", "prestop");
        }
        write!(out, "---\n{}", to_yaml(&document))?;
    }
    Ok(())
}

/// Returns one result per finding; for a workload without findings, one result that it passes.
fn results(workload: &Audited) -> Vec<Value> {
    let of_findings = workload.findings.iter().map(|located| result(workload, located));
    let mut results: Vec<_> = of_findings.collect();
    if results.is_empty() {
        results.push(json!({
            "source": "prestop", "policy": NAME, "result": "pass", "scored": true,
            "category": "Availability", "message": "no findings", "resources": [resource(workload)],
        }));
    }
    results
}

fn result(workload: &Audited, located: &Located) -> Value {
    let Located { finding, at, state, .. } = located;
    let (of_severity, severity) = match finding.severity() {
        Severity::Error => ("fail", "high"),
        Severity::Warning => ("warn", "medium"),
        Severity::Info => ("warn", "info"),
    };
    let mut properties = json!({
        "certainty": finding.certainty.word(),
        "field": finding.pointer,
        "advice": located.advice(),
        "link": finding.rule.text().source,
    });
    if let (Some(place), Some(at)) = (&workload.place, at) {
        set(&mut properties, "file", place.file.as_str());
        set(&mut properties, "line", at.line.to_string());
        set(&mut properties, "column", at.column.to_string());
    }
    if let Some(container) = &finding.container {
        set(&mut properties, "container", container.as_str());
    }
    match (state, &finding.ignored) {
        (State::Ignored, Some(reason)) => {
            set(&mut properties, "ignoredBecause", reason.as_str());
        }
        (State::Known, _) => set(&mut properties, "ignoredBecause", "in the baseline"),
        (State::Open | State::Ignored, _) => {}
    }
    json!({
        "source": "prestop", "policy": NAME, "rule": finding.rule.text().id,
        "result": if *state == State::Open { of_severity } else { "skip" },
        "severity": severity, "scored": true, "category": "Availability",
        "message": located.message(), "resources": [resource(workload)], "properties": properties,
    })
}

fn resource(workload: &Audited) -> Value {
    json!({
        "apiVersion": workload.api_version, "kind": workload.kind, "namespace": workload.namespace,
        "name": workload.name,
    })
}
