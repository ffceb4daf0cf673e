//! Each item of a list is decided separately, and the output is one list again.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use prestop_manifest::{Document, Documents};
use serde_json::{Value, json};

use super::{deployment, piped, stderr, stdout};

fn only(text: &str) -> Document {
    Documents::new(text.as_bytes()).next().unwrap().unwrap()
}

fn value(text: &str) -> Value {
    only(text).value().unwrap().unwrap()
}

fn item(name: &str) -> String {
    deployment(name).trim_end().replace('\n', "\n  ")
}

#[test]
fn an_item_gets_what_it_gets_alone() {
    let alone = stdout(&piped(&["-q", "-"], &deployment("web")));
    let indented = alone.trim_end().replace('\n', "\n  ");
    let list = |item: &str| {
        format!("apiVersion: v1\nitems:\n# one\n- {item}\n# two\n- a: 1\n- {item}\nkind: List\n")
    };
    assert_eq!(stdout(&piped(&["-q", "-"], &list(&item("web")))), list(&indented));
}

#[test]
fn json_lists_keep_their_layout() {
    let object = value(&deployment("web"));
    let list = json!({"apiVersion": "v1", "items": [object, {"a": 1}, object], "kind": "List"});
    for text in [list.to_string(), serde_json::to_string_pretty(&list).unwrap()] {
        let result = stdout(&piped(&["-q", "-"], &text));
        assert_eq!(result.matches('\n').count() > 0, text.contains('\n'));
        let after = value(&result);
        assert_eq!(after["items"][0], after["items"][2]);
        assert_eq!(after["items"][1], json!({"a": 1}));
        assert!(
            after["items"][0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
                .is_number()
        );
        assert_eq!(stdout(&piped(&["-q", "-"], &result)), result);
    }
}

#[test]
fn an_item_that_has_to_be_rewritten_stays_in_its_list() {
    let odd = "apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec:\n    containers:\n    - {name: a, image: b, lifecycle: { # c\n      }}";
    let list = format!("kind: List\napiVersion: v1\nitems:\n- {}\n- {odd}\n", item("web"));
    let output = piped(&["-"], &list);
    let items = value(&stdout(&output))["items"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(2), "{}", stdout(&output));
    assert!(items[1]["spec"]["containers"][0]["lifecycle"]["preStop"].is_object());
    assert!(stderr(&output).contains("2 workloads: 2 to inject"), "{}", stderr(&output));
}

#[test]
fn errors_in_items_have_their_place_in_the_file() {
    let twice = deployment("web").replace("image:", "image: a\n        image:");
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- a: 1\n- {}\n",
        twice.trim_end().replace('\n', "\n  ")
    );
    let output = piped(&["-"], &list);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains(
            "duplicate key `image`; remove one of the two (document 1, line 19, column 11)"
        ),
        "{}",
        stderr(&output)
    );
}

/// Thousands of objects on one line; each change used to scan the whole line.
#[test]
fn long_lines_cost_no_more_than_short_ones() {
    let one = value(&deployment("web")).to_string();
    let list = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}",
        vec![one; 3000].join(",")
    );
    // A single document without a list, which is not split into items.
    let mut containers = String::new();
    for number in 0..900 {
        write!(containers, "{{\"name\":\"c{number}\",\"image\":\"registry.example.com/a/b:1\",\"args\":[\"{}\"]}},", "x".repeat(1000)).unwrap();
    }
    let pod = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"a\"}},\"spec\":{{\"containers\":[{}]}}}}",
        containers.trim_end_matches(',')
    );
    for text in [list, pod] {
        let start = Instant::now();
        let output = piped(&["-q", "-"], &text);
        assert!(output.status.success() && output.stdout.len() > text.len(), "{}", stderr(&output));
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    }
}
