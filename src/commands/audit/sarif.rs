//! Findings as SARIF 2.1.0, for code scanning.
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::fmt::Write as _;
use std::io::{self, Write};

use prestop_core::audit::{Rule, RuleText, Severity};
use serde_json::{Value, json};

use super::fields::set;
use super::report::{Audited, Located, Report, State};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes one log with one run.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let results: Vec<_> = report
        .workloads
        .iter()
        .flat_map(|workload| workload.findings.iter().map(move |it| result(workload, it)))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "prestop",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": Rule::ALL.iter().map(|rule| described(*rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{"executionSuccessful": report.is_complete}],
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn described(rule: Rule) -> Value {
    let RuleText { id, severity, sentence, advice, source, .. } = rule.text();
    json!({
        "id": id,
        "shortDescription": {"text": sentence},
        "fullDescription": {"text": sentence},
        "help": {"text": advice},
        "helpUri": source,
        "defaultConfiguration": {"level": level(severity)},
    })
}

fn result(workload: &Audited, located: &Located) -> Value {
    let Located { finding, at, state, rehearsal } = located;
    let id = finding.rule.text().id;
    let message = format!("{}: {} {}", workload.title(), located.message(), located.advice());
    let container = finding.container.as_deref();
    let path = [&workload.namespace, &workload.kind, &workload.name].map(String::as_str);
    let path: Vec<_> = path.into_iter().chain(container).collect();
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": Rule::ALL.iter().position(|rule| *rule == finding.rule),
        "level": level(finding.severity()),
        "message": {"text": message},
        "locations": [{
            "logicalLocations": [{"fullyQualifiedName": path.join("/"), "kind": "resource"}],
        }],
        "partialFingerprints": {"prestopFinding/v1": format!("{id}/{}", path.join("/"))},
        "properties": {
            "certainty": finding.certainty.word(), "field": finding.pointer, "rehearsal": rehearsal,
        },
    });
    if let (Some(place), Some(at)) = (&workload.place, at)
        && let Some(location) = result.pointer_mut("/locations/0")
    {
        let physical = json!({
            "artifactLocation": {"uri": uri(&place.file)},
            "region": {"startLine": at.line, "startColumn": at.column},
        });
        set(location, "physicalLocation", physical);
    }
    if let Some(reason) = finding.ignored.as_ref().filter(|_| *state == State::Ignored) {
        let suppression = json!({"kind": "inSource", "justification": reason});
        set(&mut result, "suppressions", vec![suppression]);
    }
    if *state == State::Known {
        set(&mut result, "baselineState", "unchanged");
    }
    result
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// Returns the name of a file as a URI reference.
fn uri(file: &str) -> String {
    let (start, path) = match file.strip_prefix("./") {
        Some(path) => (String::new(), path),
        None if file.starts_with('/') => ("file://".to_owned(), file),
        None => match drive(file) {
            Some((drive, path)) => (format!("file:///{drive}"), path),
            None => (String::new(), file),
        },
    };
    let mut uri = start;
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// The drive of an absolute path of Windows, such as `C:`, and what follows.
fn drive(file: &str) -> Option<(&str, &str)> {
    let (drive, path) = file.split_at_checked(2)?;
    let is_drive = drive.ends_with(':') && drive.starts_with(|it: char| it.is_ascii_alphabetic());
    (is_drive && path.starts_with('/')).then_some((drive, path))
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn names_of_files_are_references() {
        for (file, expected) in [
            ("shop/web.yaml", "shop/web.yaml"),
            ("./shop/web.yaml", "shop/web.yaml"),
            ("/srv/a b.yaml", "file:///srv/a%20b.yaml"),
            ("C:/shop 1/web.yaml", "file:///C:/shop%201/web.yaml"),
            ("a:b#c?d%.yaml", "a%3Ab%23c%3Fd%25.yaml"),
            ("ü.yaml", "%C3%BC.yaml"),
            ("-", "-"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}
