//! Patch operations as a JSON patch (RFC 6902). Written by hand, into memory that is taken once: this is most
//! of a request's cost that is not reading.

use crate::engine::hook::append;
use crate::engine::patch::{Operation, OperationKind, Segment, operations};
use crate::engine::{Decision, Outcome};

/// More than most patches take without their containers.
const FIXED_BYTES: usize = 512;
/// More than most containers take, in their own operation and in the status, the script left out.
const CONTAINER_BYTES: usize = 384;

/// The patch for a pod at `prefix` of the patched document, a JSON pointer: empty for a pod, `/spec/template`
/// for a Deployment. `None` where nothing is to be changed.
#[must_use]
pub fn to_json(decision: &Decision<'_>, prefix: &str) -> Option<Vec<u8>> {
    match decision.outcome {
        Outcome::Injected(_) => {}
        Outcome::Skipped(_) => return None,
    }
    let containers = decision.containers.iter().filter_map(|known| known.injected());
    let lengths = containers.map(|injected| CONTAINER_BYTES + injected.hook.script_bytes());
    let mut json = Vec::with_capacity(FIXED_BYTES + lengths.sum::<usize>());
    write(decision, prefix, &mut json);
    Some(json)
}

/// Appends the patch; an empty one where nothing is to be changed.
pub fn write(decision: &Decision<'_>, prefix: &str, json: &mut Vec<u8>) {
    json.push(b'[');
    let mut is_first = true;
    for operation in operations(decision) {
        if !std::mem::replace(&mut is_first, false) {
            json.push(b',');
        }
        write_operation(&operation, prefix, json);
    }
    json.push(b']');
}

fn write_operation(operation: &Operation<'_>, prefix: &str, json: &mut Vec<u8>) {
    let begin: &[u8] = match operation.kind {
        OperationKind::Add => br#"{"op":"add","path":"#,
        OperationKind::Replace => br#"{"op":"replace","path":"#,
    };
    json.extend_from_slice(begin);
    append(json, prefix);
    // Its end is yet to come.
    json.pop();
    for segment in operation.path.segments() {
        json.push(b'/');
        match segment {
            Segment::Name(name) => write_name(name, json),
            Segment::Index(index) => append(json, &index),
        }
    }
    json.extend_from_slice(br#"","value":"#);
    for name in operation.within {
        json.extend_from_slice(b"{\"");
        json.extend_from_slice(name.as_bytes());
        json.extend_from_slice(b"\":");
    }
    operation.value.write(json);
    for _ in operation.within {
        json.push(b'}');
    }
    json.push(b'}');
}

/// A name of ours in a pointer (RFC 6901): letters and dots, and one has a slash.
fn write_name(name: &str, json: &mut Vec<u8>) {
    match name.split_once('/') {
        Some((before, behind)) => {
            json.extend_from_slice(before.as_bytes());
            json.extend_from_slice(b"~1");
            json.extend_from_slice(behind.as_bytes());
        }
        None => json.extend_from_slice(name.as_bytes()),
    }
}
