//! From a decision to a JSON patch (RFC 6902): the fewest operations, each on the smallest path
//! whose parent exists. Only `add` and `replace`: a `test` that fails, or a path that is not there,
//! makes the API server refuse the pod, whatever the failure policy says.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use super::hook::{Hook, Plain};
use super::status::Status;
use super::{Decision, MetadataParent, Outcome, PreStopParent};

/// The operations for one pod.
#[derive(Debug, Clone)]
pub struct Patch<'a> {
    decision: &'a Decision<'a>,
    prefix: &'a str,
}

impl<'a> Patch<'a> {
    /// The patch for a pod that stands at `prefix` of the patched document: empty for a pod,
    /// `/spec/template` for a Deployment. `None` where nothing is to be changed.
    #[must_use]
    pub fn of(decision: &'a Decision<'a>, prefix: &'a str) -> Option<Self> {
        match decision.outcome {
            Outcome::Injected(_) => Some(Self { decision, prefix }),
            Outcome::Skipped(_) => None,
        }
    }
}

impl Serialize for Patch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut operations = serializer.serialize_seq(None)?;
        let mut push = |op, path, value: Value<'_>| {
            operations.serialize_element(&Operation { op, prefix: self.prefix, path, value })
        };
        for container in &self.decision.containers {
            if let Some(injected) = container.injected() {
                let path = Path::Lifecycle { container: container.index, parent: injected.parent };
                push("add", path, Value::Hook(&injected.hook, injected.parent))?;
            }
        }
        if let Outcome::Injected(injection) = &self.decision.outcome {
            let after = injection.grace.after_seconds;
            match injection.grace_now_seconds {
                None if after == DEFAULT_GRACE_PERIOD_SECONDS => {}
                None => {
                    push("add", Path::GracePeriod, Value::Seconds(after))?;
                }
                Some(now) if now != after => {
                    push("replace", Path::GracePeriod, Value::Seconds(after))?;
                }
                Some(_) => {}
            }
            if let Some(parent) = injection.metadata {
                let status = self.decision.status(injection);
                push("add", Path::Status(parent), Value::Status(&status, parent))?;
            }
        }
        operations.end()
    }
}

struct Operation<'a> {
    op: &'static str,
    prefix: &'a str,
    path: Path,
    value: Value<'a>,
}

impl Serialize for Operation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut operation = serializer.serialize_map(Some(3))?;
        operation.serialize_entry("op", self.op)?;
        operation.serialize_entry("path", &Plain(Pointer(self.prefix, &self.path)))?;
        operation.serialize_entry("value", &self.value)?;
        operation.end()
    }
}

/// Where an operation applies. All names are ours, and have been escaped by hand (RFC 6901).
enum Path {
    Lifecycle { container: usize, parent: PreStopParent },
    GracePeriod,
    Status(MetadataParent),
}

struct Pointer<'a>(&'a str, &'a Path);

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(prefix, path) = self;
        match path {
            Path::Lifecycle { container, parent: PreStopParent::Container } => {
                write!(f, "{prefix}/spec/containers/{container}/lifecycle")
            }
            Path::Lifecycle { container, parent: PreStopParent::Lifecycle } => {
                write!(f, "{prefix}/spec/containers/{container}/lifecycle/preStop")
            }
            Path::GracePeriod => write!(f, "{prefix}/spec/terminationGracePeriodSeconds"),
            Path::Status(MetadataParent::Pod) => write!(f, "{prefix}/metadata"),
            Path::Status(MetadataParent::Metadata) => write!(f, "{prefix}/metadata/annotations"),
            Path::Status(MetadataParent::Annotations) => {
                write!(f, "{prefix}/metadata/annotations/prestop.dev~1status")
            }
        }
    }
}

enum Value<'a> {
    Hook(&'a Hook<'a>, PreStopParent),
    Seconds(i64),
    Status(&'a Status<'a>, MetadataParent),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Hook(hook, PreStopParent::Container) => member(serializer, "preStop", hook),
            Self::Hook(hook, PreStopParent::Lifecycle) => hook.serialize(serializer),
            Self::Seconds(seconds) => serializer.serialize_i64(*seconds),
            Self::Status(status, MetadataParent::Annotations) => serializer.collect_str(status),
            Self::Status(status, MetadataParent::Metadata) => {
                member(serializer, super::STATUS_ANNOTATION, &Plain(status))
            }
            Self::Status(status, MetadataParent::Pod) => {
                member(serializer, "annotations", &Value::Status(status, MetadataParent::Metadata))
            }
        }
    }
}

/// An object with one member.
fn member<S: Serializer>(
    serializer: S,
    key: &str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(1))?;
    object.serialize_entry(key, value)?;
    object.end()
}
