//! Removing hooks and renewing hooks.

use std::collections::HashMap;

use json_patch::Patch as JsonPatch;
use prestop_core::engine::reason::UndoReason;
use prestop_core::engine::template::Workload;
use prestop_core::engine::undo::{KeptLayout, STATUS_PATH, Undo, undo};
use prestop_manifest::{Document, apply_patch};
use serde_json::Value;

use super::Run;
use super::file::{Work, patch, prefixed};
use super::report::WorkloadReport;
use crate::cli::OutputForm;

/// A workload without its earlier injection, if a new injection gives a different result.
pub(super) struct Renewal<'w> {
    /// The workload's object.
    pub(super) object: Value,
    /// The operations that remove the earlier injection from its pod.
    pub(super) undone: Undo<'w>,
}

impl Run<'_> {
    /// Returns a workload as it was before its injection, if a new injection would change anything.
    pub(super) fn renewal<'w>(
        &self,
        workload: &'w Workload<'w>,
    ) -> anyhow::Result<Option<Renewal<'w>>> {
        let Ok(undone) = undo(&workload.pod, workload.pod_value()) else { return Ok(None) };
        let mut object = workload.object.clone();
        apply_patch(&mut object, &prefixed(&undone.operations, workload.template)?)?;
        let mut again = object.clone();
        let before = workload.with_object(&object);
        let mut decision = self.decide(&before);
        // The texts of the manifest were recorded by the earlier injection.
        let texts: Vec<(String, &str)> = undone
            .texts
            .iter()
            .filter_map(|(path, text)| Some((path.clone(), text.as_deref()?)))
            .collect();
        decision.keep_texts(&before.pod, &texts, KeptLayout::of(undone.has_lost_layout));
        apply_patch(&mut again, &patch(&decision, workload.template)?)?;
        let is_same = again == *workload.object;
        Ok((!is_same).then_some(Renewal { object, undone }))
    }

    /// Removes the hooks from one workload of a document.
    pub(super) fn uninject(
        &self,
        workload: &Workload<'_>,
        document: &Document,
        work: &mut Work<'_>,
    ) -> anyhow::Result<()> {
        let Work { place, output, outcome } = work;
        let namespace = workload.namespace.unwrap_or(&self.arguments.namespace);
        let undone = undo(&workload.pod, workload.pod_value());
        let report = WorkloadReport::undone(place, workload, namespace, &undone);
        outcome.summary.add_undone(&undone);
        let title = report.title();
        if undone.is_ok() && self.arguments.check {
            outcome.notes.push(format!("{}: {title} has hooks of prestop", place.file));
        }
        if !self.is_report() {
            let pod = format!("{}{}", workload.pointer, workload.template);
            outcome.notes.extend(
                what_stays(&undone, document, &pod)
                    .map(|(line, told)| format!("{}: line {line}: {title}: {told}", place.file)),
            );
        }
        let operations = undone.as_ref().map_or(&[][..], |undone| &undone.operations);
        let own = prefixed(operations, workload.template)?;
        let is_printed = self.arguments.output == Some(OutputForm::JsonPatch) && !own.is_empty();
        output.workload(&report, is_printed.then_some(JsonPatch(own)).as_ref())
    }
}

/// Returns the values that are not restored as their author wrote them, each with the line of its
/// field.
fn what_stays(
    undone: &Result<Undo<'_>, UndoReason>,
    document: &Document,
    pod: &str,
) -> impl Iterator<Item = (usize, String)> {
    let found = match undone {
        Err(UndoReason::NotInjected) => Vec::new(),
        Err(reason) => {
            let told = reason.explanation();
            vec![(STATUS_PATH.to_owned(), format!("{}: {}", told.code, told.sentence))]
        }
        Ok(undone) => {
            let is_lost = |(path, text): &(String, Option<String>)| {
                let field = path.trim_start_matches('/').replace('/', ".");
                text.is_none().then(|| {
                    (
                        path.clone(),
                        format!(
                            "{field} is rewritten: its original text was too long to be recorded"
                        ),
                    )
                })
            };
            let lost = undone.has_lost_layout.then(|| {
                let told = "the layout of the document was not recorded when it was injected; look for comments and anchors in its history";
                (STATUS_PATH.to_owned(), told.to_owned())
            });
            undone.texts.iter().filter_map(is_lost).chain(lost).collect()
        }
    };
    let places = if found.is_empty() { HashMap::new() } else { document.places() };
    let pod = pod.to_owned();
    let first = document.first_line;
    found.into_iter().map(move |(path, told)| {
        (places.get(&format!("{pod}{path}")).map_or(first, |place| place.line), told)
    })
}
