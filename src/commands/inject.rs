//! `prestop inject`: manifests in; manifests, diffs, patches or reports out.
//!
//! Documents are streamed: memory does not grow with their number. What a file gives is held back
//! (on disk, if it is much) until all of the file was understood, so that a broken file gives
//! nothing at all and never half of something.

mod input;
mod output;

use std::collections::HashMap;
use std::io::{self, Write};

use anyhow::Context;
use json_patch::Patch as JsonPatch;
use serde_json::Value;

use crate::cli::{InjectArguments, OutputForm};
use crate::engine::patch::Patch;
use crate::engine::settings::NamespaceSettings;
use crate::engine::template::{Workload, namespaces, workloads};
use crate::engine::{Decision, decide_owned};
use crate::manifest::{Document, Layout, ManifestError};
use crate::policy::{NamespaceRule, Policy};
use crate::report::{Place, Summary, WorkloadReport};

use self::input::Source;
use self::output::{FileOutput, Output};
use super::{Exit, tell};

/// What is the same for all files.
struct Run<'a> {
    arguments: &'a InjectArguments,
    policy: Policy,
    /// The namespaces that the input defines.
    namespaces: HashMap<String, NamespaceSettings>,
    /// For objects of all other namespaces.
    unknown_namespace: NamespaceSettings,
}

/// What became of one file.
#[derive(Default)]
struct Outcome {
    summary: Summary,
    errors: Vec<ManifestError>,
    /// For standard error, when the file was understood.
    notes: Vec<String>,
}

/// Injects hooks into everything that the arguments name.
pub(super) fn run(arguments: &InjectArguments) -> anyhow::Result<Exit> {
    let policy = Policy {
        kubernetes_version: Some(arguments.kubernetes_version),
        namespaces: if arguments.only_enabled {
            NamespaceRule::Enabled
        } else {
            NamespaceRule::NotDisabled
        },
        ..super::policy(arguments.config.as_deref())?
    };
    let (sources, missing) = input::sources(&arguments.inputs(), arguments.in_place)?;
    for error in &missing {
        tell(&format!("error: {error:#}"));
    }
    let mut run = Run {
        arguments,
        policy,
        namespaces: HashMap::new(),
        unknown_namespace: NamespaceSettings::default(),
    };
    for source in &sources {
        run.find_namespaces(source)?;
    }
    let mut output = Output::new(arguments);
    let mut summary = Summary::default();
    let mut exit = if missing.is_empty() { Exit::Done } else { Exit::BadInput };
    for source in &sources {
        let mut file = output.file(source)?;
        let outcome = run.file(source, &mut file).with_context(|| source.name.clone())?;
        if outcome.errors.is_empty() {
            for note in &outcome.notes {
                run.note(note);
            }
            output.take(file, source).with_context(|| source.name.clone())?;
            summary.merge(&outcome.summary);
        } else {
            for error in &outcome.errors {
                tell(&format!("error: {}: {error}", source.name));
            }
            tell(&format!("error: {}: nothing was written for this file", source.name));
            exit = Exit::BadInput;
        }
    }
    output.finish(&summary)?;
    run.note(&format!("prestop: {summary}"));
    if exit == Exit::Done && arguments.check && summary.changed > 0 {
        exit = Exit::Found;
    }
    Ok(exit)
}

impl Run<'_> {
    /// Namespaces may come after their workloads, or in another file. What can't be read here is
    /// told when its turn comes.
    fn find_namespaces(&mut self, source: &Source) -> anyhow::Result<()> {
        for document in source.documents()?.map_while(Result::ok) {
            if document.text.contains("Namespace")
                && let Ok(Some(value)) = document.value()
            {
                self.namespaces.extend(namespaces(&value));
            }
        }
        Ok(())
    }

    fn file(&self, source: &Source, output: &mut FileOutput) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        for document in source.documents()? {
            match document {
                Ok(document) => self.document(&document, source, output, &mut outcome)?,
                Err(error) => outcome.errors.push(error),
            }
        }
        Ok(outcome)
    }

    fn document(
        &self,
        document: &Document,
        source: &Source,
        output: &mut FileOutput,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let value = match document.value() {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(output.unchanged(document)?),
            Err(error) => {
                outcome.errors.push(error);
                return Ok(());
            }
        };
        let place = Place {
            file: source.name.clone(),
            document: document.number,
            line: document.first_line,
        };
        let mut operations = Vec::new();
        for workload in workloads(&value, &self.arguments.kinds) {
            let patch = self.workload(&workload, &place, output, outcome)?;
            operations.extend(patch.into_iter().flat_map(|patch| patch.0));
        }
        if operations.is_empty() {
            return Ok(output.unchanged(document)?);
        }
        match document.edited(&value, &JsonPatch(operations)) {
            Ok(edited) => {
                if let Layout::Rewritten { reason } = &edited.layout {
                    let Place { file, document, .. } = &place;
                    outcome.notes.push(format!(
                        "note: {file}: document {document} was written anew, comments are lost: {reason}"
                    ));
                }
                output.changed(document, &edited.text)?;
            }
            Err(error) => outcome.errors.push(error),
        }
        Ok(())
    }

    /// Decides on one workload; its patch has paths from the root of the document.
    fn workload(
        &self,
        workload: &Workload<'_>,
        place: &Place,
        output: &mut FileOutput,
        outcome: &mut Outcome,
    ) -> anyhow::Result<Option<JsonPatch>> {
        let namespace = workload.namespace.unwrap_or(&self.arguments.namespace);
        let settings = self.namespaces.get(namespace).unwrap_or(&self.unknown_namespace);
        let owner = workload.owner_kind.as_deref();
        let decision = decide_owned(&workload.pod, owner, settings, &self.policy);
        outcome.summary.add(&decision);
        let report = WorkloadReport::new(place, workload, namespace, &decision, &self.policy);
        if self.arguments.check && decision.is_injected() {
            outcome.notes.push(format!("{}: {} has no hook yet", place.file, report.title()));
        }
        if !self.is_report() {
            let problems = decision.problems.iter();
            outcome.notes.extend(
                problems.map(|problem| format!("{}: {}: {problem}", place.file, report.title())),
            );
        }
        output.workload(&report, self.own_patch(workload, &decision)?.as_ref())?;
        patch(&decision, &format!("{}{}", workload.pointer, workload.template))
    }

    /// The patch with paths from the root of the workload, as `kubectl patch` takes it.
    fn own_patch(
        &self,
        workload: &Workload<'_>,
        decision: &Decision<'_>,
    ) -> anyhow::Result<Option<JsonPatch>> {
        if self.arguments.output == Some(OutputForm::JsonPatch) {
            patch(decision, workload.template)
        } else {
            Ok(None)
        }
    }

    fn is_report(&self) -> bool {
        matches!(self.arguments.output, Some(OutputForm::Report | OutputForm::Json))
    }

    fn note(&self, text: &str) {
        if !self.arguments.quiet {
            tell(text);
        }
    }
}

fn patch(decision: &Decision<'_>, prefix: &str) -> anyhow::Result<Option<JsonPatch>> {
    let Some(patch) = Patch::of(decision, prefix) else { return Ok(None) };
    let operations: Value = serde_json::to_value(&patch)?;
    Ok(Some(serde_json::from_value(operations)?))
}

/// Standard output, locked, with a buffer.
fn stdout() -> impl Write {
    io::BufWriter::new(io::stdout().lock())
}
