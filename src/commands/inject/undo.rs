//! Hooks that are taken out again, and hooks that are made anew.

use json_patch::{Patch as JsonPatch, PatchOperation};
use prestop_core::engine::reason::UndoReason;
use prestop_core::engine::template::Workload;
use prestop_core::engine::undo::undo;
use serde_json::Value;

use super::Run;
use super::file::{Work, patch, prefixed};
use super::report::WorkloadReport;
use crate::cli::OutputForm;

/// A workload without its earlier injection, where another one gives something else.
pub(super) struct Renewal {
    /// The workload's object.
    pub(super) object: Value,
    /// What takes the earlier injection out of its pod.
    pub(super) operations: Vec<Value>,
}

impl Run<'_> {
    /// A workload as it was before its injection, if another injection changes anything.
    pub(super) fn renewal(&self, workload: &Workload<'_>) -> anyhow::Result<Option<Renewal>> {
        let Ok(undone) = undo(&workload.pod, workload.pod_value()) else { return Ok(None) };
        let mut object = workload.object.clone();
        json_patch::patch(&mut object, &prefixed(&undone.operations, workload.template)?)?;
        let mut again = object.clone();
        let before = workload.with_object(&object);
        json_patch::patch(&mut again, &patch(&self.decide(&before), workload.template)?)?;
        let operations = undone.operations;
        Ok((again != *workload.object).then_some(Renewal { object, operations }))
    }

    /// Takes the hooks out of one workload; the paths of its patch begin with `pod`.
    pub(super) fn uninject(
        &self,
        workload: &Workload<'_>,
        pod: &str,
        work: &mut Work<'_>,
    ) -> anyhow::Result<Vec<PatchOperation>> {
        let Work { place, output, outcome } = work;
        let namespace = workload.namespace.unwrap_or(&self.arguments.namespace);
        let undone = undo(&workload.pod, workload.pod_value());
        let report = WorkloadReport::undone(place, workload, namespace, &undone);
        outcome.summary.add_undone(&undone);
        let title = report.title();
        let note = match &undone {
            Ok(_) if self.arguments.check => Some(format!("{title} has hooks of prestop")),
            Err(reason) if *reason != UndoReason::NotInjected && !self.is_report() => {
                let told = reason.explanation();
                Some(format!("{title}: {}: {}", told.code, told.sentence))
            }
            Ok(_) | Err(_) => None,
        };
        outcome.notes.extend(note.map(|note| format!("{}: {note}", place.file)));
        let operations = undone.as_ref().map_or(&[][..], |undone| &undone.operations);
        let own = prefixed(operations, workload.template)?;
        let is_printed = self.arguments.output == Some(OutputForm::JsonPatch) && !own.is_empty();
        output.workload(&report, is_printed.then_some(JsonPatch(own)).as_ref())?;
        prefixed(operations, pod)
    }
}
