//! Findings as JSON. `docs/audit.schema.json` is generated from these types, and a baseline is read
//! with them.

use std::borrow::Cow;
use std::io::{self, Write};

use prestop_core::audit::{Certainty, Mend, RuleText, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::{Audited, Identity, Located, Report, State, Summary};

/// The findings of `prestop audit`. New fields can be added in this version; others keep their meaning.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "prestop audit report")]
pub(super) struct AuditReport<'r> {
    api_version: ApiVersion,
    kind: Kind,
    /// The cluster that the workloads are in: its address and context. `null` for manifests.
    #[serde(default)]
    cluster: Option<Cow<'r, str>>,
    /// The workloads, the worst first, those without findings included.
    items: Vec<Item<'r>>,
    /// Findings of the baseline that no longer exist.
    #[serde(default)]
    gone: Vec<Gone<'r>>,
    summary: Counts<'r>,
}

/// Versions of the format.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
enum ApiVersion {
    /// The first version.
    #[serde(rename = "prestop.dev/v1alpha1")]
    V1Alpha1,
}

/// Kinds of reports.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
enum Kind {
    /// A report of `prestop audit`.
    AuditReport,
}

/// A workload.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Item<'r> {
    kind: Cow<'r, str>,
    namespace: Cow<'r, str>,
    name: Cow<'r, str>,
    /// Path as given on the command line; `-` is standard input. `null` for objects of a cluster.
    file: Option<Cow<'r, str>>,
    /// The line on which the object begins. `null` for objects of a cluster.
    line: Option<usize>,
    findings: Vec<Entry<'r>>,
}

/// A finding.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Entry<'r> {
    /// The id of the rule, as `prestop audit --rules` lists it.
    rule: Cow<'r, str>,
    severity: SeverityWord,
    certainty: CertaintyWord,
    /// Whether the finding counts.
    #[serde(default)]
    state: StateWord,
    /// Reason why the finding is ignored.
    ignored_because: Option<Cow<'r, str>>,
    container: Option<Cow<'r, str>>,
    /// JSON pointer to the field of the workload. The field may be absent.
    field: Cow<'r, str>,
    /// Line of the field, from 1; if the field is absent, of the enclosing field. `null` for objects of
    /// a cluster.
    line: Option<usize>,
    /// Column of the field on that line, from 1.
    #[serde(default)]
    column: Option<usize>,
    /// Why requests are dropped.
    message: Cow<'r, str>,
    /// Details; may be empty.
    detail: Cow<'r, str>,
    /// The advice.
    advice: Cow<'r, str>,
    /// A link to the source.
    source: Cow<'r, str>,
    /// The fix that prestop offers.
    mended_by: Option<String>,
    /// Annotations of the pod template that the fix needs.
    #[serde(default)]
    annotations: Vec<AnnotationEntry>,
    /// The command that demonstrates the finding.
    #[serde(default)]
    rehearsal: Option<Cow<'r, str>>,
}

/// An annotation of a pod template.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct AnnotationEntry {
    key: String,
    value: String,
}

/// A finding that no longer exists.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Gone<'r> {
    rule: Cow<'r, str>,
    kind: Cow<'r, str>,
    namespace: Cow<'r, str>,
    name: Cow<'r, str>,
    container: Option<Cow<'r, str>>,
}

/// Totals of the findings that count.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Counts<'r> {
    workloads: usize,
    /// Workloads that drop requests in an ordinary rollout.
    drop_requests: usize,
    /// How many of these workloads a namespace label fixes.
    mended_by_label: usize,
    namespaces_to_label: Vec<Cow<'r, str>>,
    errors: usize,
    warnings: usize,
    infos: usize,
    #[serde(default)]
    ignored: usize,
    #[serde(default)]
    in_baseline: usize,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum SeverityWord {
    /// A cost, or a doubt.
    Info,
    /// Requests are dropped in drains, scale-downs or behind certain fronts.
    Warning,
    /// Requests are dropped in ordinary rollouts.
    Error,
}

/// Certainty of a finding.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum CertaintyWord {
    /// The finding depends on information that the input does not contain.
    Possible,
    /// The finding is based on the catalogue, or on figures that differ between installations.
    Likely,
    /// The finding follows from the manifests.
    Certain,
}

/// Whether a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum StateWord {
    /// The finding counts.
    #[default]
    Open,
    /// The finding is accepted, with a reason.
    Ignored,
    /// The finding is in the baseline.
    InBaseline,
}

/// Writes the report as one object.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &AuditReport::of(report))?;
    writeln!(out)
}

/// Returns the JSON Schema of the report.
pub(super) fn schema() -> Value {
    let mut schema = schemars::schema_for!(AuditReport<'_>);
    schema.remove("$id");
    schema.to_value()
}

/// Returns the findings of an earlier report, except those that were ignored then.
///
/// # Errors
/// When the text is not such a report.
pub(super) fn identities(text: &str) -> serde_json::Result<Vec<Identity>> {
    let report: AuditReport<'_> = serde_json::from_str(text)?;
    let mut found = Vec::new();
    for Item { kind, namespace, name, findings, .. } in report.items {
        let counted = findings.into_iter().filter(|it| it.state != StateWord::Ignored);
        found.extend(counted.map(|entry| Identity {
            namespace: namespace.clone().into_owned(),
            kind: kind.clone().into_owned(),
            name: name.clone().into_owned(),
            rule: entry.rule.into_owned(),
            container: entry.container.map(Cow::into_owned),
        }));
    }
    Ok(found)
}

impl<'r> AuditReport<'r> {
    fn of(report: &'r Report) -> Self {
        let gone = report.gone.iter().map(|it| Gone {
            rule: it.rule.as_str().into(),
            kind: it.kind.as_str().into(),
            namespace: it.namespace.as_str().into(),
            name: it.name.as_str().into(),
            container: it.container.as_deref().map(Into::into),
        });
        Self {
            api_version: ApiVersion::V1Alpha1,
            kind: Kind::AuditReport,
            cluster: report.cluster.as_deref().map(Into::into),
            items: report.workloads.iter().map(Item::of).collect(),
            gone: gone.collect(),
            summary: Counts::of(report.summary()),
        }
    }
}

impl<'r> Item<'r> {
    fn of(workload: &'r Audited) -> Self {
        Self {
            kind: workload.kind.as_str().into(),
            namespace: workload.namespace.as_str().into(),
            name: workload.name.as_str().into(),
            file: workload.place.as_ref().map(|place| place.file.as_str().into()),
            line: workload.place.as_ref().map(|place| place.line),
            findings: workload.findings.iter().map(Entry::of).collect(),
        }
    }
}

impl<'r> Entry<'r> {
    fn of(located: &'r Located) -> Self {
        let Located { finding, at, state, rehearsal } = located;
        let RuleText { id, severity, sentence, advice, source, .. } = finding.rule.text();
        let annotations = match &finding.mend {
            Some(Mend::Annotated { annotations, .. }) => annotations.as_slice(),
            Some(Mend::Injected(_) | Mend::Restarted) | None => &[],
        };
        let annotations = annotations
            .iter()
            .map(|it| AnnotationEntry { key: it.key.to_owned(), value: it.value.clone() });
        Self {
            rule: id.into(),
            severity: match severity {
                Severity::Info => SeverityWord::Info,
                Severity::Warning => SeverityWord::Warning,
                Severity::Error => SeverityWord::Error,
            },
            certainty: match finding.certainty {
                Certainty::Possible => CertaintyWord::Possible,
                Certainty::Likely => CertaintyWord::Likely,
                Certainty::Certain => CertaintyWord::Certain,
            },
            state: match state {
                State::Open => StateWord::Open,
                State::Ignored => StateWord::Ignored,
                State::Known => StateWord::InBaseline,
            },
            ignored_because: finding.ignored.as_deref().map(Into::into),
            container: finding.container.as_deref().map(Into::into),
            field: finding.pointer.as_str().into(),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            message: sentence.into(),
            detail: finding.detail.as_str().into(),
            advice: advice.into(),
            source: source.into(),
            mended_by: finding.mend.as_ref().map(ToString::to_string),
            annotations: annotations.collect(),
            rehearsal: rehearsal.as_deref().map(Into::into),
        }
    }
}

impl Counts<'_> {
    fn of(summary: Summary) -> Self {
        Self {
            workloads: summary.workloads,
            drop_requests: summary.dropping,
            mended_by_label: summary.mended,
            namespaces_to_label: summary.namespaces.into_iter().map(Cow::from).collect(),
            errors: summary.errors,
            warnings: summary.warnings,
            infos: summary.infos,
            ignored: summary.ignored,
            in_baseline: summary.known,
        }
    }
}
