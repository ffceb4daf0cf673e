//! The values, their schema and the table in the README agree.
//! `UPDATE_GENERATED=1 cargo test chart` writes the generated files.

use std::fs;

use serde_json::{Map, Value, json};

use prestop_test_support::helm::documents;
use prestop_test_support::root;

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn write(file: &str, text: &str) {
    fs::write(root().join(file), text).unwrap();
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_GENERATED").is_some()
}

/// A documented value: its path, its default, its description.
struct Described {
    path: String,
    default: Value,
    text: String,
}

/// Returns the values with the comments above them that begin with two dashes.
fn described() -> Vec<Described> {
    let source = read("charts/prestop/values.yaml");
    let values = documents(&source).remove(0);
    let mut all = Vec::new();
    let (mut path, mut comment): (Vec<(usize, String)>, Option<String>) = (Vec::new(), None);
    for line in source.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix("# -- ") {
            comment = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("# ") {
            if let Some(comment) = &mut comment {
                comment.push(' ');
                comment.push_str(text);
            }
        } else if let Some((key, _)) = line.split_once(':')
            && !line.starts_with('-')
        {
            path.retain(|(at, _)| *at < indent);
            path.push((indent, key.to_owned()));
            let keys: Vec<_> = path.iter().map(|(_, key)| key.as_str()).collect();
            if let Some(text) = comment.take() {
                let default = values.pointer(&format!("/{}", keys.join("/"))).unwrap().clone();
                all.push(Described { path: keys.join("."), default, text });
            }
        } else if line.is_empty() {
            comment = None;
        }
    }
    all
}

/// Adds each leaf of the values: a value without keys.
fn ends(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        None => found.push(path.to_owned()),
        Some(map) => {
            for (key, value) in map {
                ends(value, format!("{path}.{key}").trim_start_matches('.'), found);
            }
        }
    }
}

#[test]
fn every_value_is_described() {
    let values = documents(&read("charts/prestop/values.yaml")).remove(0);
    let mut all = Vec::new();
    ends(&values, "", &mut all);
    assert!(all.len() > 80, "{}", all.len());
    let described = described();
    for path in all {
        let is_described = described
            .iter()
            .any(|known| known.path == path || path.starts_with(&format!("{}.", known.path)));
        assert!(is_described, "{path} has no comment that begins with # --");
    }
}

#[test]
fn the_readme_lists_the_values() {
    let mut table = String::from("\n| value | default | meaning |\n|---|---|---|\n");
    for Described { path, default, text } in described() {
        table.push_str(&format!("| `{path}` | `{default}` | {} |\n", text.replace('|', "\\|")));
    }
    let file = "charts/prestop/README.md";
    let text = read(file);
    let (begin, end) = ("<!-- begin values -->", "<!-- end values -->");
    let (head, rest) = text.split_once(begin).unwrap();
    let (old, tail) = rest.split_once(end).unwrap();
    let table = format!("{table}\n");
    if is_update() {
        write(file, &format!("{head}{begin}\n{}{end}{tail}", table.trim_start_matches('\n')));
        return;
    }
    assert_eq!(old.trim(), table.trim(), "{file}: run UPDATE_GENERATED=1 cargo test chart");
}

/// Every default has keys of the schema, and the schema has no other keys.
#[test]
fn the_schema_and_the_values_have_the_same_keys() {
    let schema: Value = serde_json::from_str(&read("charts/prestop/values.schema.json")).unwrap();
    let values = documents(&read("charts/prestop/values.yaml")).remove(0);
    assert_eq!(schema["additionalProperties"], false);
    // Set by charts with this one as a subchart.
    let foreign = ["enabled"];
    same_keys(&schema, &values, "", &foreign);
}

fn same_keys(schema: &Value, values: &Value, path: &str, foreign: &[&str]) {
    let (Some(properties), Some(values)) = (schema["properties"].as_object(), values.as_object())
    else {
        return;
    };
    let known: Vec<&String> =
        properties.keys().filter(|key| !foreign.contains(&key.as_str())).collect();
    for key in values.keys() {
        assert!(known.contains(&key), "{path}.{key} is not in the schema");
    }
    // Empty maps, selectors and probes have more fields than the chart sets.
    let is_open = values.is_empty() || ["Selector", "Probe"].iter().any(|end| path.ends_with(end));
    for key in known {
        assert!(is_open || values.contains_key(key), "{path}.{key} is in the schema only");
    }
    for (key, value) in values {
        same_keys(&properties[key], value, &format!("{path}.{key}"), &[]);
    }
}

/// The values alone show every field of the configuration.
#[test]
fn the_values_name_every_field_of_the_configuration() {
    let schema: Value = serde_json::from_str(&read("docs/prestop.schema.json")).unwrap();
    let described = described();
    let config = described.iter().find(|known| known.path == "config").unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let sections = properties.keys().filter(|key| !["apiVersion", "kind"].contains(&key.as_str()));
    let fields =
        ["defaults", "limits"].map(|section| properties[section]["properties"].as_object());
    let fields = fields.into_iter().flat_map(|fields| fields.unwrap().keys());
    let names: Vec<&String> = sections.chain(fields).collect();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let is_named = config.text.contains(&format!("`{name}`"));
        assert!(is_named, "charts/prestop/values.yaml: the comment on config does not name {name}");
    }
}

/// `config` may contain what the configuration file may contain, except for its first two lines.
#[test]
fn the_schema_contains_that_of_the_configuration() {
    let mut file: Value = serde_json::from_str(&read("docs/prestop.schema.json")).unwrap();
    let config: &mut Map<_, _> = file.as_object_mut().unwrap();
    for key in ["$schema", "title", "required"] {
        config.shift_remove(key);
    }
    for key in ["apiVersion", "kind"] {
        config["properties"].as_object_mut().unwrap().shift_remove(key);
    }
    let path = "charts/prestop/values.schema.json";
    let mut schema: Value = serde_json::from_str(&read(path)).unwrap();
    let known = &mut schema["properties"]["config"];
    if is_update() {
        *known = json!(config);
        write(path, &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
        return;
    }
    assert!(*known == json!(config), "{path}: run UPDATE_GENERATED=1 cargo test chart");
}

#[test]
fn versions_agree() {
    let chart = documents(&read("charts/prestop/Chart.yaml")).remove(0);
    for field in ["version", "appVersion"] {
        assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field}");
    }
    let images = chart["annotations"]["artifacthub.io/images"].as_str().unwrap();
    assert!(images.contains(&format!("prestop:{}", env!("CARGO_PKG_VERSION"))), "{images}");
    for annotation in ["license", "category", "links", "changes"] {
        let annotation = &chart["annotations"][format!("artifacthub.io/{annotation}")];
        assert!(annotation.is_string());
    }
}
