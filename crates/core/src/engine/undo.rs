//! Removal of an injection (`docs/rules.md`, section 14): only parts that the status annotation
//! proves to be prestop's.

use serde_json::{Map, Value, json};

use super::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use super::own_hook_extend::LARGEST_KEPT_BYTES;
use super::pod::Pod;
use super::reason::UndoReason;
use super::settings::STATUS_ANNOTATION;
use super::status::{Status, StatusContainer, Texts};
use super::{ContainerDecision, ContainerOutcome, Decision, Outcome, Stood, is_room_for_status};

/// Limit for the total size of the texts of a manifest that a status keeps, in bytes.
const MOST_TEXT_BYTES: usize = 16 * 1024;

const GRACE_PERIOD: &str = "/spec/terminationGracePeriodSeconds";
const METADATA: &str = "/metadata";
const ANNOTATIONS: &str = "/metadata/annotations";
/// The path of the status annotation in a pod.
pub const STATUS_PATH: &str = "/metadata/annotations/prestop.dev~1status";

/// Name of the status annotation's text in the status.
pub(super) const TEXT_OF_STATUS: &str = "status";
/// Name for the text of the whole document. The text is never kept: the name means that the
/// document's layout is lost.
pub const TEXT_OF_DOCUMENT: &str = "document";

/// Places outside the containers whose texts can be kept: their paths in a pod, and their names in
/// the status.
const PLACES: [(&str, &str); 4] = [
    (GRACE_PERIOD, "terminationGracePeriodSeconds"),
    (METADATA, "metadata"),
    (ANNOTATIONS, "annotations"),
    (STATUS_PATH, TEXT_OF_STATUS),
];
/// Places in a container whose texts can be kept: their paths relative to its `lifecycle`, and
/// their names.
const CONTAINER_PLACES: [(&str, &str); 2] = [("/preStop", "preStop"), ("", "lifecycle")];

/// The changes that remove an injection from a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo<'a> {
    /// The containers that lose their hook, in order.
    pub containers: Vec<UndoneContainer<'a>>,
    /// The grace period now and before the injection.
    pub grace_seconds: (i64, i64),
    /// A JSON patch, with paths from the root of the pod.
    pub operations: Vec<Value>,
    /// The texts that the replaced values had in the manifest, by their paths; `None` if a text was
    /// too large to be kept.
    pub texts: Vec<(String, Option<String>)>,
    /// Whether the manifest's original layout is lost and can't be restored.
    pub has_lost_layout: bool,
}

/// A container whose hook is removed or restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoneContainer<'a> {
    /// Index in `spec.containers`.
    pub index: usize,
    /// Name of the container.
    pub name: &'a str,
    /// The result for the hook.
    pub hook: UndoneHook,
}

/// Result for a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoneHook {
    /// The hook was removed.
    Removed,
    /// The author's hook was restored.
    Restored,
}

/// Computes the changes that remove the injection from a pod; `value` is the same pod.
///
/// # Errors
/// Returns the reason why the pod is not changed.
pub fn undo<'a>(pod: &'a Pod<'_>, value: &Value) -> Result<Undo<'a>, UndoReason> {
    let spec = pod.spec.value().ok_or(UndoReason::NotInjected)?;
    let annotations = pod.metadata.value().and_then(|metadata| metadata.annotations.value());
    let text = annotations
        .and_then(|annotations| {
            let mut ours = annotations.ours.iter();
            ours.find(|(key, _)| key == STATUS_ANNOTATION)
        })
        .map(|(_, value)| value)
        .filter(|value| !value.is_absent())
        .ok_or(UndoReason::NotInjected)?;
    let now = spec.grace_period_seconds.value().copied();
    let grace_now = now.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS);
    let status = text
        .value()
        .and_then(|text| Status::believed(text, grace_now, spec.containers()))
        .ok_or(UndoReason::StatusNotTrusted)?;
    let mut undo = Undo {
        containers: Vec::new(),
        grace_seconds: (grace_now, status.grace_before_seconds()),
        operations: Vec::new(),
        texts: Vec::new(),
        has_lost_layout: false,
    };
    let mut left: Vec<&StatusContainer<'_>> = status.containers().iter().collect();
    for (index, shape) in spec.containers().iter().enumerate() {
        let name = shape.value().and_then(|container| container.name.value());
        let Some(name) = name.map(AsRef::as_ref) else { continue };
        // Entries with the same name are in the order of the containers.
        let Some(place) = left.iter().position(|recorded| recorded.name == name) else {
            // Another container has this name, and the status does not say which one was injected.
            if status.containers().iter().any(|recorded| recorded.name == name) {
                return Err(UndoReason::StatusNotTrusted);
            }
            continue;
        };
        let recorded = left.remove(place);
        let lifecycle = value.pointer(&format!("/spec/containers/{index}/lifecycle"));
        let lifecycle = lifecycle.and_then(Value::as_object);
        undo.container(index, name, recorded, lifecycle.ok_or(UndoReason::StatusNotTrusted)?)?;
    }
    let stood = status.stood();
    undo.grace_period(&status, &stood.text, now.is_some());
    undo.annotations(&status, &stood, value);
    undo.has_lost_layout = stood.text.contains_key(TEXT_OF_DOCUMENT);
    Ok(undo)
}

impl<'a> Undo<'a> {
    fn container(
        &mut self,
        index: usize,
        name: &'a str,
        recorded: &StatusContainer<'_>,
        lifecycle: &Map<String, Value>,
    ) -> Result<(), UndoReason> {
        let path = format!("/spec/containers/{index}/lifecycle");
        let hook_path = format!("{path}/preStop");
        let is_only = lifecycle.len() == 1;
        let text = &recorded.text;
        let hook = match &recorded.original {
            Some(Value::Object(original)) => {
                self.put_back(&hook_path, &Value::Object(original.clone()), text.get("preStop"));
                UndoneHook::Restored
            }
            Some(_) => return Err(UndoReason::OriginalNotKept),
            None => {
                // The manifest contained only `null` there.
                if let Some(null) = text.get("preStop") {
                    self.put_back(&hook_path, &Value::Null, Some(null));
                } else if !is_only {
                    self.operations.push(remove(&hook_path));
                } else if recorded.empty_lifecycle {
                    self.put_back(&path, &json!({}), text.get("lifecycle"));
                } else if let Some(null) = text.get("lifecycle") {
                    self.put_back(&path, &Value::Null, Some(null));
                } else {
                    self.operations.push(remove(&path));
                }
                UndoneHook::Removed
            }
        };
        self.containers.push(UndoneContainer { index, name, hook });
        Ok(())
    }

    fn grace_period(&mut self, status: &Status<'_>, texts: &Texts, is_written: bool) {
        let (after, before) = self.grace_seconds;
        if after == before || !is_written {
            return;
        }
        let text = texts.get("terminationGracePeriodSeconds");
        let was_written =
            before != DEFAULT_GRACE_PERIOD_SECONDS || status.before(None).states_default_grace;
        match text {
            _ if was_written => self.put_back(GRACE_PERIOD, &Value::from(before), text),
            Some(_) => self.put_back(GRACE_PERIOD, &Value::Null, text),
            None => self.operations.push(remove(GRACE_PERIOD)),
        }
    }

    fn annotations(&mut self, status: &Status<'_>, stood: &Stood, value: &Value) {
        let Stood { status: was, text } = stood;
        let count = |path: &str| value.pointer(path).and_then(Value::as_object).map_or(0, Map::len);
        let is_only = count(ANNOTATIONS) == 1;
        let was_metadata = text.get("metadata").filter(|_| is_only && count(METADATA) == 1);
        if let Some(was) = was {
            self.put_back(STATUS_PATH, &Value::from(was.as_str()), text.get(TEXT_OF_STATUS));
        } else if let Some(null @ Some(_)) = text.get(TEXT_OF_STATUS) {
            self.put_back(STATUS_PATH, &Value::Null, Some(null));
        } else if !is_only {
            self.operations.push(remove(STATUS_PATH));
        } else if status.before(None).has_empty_annotations {
            self.put_back(ANNOTATIONS, &json!({}), text.get("annotations"));
        } else if let Some(null) = text.get("annotations") {
            self.put_back(ANNOTATIONS, &Value::Null, Some(null));
        } else if let Some(was) = was_metadata {
            // The original value was an empty mapping or `null`.
            let is_mapping = was.as_deref().is_some_and(|was| was.contains('{'));
            let value = if is_mapping { json!({}) } else { Value::Null };
            self.put_back(METADATA, &value, Some(was));
        } else if count(METADATA) == 1 {
            self.operations.push(remove(METADATA));
        } else {
            self.operations.push(remove(ANNOTATIONS));
        }
    }

    /// Restores a value, with its text in the manifest.
    fn put_back(&mut self, path: &str, value: &Value, text: Option<&Option<String>>) {
        self.operations.push(replace(path, value));
        self.texts.extend(text.map(|text| (path.to_owned(), text.clone())));
    }
}

impl KeptLayout {
    /// Converts whether the layout is lost.
    #[must_use]
    pub const fn of(is_lost: bool) -> Self {
        if is_lost { Self::Lost } else { Self::Kept }
    }
}

impl Decision<'_> {
    /// Keeps the texts of values that are replaced, given by their paths in the pod. If there is no
    /// room for them, the layout counts as lost.
    pub fn keep_texts(&mut self, pod: &Pod<'_>, texts: &[(String, &str)], layout: KeptLayout) {
        let mut room = MOST_TEXT_BYTES;
        let mut kept = |text: &str| {
            let fits = text.len() <= LARGEST_KEPT_BYTES && text.len() <= room;
            room -= if fits { text.len() } else { 0 };
            fits.then(|| text.to_owned())
        };
        if layout == KeptLayout::Lost {
            self.stood.text.insert(TEXT_OF_DOCUMENT.to_owned(), None);
        }
        // In a second pass, the texts are those that the first pass wrote.
        let is_second = |container: &ContainerDecision<'_>| {
            matches!(container.outcome, ContainerOutcome::Earlier(_))
        };
        let is_first = !self.containers.iter().any(is_second);
        for (path, text) in texts {
            if let Some((_, name)) = PLACES.iter().find(|(place, _)| place == path) {
                if is_first {
                    self.stood.text.insert((*name).to_owned(), kept(text));
                }
                continue;
            }
            for container in &mut self.containers {
                let ContainerOutcome::Injected(injected) = &mut container.outcome else { continue };
                let lifecycle = format!("/spec/containers/{}/lifecycle", container.index);
                let Some(place) = path.strip_prefix(lifecycle.as_str()) else { continue };
                if let Some((_, name)) = CONTAINER_PLACES.iter().find(|(it, _)| *it == place) {
                    injected.text.insert((*name).to_owned(), kept(text));
                }
            }
        }
        if !self.has_room_for_status(pod) {
            self.drop_texts();
            self.stood.text.insert(TEXT_OF_DOCUMENT.to_owned(), None);
        }
        if !self.has_room_for_status(pod) {
            self.drop_texts();
        }
    }

    fn drop_texts(&mut self) {
        self.stood.text.clear();
        for container in &mut self.containers {
            if let ContainerOutcome::Injected(injected) = &mut container.outcome {
                injected.text.clear();
            }
        }
    }

    fn has_room_for_status(&self, pod: &Pod<'_>) -> bool {
        let Outcome::Injected(injection) = &self.outcome else { return true };
        is_room_for_status(self, injection, pod.metadata.value())
    }
}

/// Whether a document still has its author's layout, apart from the injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptLayout {
    /// The layout is kept.
    Kept,
    /// The document was rewritten.
    Lost,
}

fn remove(path: &str) -> Value {
    json!({"op": "remove", "path": path})
}

fn replace(path: &str, value: &Value) -> Value {
    json!({"op": "replace", "path": path, "value": value})
}
