//! Whatever text is around the patched places, an edit adds lines and does not change others.

use json_patch::Patch;
use prestop_manifest::Layout;
use proptest::prelude::*;
use serde_json::json;

use super::document;

const LINES: [&str; 16] = [
    "apiVersion: v1",
    "kind: Pod",
    "metadata:",
    "  name: web # the front",
    "  labels:",
    "    app: 'web'",
    "spec:",
    "  containers:",
    "  - name: web",
    "    image: \"example.com/web:1\"",
    "    args:",
    "    - --verbose",
    "    - |",
    "      a",
    "    env: []",
    "  hostNetwork: false",
];

fn patch() -> Patch {
    serde_json::from_value(json!([
        {"op": "add", "path": "/spec/containers/0/lifecycle", "value": {"preStop": {"sleep": {"seconds": 10}}}},
        {"op": "add", "path": "/spec/terminationGracePeriodSeconds", "value": 40},
        {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "{\"c\":1}"}},
    ]))
    .unwrap()
}

/// Returns the patch that undoes [`patch`].
fn inverse() -> Patch {
    serde_json::from_value(json!([
        {"op": "remove", "path": "/spec/containers/0/lifecycle"},
        {"op": "remove", "path": "/spec/terminationGracePeriodSeconds"},
        {"op": "remove", "path": "/metadata/annotations"},
    ]))
    .unwrap()
}

proptest! {
    #[test]
    fn edits_add_lines_and_keep_all_others(
        between in prop::collection::vec(
            prop::sample::select(vec![
                "", "", "", "\n", "# c", "  # c", "    # - d", "      # e: f", "  # - g\n  #   h: i", "#    j: k", "        # l",
            ]),
            LINES.len(),
        ),
        line_break in prop::sample::select(vec!["\n", "\r\n"]),
        with_final_line_break in any::<bool>(),
    ) {
        let mut lines: Vec<&str> = Vec::new();
        for (line, more) in LINES.iter().zip(&between) {
            lines.push(line);
            // A comment inside a block scalar would be part of its text, or end it.
            if !more.is_empty() && !["    - |", "      a"].contains(line) {
                lines.extend(more.split('\n'));
            }
        }
        let mut text = lines.join(line_break);
        if with_final_line_break {
            text.push_str(line_break);
        }
        let before = document(&text);
        let value = before.value().unwrap().unwrap();
        let edited = before.edited(&value, &patch()).unwrap();
        prop_assert_eq!(&edited.layout, &Layout::Kept);
        let mut wanted = value;
        json_patch::patch(&mut wanted, &patch()).unwrap();
        prop_assert_eq!(document(&edited.text).value().unwrap().unwrap(), wanted);
        let mut left = edited.text.lines();
        for line in text.lines() {
            prop_assert!(left.any(|new| new == line), "{:?} is lost:\n{}", line, edited.text);
        }
        let after = document(&edited.text);
        let undone = after.edited(&after.value().unwrap().unwrap(), &inverse()).unwrap();
        prop_assert_eq!(&undone.layout, &Layout::Kept);
        prop_assert_eq!(&undone.text, &text);
        let breaks = edited.text.matches('\n').count();
        prop_assert_eq!(edited.text.matches("\r\n").count(), if line_break == "\n" { 0 } else { breaks });
        prop_assert_eq!(edited.text.ends_with('\n'), text.ends_with('\n'));
    }
}
