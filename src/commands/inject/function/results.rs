//! Results of a function, each with its object and field.

use prestop_core::engine::reason::{AsideReason, Explanation, Problem};
use prestop_core::engine::template::Workload;
use prestop_core::engine::{ContainerOutcome, Decision, Outcome};
use serde::Serialize;

use crate::cli::FunctionArguments;

/// Annotations of kustomize and kpt with the file of an object, and its index in the file. The
/// first is the newer spelling.
const PATH: [&str; 2] = ["internal.config.kubernetes.io/path", "config.kubernetes.io/path"];
const INDEX: [&str; 2] = ["internal.config.kubernetes.io/index", "config.kubernetes.io/index"];

/// All results of a run.
#[derive(Debug)]
pub(in super::super) struct Results {
    bar: Bar,
    all: Vec<FunctionResult>,
}

/// A result, with the fields of the functions' specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct FunctionResult {
    message: String,
    severity: Severity,
    resource_ref: ResourceRef,
    field: Field,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File>,
    tags: Tags,
}

/// Severity of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Severity {
    Error,
    Warning,
    Info,
}

/// Severities by kind of result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bar {
    /// Severity of a workload that has no hook yet.
    missing: Severity,
    /// Severity of a setting that can't be applied as requested.
    problem: Severity,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRef {
    api_version: String,
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Field {
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct File {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

/// The code, as in `prestop explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Tags {
    code: &'static str,
}

impl Results {
    /// Creates an empty list.
    pub(super) const fn new(arguments: &FunctionArguments) -> Self {
        let bar = Bar {
            missing: if arguments.check { Severity::Error } else { Severity::Info },
            problem: if arguments.strict { Severity::Error } else { Severity::Warning },
        };
        Self { bar, all: Vec::new() }
    }

    /// Returns all results.
    pub(super) fn into_all(self) -> Vec<FunctionResult> {
        self.all
    }

    /// Adds the decision on a workload.
    pub(in super::super) fn decided(
        &mut self,
        workload: &Workload<'_>,
        namespace: &str,
        decision: &Decision<'_>,
    ) {
        let about = |severity, code, message, path| {
            FunctionResult::new((workload, namespace), severity, code, message, path)
        };
        let template = dotted(workload.template);
        self.all.push(match &decision.outcome {
            Outcome::Skipped(reason) => {
                let Explanation { code, sentence, .. } = reason.explanation();
                about(Severity::Info, code, format!("skipped: {sentence}"), template.clone())
            }
            Outcome::Injected(_) => {
                let containers: Vec<_> =
                    decision.containers.iter().filter(|it| is_injected(&it.outcome)).collect();
                let names: Vec<_> = containers.iter().map(|it| it.name).collect();
                let message = match self.bar.missing {
                    Severity::Error => format!("no hook yet in container {}", names.join(", ")),
                    _ => format!("hook injected into container {}", names.join(", ")),
                };
                let index = containers.first().map_or(0, |it| it.index);
                let path = under(&template, &format!("spec.containers[{index}].lifecycle.preStop"));
                about(self.bar.missing, "hook", message, path)
            }
        });
        self.all.extend(decision.problems.iter().map(|problem| {
            let Explanation { code, sentence, advice } = problem.code.explanation();
            let detail = if problem.detail.is_empty() { sentence } else { &problem.detail };
            let message = format!("{}: {detail}; {advice}", problem.place);
            about(self.bar.problem, code, message, field(&template, decision, problem))
        }));
    }

    /// Adds a workload that is skipped without a decision.
    pub(in super::super) fn aside(
        &mut self,
        workload: &Workload<'_>,
        namespace: &str,
        reason: AsideReason,
    ) {
        let Explanation { code, sentence, .. } = reason.explanation();
        let message = format!("skipped: {sentence}");
        let path = dotted(workload.template);
        let workload = (workload, namespace);
        self.all.push(FunctionResult::new(workload, Severity::Info, code, message, path));
    }
}

impl FunctionResult {
    fn new(
        (workload, namespace): (&Workload<'_>, &str),
        severity: Severity,
        code: &'static str,
        message: String,
        path: String,
    ) -> Self {
        let annotation = |names: [&str; 2]| {
            let annotations = workload.object.pointer("/metadata/annotations")?;
            names.iter().find_map(|name| Some(annotations.get(name)?.as_str()?.to_owned()))
        };
        let index = annotation(INDEX).and_then(|index| index.parse().ok());
        Self {
            message,
            severity,
            resource_ref: ResourceRef {
                api_version: workload.api_version.to_owned(),
                kind: workload.kind.to_owned(),
                name: workload.name.to_owned(),
                namespace: namespace.to_owned(),
            },
            field: Field { path },
            file: annotation(PATH).map(|path| File { path, index }),
            tags: Tags { code },
        }
    }

    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

fn is_injected(outcome: &ContainerOutcome<'_>) -> bool {
    matches!(outcome, ContainerOutcome::Injected(_))
}

/// Returns the field that a problem is about, in the form of Kubernetes' errors.
fn field(template: &str, decision: &Decision<'_>, problem: &Problem) -> String {
    let place = problem.place.as_str();
    for (prefix, path) in [("pod annotation ", "annotations"), ("pod label ", "labels")] {
        if let Some(key) = place.strip_prefix(prefix) {
            return under(template, &format!("metadata.{path}[{key}]"));
        }
    }
    if place.starts_with("namespace ") {
        return "metadata.namespace".to_owned();
    }
    let container = place.strip_prefix("container ").and_then(|name| {
        let found = decision.containers.iter().find(|it| it.name == name);
        found.map(|it| it.index).or_else(|| name.parse().ok())
    });
    match container {
        Some(index) => under(template, &format!("spec.containers[{index}]")),
        None => template.to_owned(),
    }
}

/// Converts `/spec/template` to `spec.template`.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn under(template: &str, path: &str) -> String {
    if template.is_empty() { path.to_owned() } else { format!("{template}.{path}") }
}
