//! Edits the texts of documents: removals first, then injections. Original values that the result
//! does not show are recorded in the status annotation.

use std::borrow::Cow;
use std::collections::HashMap;

use json_patch::{Patch as JsonPatch, PatchOperation};
use prestop_core::engine::template::{Object, Workload, objects, objects_of_item};
use prestop_core::engine::undo::{KeptLayout, undo};
use prestop_manifest::{Document, Edited, Layout, ManifestError, Replaced, apply_patch};
use serde_json::Value;

use super::Run;
use super::file::{patch, prefixed};

/// The changes of a document.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Operations that remove earlier injections.
    pub(super) undo: Vec<PatchOperation>,
    /// The texts of values that are restored by the removal, by their paths.
    pub(super) texts: HashMap<String, String>,
    /// Operations that inject hooks.
    pub(super) inject: Vec<PatchOperation>,
    /// Whether an earlier injection could not keep the layout.
    pub(super) has_lost_layout: bool,
}

/// Position of the objects of a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    /// The document is an object or a list.
    Document,
    /// The document is an item of a list, which is given here without its items.
    Item {
        /// The list.
        list: &'p Value,
        /// JSON pointer to the item in the document's value.
        pointer: &'p str,
    },
}

impl Steps {
    pub(super) fn is_empty(&self) -> bool {
        self.undo.is_empty() && self.inject.is_empty()
    }

    /// Adds the operations that remove an injection from the pod at `prefix`.
    pub(super) fn take_out(
        &mut self,
        undone: &prestop_core::engine::undo::Undo<'_>,
        prefix: &str,
    ) -> anyhow::Result<()> {
        self.undo.extend(prefixed(&undone.operations, prefix)?);
        let texts = undone.texts.iter();
        self.texts.extend(
            texts.filter_map(|(path, text)| Some((format!("{prefix}{path}"), text.clone()?))),
        );
        self.has_lost_layout |= undone.has_lost_layout;
        Ok(())
    }
}

impl Place<'_> {
    pub(super) fn objects<'v>(&'v self, value: &'v Value) -> Vec<Object<'v>> {
        match self {
            Self::Document => objects(value),
            Self::Item { list, pointer } => {
                let item = value.pointer(pointer).unwrap_or(&Value::Null);
                objects_of_item(item, list, pointer)
            }
        }
    }
}

impl Run<'_> {
    /// Returns the document after all steps; `value` is the document's value.
    pub(super) fn edited(
        &self,
        document: &Document,
        value: &Value,
        place: Place<'_>,
        steps: Steps,
    ) -> anyhow::Result<Result<Edited, ManifestError>> {
        let Steps { undo, texts, inject, has_lost_layout } = steps;
        if undo.is_empty() {
            return self.injected(document, value, place, inject, KeptLayout::of(has_lost_layout));
        }
        let undo = JsonPatch(undo);
        let undone = match document.edited_back(value, &undo, &texts) {
            Ok(undone) => undone,
            Err(error) => return Ok(Err(error)),
        };
        if inject.is_empty() {
            return Ok(Ok(undone));
        }
        let mut value = value.clone();
        apply_patch(&mut value, &undo)?;
        let has_lost_layout = has_lost_layout || undone.layout != Layout::Kept;
        let document = Document { text: undone.text, ..*document };
        let layout = KeptLayout::of(has_lost_layout);
        let injected = self.injected(&document, &value, place, inject, layout)?;
        Ok(injected.map(|injected| match undone.layout {
            Layout::Kept => injected,
            layout @ Layout::Rewritten { .. } => Edited { layout, ..injected },
        }))
    }

    /// Returns the document with the operations applied, and with a status from which they can be
    /// undone.
    fn injected(
        &self,
        document: &Document,
        value: &Value,
        place: Place<'_>,
        operations: Vec<PatchOperation>,
        layout: KeptLayout,
    ) -> anyhow::Result<Result<Edited, ManifestError>> {
        let edited = match document.edited(value, &JsonPatch(operations)) {
            Ok(edited) => edited,
            Err(error) => return Ok(Err(error)),
        };
        let is_kept = layout == KeptLayout::Kept && edited.layout == Layout::Kept;
        // Added lines can be removed without a trace.
        if is_kept && edited.replaced.is_empty() {
            return Ok(Ok(edited));
        }
        let before = self.taken_out(document, place);
        let comes_back = |text: &str| self.taken_out(&with_text(document, text), place) == before;
        if is_kept && comes_back(&edited.text) {
            return Ok(Ok(edited));
        }
        let with_texts = |layout| -> anyhow::Result<_> {
            let operations = self.with_texts(value, place, &edited.replaced, layout)?;
            Ok(document.edited(value, &JsonPatch(operations)))
        };
        if is_kept {
            match with_texts(KeptLayout::Kept)? {
                Ok(kept) if !comes_back(&kept.text) => {}
                other => return Ok(other),
            }
        }
        with_texts(KeptLayout::Lost)
    }

    /// Returns the operations that inject, with a status that keeps the replaced texts.
    fn with_texts(
        &self,
        value: &Value,
        place: Place<'_>,
        replaced: &[Replaced],
        layout: KeptLayout,
    ) -> anyhow::Result<Vec<PatchOperation>> {
        let mut operations = Vec::new();
        for workload in self.workloads(&place.objects(value)) {
            let prefix = format!("{}{}", workload.pointer, workload.template);
            let in_pod = |it: &Replaced| it.pointer.strip_prefix(&prefix).map(str::to_owned);
            let texts: Vec<(String, &str)> =
                replaced.iter().filter_map(|it| Some((in_pod(it)?, it.text.as_str()))).collect();
            let mut decision = self.decide(&workload);
            decision.keep_texts(&workload.pod, &texts, layout);
            operations.extend(patch(&decision, &prefix)?);
        }
        Ok(operations)
    }

    /// Returns the text of a document without its injections; `None` if the original text can't be
    /// restored.
    fn taken_out<'d>(&self, document: &'d Document, place: Place<'_>) -> Option<Cow<'d, str>> {
        let value = document.read().ok()??.value;
        let mut steps = Steps::default();
        for workload in self.workloads(&place.objects(&value)) {
            let prefix = format!("{}{}", workload.pointer, workload.template);
            if let Ok(undone) = undo(&workload.pod, workload.pod_value()) {
                steps.take_out(&undone, &prefix).ok()?;
            }
        }
        if steps.undo.is_empty() {
            return Some(Cow::Borrowed(&document.text));
        }
        let undo = JsonPatch(steps.undo);
        let edited = document.edited_back(&value, &undo, &steps.texts).ok()?;
        (edited.has_texts && edited.layout == Layout::Kept).then_some(Cow::Owned(edited.text))
    }

    /// Returns the workloads among objects that are not skipped beforehand.
    pub(super) fn workloads<'o>(&self, objects: &[Object<'o>]) -> Vec<Workload<'o>> {
        let workloads = objects.iter().filter_map(|object| object.workload(&self.arguments.kinds));
        workloads.filter(|workload| workload.aside.is_none()).collect()
    }
}

fn with_text(document: &Document, text: &str) -> Document {
    Document { text: text.to_owned(), ..*document }
}
