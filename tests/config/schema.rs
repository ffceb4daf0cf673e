//! The schema, the example and the reference page agree with the built-in policy.

use std::{env, fs};

use prestop::config::{Config, json_schema};
use prestop::webhook::settings::ServeSettings;
use prestop_core::policy::Policy;
use serde_json::Value;

use super::{HEADER, policy, repository};

#[test]
fn the_schema_has_the_bounds_of_the_numbers() {
    let schema = json_schema();
    let server = &schema["properties"]["server"]["properties"];
    let numbers = server.as_object().unwrap().iter();
    let numbers: Vec<_> = numbers.filter(|(_, field)| field["type"] == "integer").collect();
    assert_eq!(numbers.len(), 4);
    for (name, field) in numbers {
        let (least, most) =
            (field["minimum"].as_i64().unwrap(), field["maximum"].as_i64().unwrap());
        let path = format!("server.{name}");
        let is_refused = |number: i64| {
            // The shortest body, so that any number of bytes in flight is valid with it.
            let body = if name == "maximumBodyBytes" { "" } else { "maximumBodyBytes: 65536, " };
            let text = format!("{HEADER}server: {{{body}{name}: {number}}}\n");
            let error = Config::parse(&text).err();
            error.is_some_and(|error| error.problems().iter().any(|problem| problem.path == path))
        };
        assert!(!is_refused(least) && !is_refused(most), "{name}");
        assert!(is_refused(least - 1) && is_refused(most + 1), "{name}");
    }
}

#[test]
fn the_published_schema_is_current() {
    let path = repository("docs/prestop.schema.json");
    let schema = format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap());
    if env::var_os("UPDATE_GENERATED").is_some_and(|value| value == "1") {
        fs::write(&path, &schema).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == schema,
        "docs/prestop.schema.json is out of date: run UPDATE_GENERATED=1 cargo test"
    );
}

#[test]
fn the_example_names_every_field_with_its_default() {
    let text = fs::read_to_string(repository("examples/prestop.yaml")).unwrap();
    let (policy, settings) = Config::parse(&text).unwrap().into_parts();
    assert_eq!((policy, settings), (Policy::built_in(), ServeSettings::default()));
    for field in fields(&json_schema(), "") {
        let name = field.rsplit('.').next().unwrap();
        let shown = text.lines().any(|line| {
            let line = line.trim_start().trim_start_matches("# ");
            line.starts_with(&format!("{name}:"))
        });
        assert!(shown || field.contains("[]"), "no {field}");
    }
}

#[test]
fn the_defaults_in_the_schema_are_the_built_in_ones() {
    let mut file = json_schema();
    let defaults = defaults(&mut file);
    assert_eq!(defaults["limits"]["maximumDelay"], "5m");
    let text = format!(
        "{HEADER}{}",
        defaults
            .as_object()
            .unwrap()
            .iter()
            .fold(String::new(), |text, (name, value)| format!("{text}{name}: {value}\n"),)
    );
    let (policy, settings) = Config::parse(&text).unwrap().into_parts();
    assert_eq!((policy, settings), (Policy::built_in(), ServeSettings::default()));
}

#[test]
fn the_reference_page_names_every_field_and_its_examples_are_read() {
    let page = fs::read_to_string(repository("docs/configuration.md")).unwrap();
    for field in fields(&json_schema(), "") {
        let field = field.replace("profiles.entries[].", "").replace("programs[].", "");
        assert!(page.contains(&format!("| `{field}` |")), "no row for {field}");
    }
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 2, "the examples were not found");
    for example in examples {
        policy(example);
    }
}

/// Returns the path of each field that is not a section, such as `limits.maximumDelay`.
fn fields(schema: &Value, path: &str) -> Vec<String> {
    let Some(properties) = schema["properties"].as_object() else {
        return match schema["items"].as_object() {
            Some(items) if items.contains_key("properties") => {
                fields(&schema["items"], &format!("{path}[]"))
            }
            _ => vec![path.to_owned()],
        };
    };
    let join = |name: &String| match path {
        "" => name.clone(),
        _ => format!("{path}.{name}"),
    };
    properties.iter().flat_map(|(name, schema)| fields(schema, &join(name))).collect()
}

/// Returns the defaults in a schema, in the shape of a file.
fn defaults(schema: &mut Value) -> Value {
    let Some(properties) = schema["properties"].as_object_mut() else {
        return schema["default"].take();
    };
    let values = properties.iter_mut().map(|(name, schema)| (name.clone(), defaults(schema)));
    Value::Object(values.filter(|(name, value)| name != "profiles" && !value.is_null()).collect())
}
