//! Patch operations as a JSON patch (RFC 6902). Written by hand into a single allocation: apart
//! from reading, this is most of the cost of a request.

use crate::engine::hook::append;
use crate::engine::patch::{Operation, OperationKind, Segment, operations};
use crate::engine::{Decision, Outcome};

/// Upper bound for the size of most patches without their containers, in bytes.
const FIXED_BYTES: usize = 512;
/// Upper bound for the size of most containers, in bytes: their operation and their part of the
/// status, without the script.
const CONTAINER_BYTES: usize = 384;

/// Returns the patch for a pod at `prefix` in the patched document, a JSON pointer: empty for a
/// pod, `/spec/template` for a Deployment. `None` if nothing is changed.
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

/// Appends the patch; an empty list if nothing is changed.
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
    // The rest of the path follows, so the closing quotation mark is removed.
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

/// Appends one of prestop's own names as a segment of a JSON pointer (RFC 6901). These names
/// consist of letters and dots and have at most one slash.
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
