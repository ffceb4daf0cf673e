//! The chart's annotations for Artifact Hub, as it documents them and as its linter (`ah lint`, which can't be built
//! from a module proxy) reads them: <https://artifacthub.io/docs/topics/annotations/helm/>.

use serde_json::Value;

use super::*;

const PREFIX: &str = "artifacthub.io/";
const FLAGS: [&str; 3] = ["operator", "prerelease", "containsSecurityUpdates"];
const CATEGORIES: [&str; 8] = [
    "ai-machine-learning",
    "database",
    "integration-delivery",
    "monitoring-logging",
    "networking",
    "security",
    "storage",
    "streaming-messaging",
];
const KINDS: [&str; 6] = ["added", "changed", "deprecated", "removed", "fixed", "security"];
/// Annotations that are lists, written as text, with the fields of their items that have to be there.
const LISTS: [(&str, &[&str]); 5] = [
    ("changes", &["kind", "description"]),
    ("images", &["name", "image"]),
    ("links", &["name", "url"]),
    ("screenshots", &["title", "url"]),
    ("recommendations", &["url"]),
];

/// What is wrong with an annotation.
fn problem(name: &str, value: &Value) -> Option<String> {
    let Some(name) = name.strip_prefix(PREFIX) else {
        return Some(format!("{name}: not Artifact Hub's"));
    };
    let Some(text) = value.as_str() else { return Some(format!("{name}: not a string: {value}")) };
    if FLAGS.contains(&name) {
        return (!["true", "false"].contains(&text)).then(|| format!("{name}: {text}"));
    }
    if let Some((_, fields)) = LISTS.iter().find(|(list, _)| *list == name) {
        return list_problem(text, fields).map(|problem| format!("{name}: {problem}"));
    }
    match name {
        "category" => (!CATEGORIES.contains(&text)).then(|| format!("category {text}")),
        "license" => (text != env!("CARGO_PKG_LICENSE")).then(|| format!("license {text}")),
        _ => Some(format!("{name} is not known")),
    }
}

fn list_problem(text: &str, fields: &[&str]) -> Option<String> {
    let Ok(Value::Array(items)) = serde_saphyr::from_str::<Value>(text) else {
        return Some("not a list".to_owned());
    };
    let wrong = |item: &Value| {
        let Some(item) = item.as_object() else { return true };
        let has = |field: &&str| {
            item.get(*field).and_then(Value::as_str).is_some_and(|it| !it.is_empty())
        };
        let is_kind = item.get("kind").is_none_or(|kind| KINDS.iter().any(|known| kind == known));
        let is_url =
            item.get("url").is_none_or(|url| url.as_str().unwrap().starts_with("https://"));
        item.len() != fields.len() || !fields.iter().all(has) || !is_kind || !is_url
    };
    items.iter().find(|item| wrong(item)).map(ToString::to_string)
}

fn chart() -> Value {
    serde_saphyr::from_str(&read(root().join("charts/prestop/Chart.yaml"))).unwrap()
}

#[test]
fn the_annotations_of_the_chart_are_what_artifact_hub_reads() {
    let chart = chart();
    let annotations = chart["annotations"].as_object().unwrap();
    let problems: Vec<_> =
        annotations.iter().filter_map(|(name, value)| problem(name, value)).collect();
    assert!(problems.is_empty(), "{problems:?}");
    // Listed as missing otherwise.
    for field in ["description", "icon", "home", "keywords", "maintainers", "sources"] {
        assert!(!chart[field].is_null(), "{field}");
    }
    for maintainer in chart["maintainers"].as_array().unwrap() {
        assert!(maintainer["name"].is_string() && maintainer["email"].is_string(), "{maintainer}");
    }
    for file in ["README.md", "values.schema.json"] {
        assert!(root().join("charts/prestop").join(file).is_file(), "{file}");
    }
}

/// Pictures and pages that the chart names are files of this repository.
#[test]
fn what_the_chart_links_to_is_there() {
    let text = read(root().join("charts/prestop/Chart.yaml"));
    let ours = [("/raw/main/", 3), ("/blob/main/", 1), ("/tree/main/", 1)];
    for (place, at_least) in ours {
        let files = text.split(place).skip(1).map(|rest| rest.split_whitespace().next().unwrap());
        let files: Vec<_> = files.collect();
        assert!(files.len() >= at_least, "{place}: {files:?}");
        for file in files {
            assert!(root().join(file).exists(), "{file}");
        }
    }
}

#[test]
fn wrong_annotations_are_found() {
    for (name, value) in [
        ("example.com/category", "networking"),
        ("artifacthub.io/screenshot", "- title: a\n  url: https://example.com"),
        ("artifacthub.io/operator", "no"),
        ("artifacthub.io/category", "network"),
        ("artifacthub.io/license", "Apache"),
        ("artifacthub.io/links", "name: a"),
        ("artifacthub.io/links", "- name: a"),
        ("artifacthub.io/links", "- name: a\n  url: example.com"),
        ("artifacthub.io/changes", "- kind: new\n  description: a"),
        ("artifacthub.io/changes", "- kind: added\n  description: a\n  since: 1"),
        ("artifacthub.io/images", "- name: a\n  image: ''"),
    ] {
        assert!(problem(name, &Value::from(value)).is_some(), "{name}: {value}");
    }
    assert!(problem("artifacthub.io/operator", &Value::from(false)).is_some());
}
