//! Takes an injection out again (`docs/rules.md`, section 14): only what the status annotation proves to
//! be ours.

use serde_json::{Map, Value, json};

use super::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use super::own_hook_extend::LARGEST_KEPT_BYTES;
use super::pod::Pod;
use super::reason::UndoReason;
use super::settings::STATUS_ANNOTATION;
use super::status::{Status, StatusContainer, Texts};
use super::{ContainerDecision, ContainerOutcome, Decision, Outcome, Stood, is_room_for_status};

/// The texts of a manifest that a status keeps are no longer, all together.
const MOST_TEXT_BYTES: usize = 16 * 1024;

const GRACE_PERIOD: &str = "/spec/terminationGracePeriodSeconds";
const METADATA: &str = "/metadata";
const ANNOTATIONS: &str = "/metadata/annotations";
/// The path of the status annotation in a pod.
pub const STATUS_PATH: &str = "/metadata/annotations/prestop.dev~1status";

/// The name of the status annotation's place among the texts.
pub(super) const TEXT_OF_STATUS: &str = "status";
/// The whole document among the texts. It is never kept: the name says that its layout is lost.
pub const TEXT_OF_DOCUMENT: &str = "document";

/// The places around the containers whose texts can be kept: their paths in a pod, and their names.
const PLACES: [(&str, &str); 4] = [
    (GRACE_PERIOD, "terminationGracePeriodSeconds"),
    (METADATA, "metadata"),
    (ANNOTATIONS, "annotations"),
    (STATUS_PATH, TEXT_OF_STATUS),
];
/// Those of a container.
const CONTAINER_PLACES: [(&str, &str); 2] = [("/preStop", "preStop"), ("", "lifecycle")];

/// What is to be done to a pod that was injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo<'a> {
    /// The containers that lose their hook, in order.
    pub containers: Vec<UndoneContainer<'a>>,
    /// The grace period now and before the injection.
    pub grace_seconds: (i64, i64),
    /// A JSON patch, with paths from the root of the pod.
    pub operations: Vec<Value>,
    /// The texts of values that the patch replaces, as the manifest had them, by their paths; `None` where one
    /// was too large to be kept.
    pub texts: Vec<(String, Option<String>)>,
    /// The manifest's layout is not what it was, and can't be brought back.
    pub has_lost_layout: bool,
}

/// A container that loses its hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoneContainer<'a> {
    /// Its place in `spec.containers`.
    pub index: usize,
    /// Its name.
    pub name: &'a str,
    /// What becomes of the hook.
    pub hook: UndoneHook,
}

/// What becomes of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoneHook {
    /// There is none.
    Removed,
    /// The author's own is there again.
    Restored,
}

/// What takes the injection out of a pod; `value` is the same pod.
///
/// # Errors
/// Why it stays as it is.
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
        // Those of one name are in the order of the containers.
        let Some(place) = left.iter().position(|recorded| recorded.name == name) else { continue };
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
                // Nothing but `null` was written there.
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
            // An empty mapping, or `null`.
            let is_mapping = was.as_deref().is_some_and(|was| was.contains('{'));
            let value = if is_mapping { json!({}) } else { Value::Null };
            self.put_back(METADATA, &value, Some(was));
        } else if count(METADATA) == 1 {
            self.operations.push(remove(METADATA));
        } else {
            self.operations.push(remove(ANNOTATIONS));
        }
    }

    /// Another value, with the text that it had in the manifest.
    fn put_back(&mut self, path: &str, value: &Value, text: Option<&Option<String>>) {
        self.operations.push(replace(path, value));
        self.texts.extend(text.map(|text| (path.to_owned(), text.clone())));
    }
}

impl KeptLayout {
    /// Whether the layout is lost.
    #[must_use]
    pub const fn of(is_lost: bool) -> Self {
        if is_lost { Self::Lost } else { Self::Kept }
    }
}

impl Decision<'_> {
    /// Keeps the texts of values that give way to others; they are given by their paths in the pod.
    /// Where there is no room for them the layout counts as lost.
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
        // A second pass found what the first one had written.
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

/// Whether a document still looks as its author wrote it, but for what was injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptLayout {
    /// It does.
    Kept,
    /// It was rewritten.
    Lost,
}

fn remove(path: &str) -> Value {
    json!({"op": "remove", "path": path})
}

fn replace(path: &str, value: &Value) -> Value {
    json!({"op": "replace", "path": path, "value": value})
}
