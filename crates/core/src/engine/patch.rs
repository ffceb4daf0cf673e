//! From a decision to a JSON patch (RFC 6902): the fewest operations, each on the smallest path
//! whose parent exists. Only `add` and `replace`: a `test` that fails, or a path that is not there,
//! makes the API server refuse the pod, whatever the failure policy says.

use serde::ser::{Serialize, Serializer};

use super::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use super::hook::{append, serialize_json};
use super::{Decision, Injected, Injection, MetadataParent, Outcome, PreStopParent};

/// More than most patches take without their containers.
const FIXED_BYTES: usize = 512;
/// More than most containers take, in their own operation and in the status, the script left out.
const CONTAINER_BYTES: usize = 384;

/// The rest of an operation on what is missing of metadata, annotations and the annotation itself.
const METADATA: &[u8] = br#"/metadata","value":{"annotations":{"prestop.dev/status":"#;
const ANNOTATIONS: &[u8] = br#"/metadata/annotations","value":{"prestop.dev/status":"#;
const ANNOTATION: &[u8] = br#"/metadata/annotations/prestop.dev~1status","value":"#;

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

impl Patch<'_> {
    /// The operations as JSON text. Written by hand: this is most of what a request costs that is
    /// not reading.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let containers = self.decision.containers.iter().filter_map(|known| known.injected());
        let lengths = containers.map(|injected| CONTAINER_BYTES + injected.hook.script_bytes());
        let mut json = Vec::with_capacity(FIXED_BYTES + lengths.sum::<usize>());
        self.write(&mut json);
        json
    }

    /// Appends the operations as JSON text.
    pub fn write(&self, json: &mut Vec<u8>) {
        let Outcome::Injected(injection) = &self.decision.outcome else {
            json.extend_from_slice(b"[]");
            return;
        };
        let start = json.len();
        for container in &self.decision.containers {
            if let Some(injected) = container.injected() {
                self.begin(json, "add");
                write_hook(json, container.index, injected);
            }
        }
        self.write_grace_period(json, injection);
        if let Some(parent) = injection.metadata {
            self.begin(json, "add");
            self.write_status(json, parent, injection);
        }
        // Each operation begins with a comma.
        match json.get_mut(start) {
            Some(first) => *first = b'[',
            None => json.push(b'['),
        }
        json.push(b']');
    }

    fn write_grace_period(&self, json: &mut Vec<u8>, injection: &Injection) {
        let after = injection.grace.after_seconds;
        let op = match injection.grace_now_seconds {
            None if after != DEFAULT_GRACE_PERIOD_SECONDS => "add",
            Some(now) if now != after => "replace",
            None | Some(_) => return,
        };
        self.begin(json, op);
        json.extend_from_slice(b"/spec/terminationGracePeriodSeconds\",\"value\":");
        append(json, &after);
        json.push(b'}');
    }

    /// The rest of the operation that adds the status. All names are ours, and have been escaped by
    /// hand (RFC 6901).
    fn write_status(&self, json: &mut Vec<u8>, parent: MetadataParent, injection: &Injection) {
        let (path, end): (&[u8], &[u8]) = match parent {
            MetadataParent::Pod => (METADATA, b"}}}"),
            MetadataParent::Metadata => (ANNOTATIONS, b"}}"),
            MetadataParent::Annotations => (ANNOTATION, b"}"),
        };
        json.extend_from_slice(path);
        self.decision.append_status(injection, json);
        json.extend_from_slice(end);
    }

    /// An operation, into its path.
    fn begin(&self, json: &mut Vec<u8>, op: &str) {
        json.extend_from_slice(b",{\"op\":\"");
        json.extend_from_slice(op.as_bytes());
        json.extend_from_slice(b"\",\"path\":");
        append(json, self.prefix);
        // Its end is yet to come.
        json.pop();
    }
}

impl Serialize for Patch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_json(&self.to_json(), serializer)
    }
}

/// The rest of an operation that adds a hook.
fn write_hook(json: &mut Vec<u8>, index: usize, injected: &Injected<'_>) {
    json.extend_from_slice(b"/spec/containers/");
    append(json, &index);
    match injected.parent {
        PreStopParent::Container => {
            json.extend_from_slice(b"/lifecycle\",\"value\":{\"preStop\":");
            injected.hook.write(json);
            json.push(b'}');
        }
        PreStopParent::Lifecycle => {
            json.extend_from_slice(b"/lifecycle/preStop\",\"value\":");
            injected.hook.write(json);
        }
    }
    json.push(b'}');
}
