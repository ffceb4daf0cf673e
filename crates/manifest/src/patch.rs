//! JSON patches on values.

use std::slice;

use json_patch::{PatchError, PatchOperation};
use serde_json::Value;

/// Applies a JSON patch, and keeps the order of all other keys.
///
/// `json_patch` moves an object's last key into the place of a removed one, so that a document
/// that is rewritten afterwards would have another order than its author's.
///
/// # Errors
/// Returns an error if an operation does not apply. The operations before it have been applied.
pub fn apply_patch(value: &mut Value, operations: &[PatchOperation]) -> Result<(), PatchError> {
    for operation in operations {
        if !is_removed(value, operation) {
            json_patch::patch(value, slice::from_ref(operation))?;
        }
    }
    Ok(())
}

/// Applies an operation that removes a key from an object. Returns whether it was one.
fn is_removed(value: &mut Value, operation: &PatchOperation) -> bool {
    let PatchOperation::Remove(remove) = operation else { return false };
    let Some((parent, key)) = remove.path.split_back() else { return false };
    match value.pointer_mut(parent.as_str()) {
        Some(Value::Object(members)) => members.shift_remove(key.decoded().as_ref()).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(mut value: Value, patch: Value) -> Result<String, PatchError> {
        let operations: Vec<PatchOperation> = serde_json::from_value(patch).unwrap();
        apply_patch(&mut value, &operations).map(|()| value.to_string())
    }

    #[test]
    fn a_removal_keeps_the_order_of_the_other_keys() {
        let value = json!({"a": {"x": 1, "b/c": 2, "y": 3, "z": 4}, "list": [1, 2, 3]});
        let patch = json!([
            {"op": "remove", "path": "/a/b~1c"},
            {"op": "remove", "path": "/list/0"},
            {"op": "add", "path": "/a/new", "value": 5},
        ]);
        let after = applied(value, patch).unwrap();
        assert_eq!(after, r#"{"a":{"x":1,"y":3,"z":4,"new":5},"list":[2,3]}"#);
    }

    #[test]
    fn an_operation_that_does_not_apply_is_an_error() {
        for path in ["/b", "/a/b", "/a/x/y", "/list/7"] {
            let value = json!({"a": {"x": 1}, "list": []});
            let patch = json!([{"op": "remove", "path": path}]);
            assert!(applied(value, patch).is_err(), "{path}");
        }
    }
}
