//! Processes one file: its documents and their objects.

use std::ops::Range;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, ReplaceOperation};
use prestop_core::engine::patch::{Operation, OperationKind, Segment, operations};
use prestop_core::engine::printable::printable;
use prestop_core::engine::template::{Object, Workload, objects};
use prestop_core::engine::undo::undo;
use prestop_core::engine::{Decision, offline};
use prestop_manifest::{Document, DuplicateKey, Edited, Layout, ListOfItems, Reading};
use serde_json::Value;

use super::super::input::Input;
use super::super::input::list_of_objects;
use super::super::name_of;
use super::edit::{Place, Steps};
use super::output::FileOutput;
use super::report::{DocumentPlace, WorkloadReport};
use super::undo::Renewal;
use super::{Mode, Outcome, Run};
use crate::cli::OutputForm;

/// Maximum length of a name. Names come from users; Kubernetes' own are shorter.
const LONGEST_NAME: usize = 300;

/// A document that is being processed.
pub(super) struct Work<'w> {
    pub(super) place: DocumentPlace,
    pub(super) output: &'w mut FileOutput,
    pub(super) outcome: &'w mut Outcome,
}

/// A part of a document with its new text.
type Edit = (Range<usize>, String);

impl Run<'_> {
    pub(super) fn file(&self, input: &Input, output: &mut FileOutput) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        if let Some(kustomization) = &input.patch_of {
            let (name, kustomization) = (&input.name, name_of(kustomization));
            outcome.notes.push(format!("note: {name}: skipped: a patch of {kustomization}"));
        }
        for document in input.documents()? {
            match document {
                Ok(document) if input.patch_of.is_some() => {
                    outcome.documents += 1;
                    output.unchanged(&document)?;
                }
                Ok(document) => {
                    let place = DocumentPlace {
                        file: input.name.clone(),
                        document: document.number,
                        line: document.first_line,
                    };
                    let work = Work { place, output, outcome: &mut outcome };
                    self.document(&document, work)?;
                }
                Err(error) => outcome.errors.push(error),
            }
        }
        Ok(outcome)
    }

    fn document(&self, document: &Document, mut work: Work<'_>) -> anyhow::Result<()> {
        if let Some((list, frame)) = list_of_objects(document) {
            work.outcome.documents += 1;
            return self.list(document, &list, &frame, &mut work);
        }
        let reading = match document.read() {
            Ok(Some(reading)) => reading,
            Ok(None) => return Ok(work.output.unchanged(document)?),
            Err(error) => {
                work.outcome.errors.push(error);
                return Ok(());
            }
        };
        work.outcome.documents += 1;
        let objects = objects(&reading.value);
        let steps = self.objects(document, &objects, &reading.duplicates, &mut work)?;
        if steps.is_empty() {
            return Ok(work.output.unchanged(document)?);
        }
        self.whole(document, &reading.value, steps, &mut work)
    }

    /// Processes a list, item by item.
    fn list(
        &self,
        document: &Document,
        list: &ListOfItems<'_>,
        frame: &Reading,
        work: &mut Work<'_>,
    ) -> anyhow::Result<()> {
        for duplicate in &frame.duplicates {
            work.note_duplicate(duplicate);
        }
        let mut edits: Vec<Edit> = Vec::new();
        let mut is_kept = true;
        for item in list.items() {
            let errors = work.outcome.errors.len();
            match item.document.read() {
                Ok(Some(reading)) => {
                    let (list, pointer) = (&frame.value, item.pointer);
                    let place = Place::Item { list, pointer };
                    let objects = place.objects(&reading.value);
                    let steps =
                        self.objects(&item.document, &objects, &reading.duplicates, work)?;
                    if !steps.is_empty() {
                        match self.edited(&item.document, &reading.value, place, steps)? {
                            Ok(edited) => {
                                is_kept &= edited.layout == Layout::Kept;
                                work.note_texts(&edited);
                                edits.push((item.range.clone(), edited.text));
                            }
                            Err(error) => work.outcome.errors.push(error),
                        }
                    }
                }
                Ok(None) => {}
                Err(error) => work.outcome.errors.push(error),
            }
            if let Some(new) = work.outcome.errors.get_mut(errors..) {
                for error in new {
                    *error = item.located(error.clone());
                }
            }
        }
        if is_kept {
            return Ok(work.parts(document, edits)?);
        }
        // An item can't be rewritten without the list around it.
        let Ok(Some(Reading { value, .. })) = document.read() else {
            return Ok(work.parts(document, Vec::new())?);
        };
        let mut steps = Steps::default();
        for workload in self.workloads(&objects(&value)) {
            self.steps(&workload, &mut steps)?;
        }
        self.whole(document, &value, steps, work)
    }

    /// Decides on the objects of a document or an item, and returns the resulting steps.
    fn objects(
        &self,
        document: &Document,
        objects: &[Object<'_>],
        duplicates: &[DuplicateKey],
        work: &mut Work<'_>,
    ) -> anyhow::Result<Steps> {
        let mut steps = Steps::default();
        let mut pods = Vec::new();
        for object in objects {
            if let Some(workload) = object.workload(&self.arguments.kinds) {
                let pod = format!("{}{}", workload.pointer, workload.template);
                self.workload(&workload, document, work, &mut steps)?;
                if workload.aside.is_none() {
                    pods.push(pod);
                }
            } else if let Some(unknown) = object.unknown_kind(&self.arguments.kinds) {
                let namespace = unknown.namespace.unwrap_or(&self.arguments.namespace);
                let title = format!("{} {namespace}/{}", unknown.kind, unknown.name);
                work.outcome.notes.push(format!(
                    "note: {}: {} has a pod template, but its kind is unknown; use --kind {} to inject it",
                    work.place.file,
                    printable(&title, LONGEST_NAME),
                    printable(&unknown.kind.to_string(), LONGEST_NAME),
                ));
            }
        }
        for duplicate in duplicates {
            if pods.iter().any(|pod| concerns(&duplicate.pointer, pod)) {
                work.outcome.errors.push(document.duplicate_error(duplicate));
            } else {
                work.note_duplicate(duplicate);
            }
        }
        Ok(steps)
    }

    /// Adds the steps for a workload, without a report.
    fn steps(&self, workload: &Workload<'_>, steps: &mut Steps) -> anyhow::Result<()> {
        let prefix = format!("{}{}", workload.pointer, workload.template);
        let renewal = match self.mode {
            Mode::Inject => None,
            Mode::Renew => self.renewal(workload)?,
            Mode::Uninject => {
                return match undo(&workload.pod, workload.pod_value()) {
                    Ok(undone) => steps.take_out(&undone, &prefix),
                    Err(_) => Ok(()),
                };
            }
        };
        if let Some(Renewal { object, undone }) = &renewal {
            steps.take_out(undone, &prefix)?;
            let renewed = workload.with_object(object);
            steps.inject.extend(patch(&self.decide(&renewed), &prefix)?);
        } else {
            steps.inject.extend(patch(&self.decide(workload), &prefix)?);
        }
        Ok(())
    }

    pub(super) fn decide<'w>(&'w self, workload: &'w Workload<'w>) -> Decision<'w> {
        let namespace = workload.namespace.unwrap_or(&self.arguments.namespace);
        let settings = self.namespaces.get(namespace).unwrap_or(&self.unknown_namespace);
        let behind = self.behind(workload);
        offline::decide_behind(workload, settings, &self.policy, behind.as_ref())
    }

    /// Decides on one workload of a document, and reports it.
    fn workload(
        &self,
        workload: &Workload<'_>,
        document: &Document,
        work: &mut Work<'_>,
        steps: &mut Steps,
    ) -> anyhow::Result<()> {
        if let Some(reason) = workload.aside {
            let Work { place, output, outcome } = work;
            let namespace = workload.namespace.unwrap_or(&self.arguments.namespace);
            outcome.summary.add_aside();
            if let Some(results) = output.results() {
                results.aside(workload, namespace, reason);
            }
            let report = WorkloadReport::aside(place, workload, namespace, reason);
            output.workload(&report, None)?;
            return Ok(());
        }
        match self.mode {
            Mode::Inject => self.inject(workload, &[], work)?,
            Mode::Renew => match self.renewal(workload)? {
                Some(Renewal { object, undone }) => {
                    self.inject(&workload.with_object(&object), &undone.operations, work)?;
                }
                None => self.inject(workload, &[], work)?,
            },
            Mode::Uninject => self.uninject(workload, document, work)?,
        }
        self.steps(workload, steps)
    }

    /// Reports the injection of one workload, after the operations that remove an earlier
    /// injection.
    fn inject(
        &self,
        workload: &Workload<'_>,
        before: &[Value],
        work: &mut Work<'_>,
    ) -> anyhow::Result<()> {
        let Work { place, output, outcome } = work;
        let namespace = workload.namespace.unwrap_or(&self.arguments.namespace);
        let decision = self.decide(workload);
        outcome.summary.add(&decision);
        if let Some(results) = output.results() {
            results.decided(workload, namespace, &decision);
        }
        let settings = self.namespaces.get(namespace).unwrap_or(&self.unknown_namespace);
        let report =
            WorkloadReport::new(place, workload, (namespace, settings), &decision, &self.policy);
        if self.arguments.check && decision.is_injected() {
            let why = if before.is_empty() { "has no hook yet" } else { "has an outdated hook" };
            outcome.notes.push(format!("{}: {} {why}", place.file, report.title()));
        }
        if !self.is_report() {
            let problems = decision.problems.iter();
            outcome.notes.extend(
                problems.map(|problem| format!("{}: {}: {problem}", place.file, report.title())),
            );
        }
        // With paths from the root of the workload, as `kubectl patch` expects.
        let own = if self.arguments.output == Some(OutputForm::JsonPatch) {
            [prefixed(before, workload.template)?, patch(&decision, workload.template)?].concat()
        } else {
            Vec::new()
        };
        let own = (!own.is_empty()).then_some(JsonPatch(own));
        output.workload(&report, own.as_ref())
    }

    /// Edits a document as a whole.
    fn whole(
        &self,
        document: &Document,
        value: &Value,
        steps: Steps,
        work: &mut Work<'_>,
    ) -> anyhow::Result<()> {
        match self.edited(document, value, Place::Document, steps)? {
            Ok(edited) => {
                if let Layout::Rewritten { reason } = &edited.layout {
                    let DocumentPlace { file, document, .. } = &work.place;
                    work.outcome.notes.push(format!(
                        "note: {file}: document {document} was rewritten, comments are lost: {reason}"
                    ));
                }
                work.note_texts(&edited);
                let all = 0..document.text.len();
                work.parts(document, vec![(all, edited.text)])?;
            }
            Err(error) => work.outcome.errors.push(error),
        }
        Ok(())
    }
}

impl Work<'_> {
    /// Adds a note if recorded texts could not be restored.
    fn note_texts(&mut self, edited: &Edited) {
        if !edited.has_texts && edited.layout == Layout::Kept {
            let DocumentPlace { file, document, .. } = &self.place;
            self.outcome.notes.push(format!(
                "note: {file}: the layout of document {document} was changed after the injection: the original values are restored, but not their layout"
            ));
        }
    }

    /// Writes the document with its edits, in order.
    fn parts(&mut self, document: &Document, edits: Vec<Edit>) -> std::io::Result<()> {
        let part = |range: Range<usize>| document.text.get(range).unwrap_or_default();
        self.output.begin(document)?;
        let mut end = 0;
        for (range, new) in edits {
            let kept = part(end..range.start);
            self.output.part(kept, kept)?;
            end = range.end;
            self.output.part(part(range), &new)?;
        }
        let rest = part(end..document.text.len());
        self.output.part(rest, rest)
    }

    fn note_duplicate(&mut self, duplicate: &DuplicateKey) {
        let DuplicateKey { key, line, .. } = duplicate;
        let key = printable(key, LONGEST_NAME);
        self.outcome.notes.push(format!(
            "note: {}: line {line}: duplicate key `{key}`; kubectl uses the last one",
            self.place.file
        ));
    }
}

/// Whether a key is in a pod, or the pod is in its value.
fn concerns(key: &str, pod: &str) -> bool {
    let is_in = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_in(key, pod) || is_in(pod, key)
}

/// Returns operations of the engine with `prefix` before their paths.
pub(super) fn prefixed(operations: &[Value], prefix: &str) -> anyhow::Result<Vec<PatchOperation>> {
    let mut operations = operations.to_vec();
    for operation in &mut operations {
        if let Some(Value::String(path)) = operation.get_mut("path") {
            path.insert_str(0, prefix);
        }
    }
    let JsonPatch(operations) = serde_json::from_value(operations.into())?;
    Ok(operations)
}

/// Returns the operations of a decision on the pod at `prefix` of the document.
pub(super) fn patch(decision: &Decision<'_>, prefix: &str) -> anyhow::Result<Vec<PatchOperation>> {
    let typed = |operation: Operation<'_>| {
        let mut path = PointerBuf::parse(prefix)?;
        for segment in operation.path.segments() {
            match segment {
                Segment::Name(name) => path.push_back(name),
                Segment::Index(index) => path.push_back(index),
            }
        }
        let value = operation.to_value();
        Ok(match operation.kind {
            OperationKind::Add => PatchOperation::Add(AddOperation { path, value }),
            OperationKind::Replace => PatchOperation::Replace(ReplaceOperation { path, value }),
        })
    };
    operations(decision).map(typed).collect()
}
