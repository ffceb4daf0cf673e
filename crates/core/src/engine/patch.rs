//! Converts a decision to patch operations: as few as possible, each on the smallest path whose
//! parent exists. Only `add` and `replace` are used: a `test` that fails, or a path that does not
//! exist, makes the API server refuse the pod, whatever the failure policy is.
//!
//! The operations are values. [`crate::admission::patch`] writes them as a JSON patch (RFC 6902), `inject`
//! turns them into edits of a manifest.

use serde_json::{Map, Value};

use super::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use super::hook::{Hook, append};
use super::settings::STATUS_ANNOTATION;
use super::{ContainerDecision, Decision, Injection, MetadataParent, Outcome, PreStopParent};

/// Number of segments of the longest path: `/spec/containers/N/lifecycle/preStop`.
const LONGEST_PATH: usize = 5;

/// The status annotation, as a segment of a path.
const STATUS: Segment = Segment::Name(STATUS_ANNOTATION);

/// One operation of a patch.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// Whether the operation adds or replaces a value.
    pub kind: OperationKind,
    /// Path from the root of the pod.
    pub path: Path,
    /// Names of the missing objects around the value, which the operation adds as well, outermost
    /// first.
    pub within: &'static [&'static str],
    /// The innermost value.
    pub value: NewValue<'a>,
}

/// Whether an operation adds or replaces a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Adds a value: there is none at the path.
    Add,
    /// Replaces the value at the path.
    Replace,
}

/// Path of a value in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    segments: [Segment; LONGEST_PATH],
    length: usize,
}

/// A part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// The key of an object.
    Name(&'static str),
    /// The index in a list.
    Index(usize),
}

/// The value that an operation writes.
#[derive(Debug, Clone, Copy)]
pub enum NewValue<'a> {
    /// A `preStop` hook.
    Hook(&'a Hook<'a>),
    /// `terminationGracePeriodSeconds`.
    Seconds(i64),
    /// The text of the status annotation.
    Status(&'a Decision<'a>, &'a Injection),
}

/// Returns the operations of a decision, in the order in which they apply; none if the pod is
/// skipped.
pub fn operations<'a>(decision: &'a Decision<'a>) -> impl Iterator<Item = Operation<'a>> {
    let injection = match &decision.outcome {
        Outcome::Injected(injection) => Some(injection),
        Outcome::Skipped(_) => None,
    };
    let containers = injection.map_or(&[][..], |_| &decision.containers[..]);
    let hooks = containers.iter().filter_map(hook);
    let grace = injection.and_then(grace_period);
    let status = injection.and_then(|injection| status(decision, injection));
    hooks.chain(grace).chain(status)
}

fn hook<'a>(container: &'a ContainerDecision<'a>) -> Option<Operation<'a>> {
    let injected = container.injected()?;
    let path = Path::new("spec").name("containers").index(container.index).name("lifecycle");
    let (kind, path, within): (_, _, &[_]) = match injected.parent {
        PreStopParent::Container => (OperationKind::Add, path, &["preStop"]),
        PreStopParent::Lifecycle => (OperationKind::Add, path.name("preStop"), &[]),
        PreStopParent::OwnHook => (OperationKind::Replace, path.name("preStop"), &[]),
    };
    Some(Operation { kind, path, within, value: NewValue::Hook(&injected.hook) })
}

fn grace_period<'a>(injection: &Injection) -> Option<Operation<'a>> {
    let after = injection.grace.after_seconds;
    let kind = match injection.grace_now_seconds {
        None if after != DEFAULT_GRACE_PERIOD_SECONDS => OperationKind::Add,
        Some(now) if now != after => OperationKind::Replace,
        None | Some(_) => return None,
    };
    let path = Path::new("spec").name("terminationGracePeriodSeconds");
    Some(Operation { kind, path, within: &[], value: NewValue::Seconds(after) })
}

fn status<'a>(decision: &'a Decision<'a>, injection: &'a Injection) -> Option<Operation<'a>> {
    let metadata = Path::new("metadata");
    let (path, within): (_, &[_]) = match injection.metadata? {
        MetadataParent::Pod => (metadata, &["annotations", STATUS_ANNOTATION]),
        MetadataParent::Metadata => (metadata.name("annotations"), &[STATUS_ANNOTATION]),
        MetadataParent::Annotations => (metadata.name("annotations").push(STATUS), &[]),
    };
    let value = NewValue::Status(decision, injection);
    Some(Operation { kind: OperationKind::Add, path, within, value })
}

impl Operation<'_> {
    /// Returns the value, wrapped in the objects around it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.within.iter().rev().fold(self.value.to_value(), |value, name| {
            Value::Object(Map::from_iter([((*name).to_owned(), value)]))
        })
    }
}

impl Path {
    const fn new(first: &'static str) -> Self {
        Self { segments: [Segment::Name(first); LONGEST_PATH], length: 1 }
    }

    fn name(self, name: &'static str) -> Self {
        self.push(Segment::Name(name))
    }

    fn index(self, index: usize) -> Self {
        self.push(Segment::Index(index))
    }

    fn push(mut self, segment: Segment) -> Self {
        if let Some(place) = self.segments.get_mut(self.length) {
            *place = segment;
            self.length += 1;
        }
        self
    }

    /// Iterates over the segments, starting at the root.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        self.segments.into_iter().take(self.length)
    }
}

impl NewValue<'_> {
    /// Appends the value as JSON.
    pub(crate) fn write(&self, json: &mut Vec<u8>) {
        match self {
            Self::Hook(hook) => hook.write(json),
            Self::Seconds(seconds) => append(json, seconds),
            Self::Status(decision, injection) => decision.append_status(injection, json),
        }
    }

    fn to_value(self) -> Value {
        match self {
            Self::Hook(hook) => serde_json::to_value(hook).unwrap_or_default(),
            Self::Seconds(seconds) => seconds.into(),
            Self::Status(decision, injection) => {
                let mut text = Vec::new();
                decision.append_status(injection, &mut text);
                // The status is a JSON string, which is parsed here.
                serde_json::from_slice(&text).unwrap_or_default()
            }
        }
    }
}
