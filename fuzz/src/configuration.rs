//! Configurations: a text is either refused with positions in it, or results in a configuration
//! that the schema allows and that works for pods. Half of the inputs are texts, the others are
//! fields of the schema with all kinds of values.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use json_patch::Patch;
use jsonschema::Validator;
use prestop::config::{Config, json_schema};
use prestop_core::admission::patch;
use prestop_core::engine::decide;
use prestop_core::engine::pod::Pod;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::policy::{NamespaceRule, Policy};
use serde_json::{Map, Value, json};

static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);
static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&SCHEMA).unwrap());

/// Values for fields of any type.
const SCALARS: [&str; 40] = [
    "0",
    "1",
    "5",
    "30",
    "120",
    "600",
    "3600",
    "65536",
    "1000000",
    "-1",
    "1.5",
    "true",
    "false",
    "null",
    "auto",
    "none",
    "5s",
    "10s",
    "10s-2m",
    "90s",
    "1h",
    "720h",
    "87600h",
    "0s",
    "text",
    "json",
    "info",
    "debug",
    "always",
    "never",
    "when-needed",
    "keep",
    "extend",
    "present",
    "absent",
    "connections",
    "termination-message",
    "\"1.3\"",
    "nginx",
    "Job",
];

/// The first byte selects the kind of input: the other bytes are a text, or the choices for a file.
pub fn target(bytes: &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) if first & 1 == 0 => {
            if let Ok(text) = str::from_utf8(rest) {
                holds(text);
            }
        }
        Some((_, rest)) => {
            let mut choices = Unstructured::new(rest);
            if let Ok(file) = object(&SCHEMA, &mut choices) {
                holds(&yaml(file));
            }
        }
        None => {}
    }
}

fn yaml(file: Map<String, Value>) -> String {
    let header = "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\n";
    let fields =
        file.into_iter().filter(|(name, _)| !["apiVersion", "kind"].contains(&name.as_str()));
    fields.fold(header.to_owned(), |text, (name, value)| format!("{text}{name}: {value}\n"))
}

/// Returns an object with some of the schema's fields, whose values may be valid.
fn object(schema: &Value, choices: &mut Unstructured<'_>) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if choices.ratio(1, 3)? {
            object.insert(name.clone(), value(field, choices)?);
        }
    }
    if choices.ratio(1, 50)? {
        object.insert("unknown".to_owned(), Value::Null);
    }
    Ok(object)
}

fn value(schema: &Value, choices: &mut Unstructured<'_>) -> Result<Value> {
    if choices.ratio(1, 30)? {
        return scalar(choices);
    }
    if schema["properties"].is_object() {
        return Ok(object(schema, choices)?.into());
    }
    if schema["items"].is_object() {
        let count = choices.int_in_range(0..=3)?;
        return (0..count).map(|_| value(&schema["items"], choices)).collect();
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.is_empty())
        && !choices.ratio(1, 10)?
    {
        return Ok(choices.choose(words)?.clone());
    }
    scalar(choices)
}

fn scalar(choices: &mut Unstructured<'_>) -> Result<Value> {
    let text = *choices.choose(&SCALARS)?;
    Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

/// Checks all promises for a text.
fn holds(text: &str) {
    match Config::parse(text) {
        Err(error) => {
            assert!((1..=20).contains(&error.problems().len()));
            // In YAML a single carriage return is a line break as well.
            let breaks = text.matches(['\n', '\r']).count() - text.matches("\r\n").count();
            let lines = u64::try_from(breaks + 1).unwrap();
            for problem in error.problems() {
                assert!(!problem.message.is_empty(), "{text:?}");
                assert!(
                    (1..=lines + 1).contains(&problem.line) && problem.column > 0,
                    "{problem:?}"
                );
                let told = format!("{}{}", problem.path, problem.message);
                assert!(!told.contains(char::is_control), "{told:?}");
            }
            assert_eq!(Config::parse(text), Err(error), "not the same twice");
        }
        Ok(config) => {
            if let Some(value) = value_of(text) {
                let told = VALIDATOR.validate(&value).map_err(|error| error.to_string());
                assert_eq!(told, Ok(()), "{text}");
            }
            let policy = Policy { namespaces: NamespaceRule::NotDisabled, ..config.into_policy() };
            is_consistent(&policy);
            injects_what_fits(&policy);
        }
    }
}

/// Parses the text as other readers of YAML 1.2 do.
fn value_of(text: &str) -> Option<Value> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).ok()
}

fn is_consistent(policy: &Policy) {
    assert!(policy.maximum_grace_period_seconds > policy.maximum_delay_seconds);
    let most = policy.default_delay.at_most(policy.maximum_delay_seconds);
    assert_eq!(policy.default_delay, most, "the default is above the maximum");
}

/// Checks that a pod under this policy gets a patch that applies, with hooks that fit into its
/// grace period.
fn injects_what_fits(policy: &Policy) {
    let pod = json!({"metadata": {}, "spec": {"containers": [
        {"name": "web", "image": "nginx:1.15"}, {"name": "app", "image": "example.com/app:1"},
        {"name": "proxy", "image": "istio/proxyv2:1.20.0"},
    ]}});
    let view = Pod::from_value(&pod);
    let namespace = NamespaceSettings::default();
    let decision = decide(&view, &namespace, policy);
    let Some(patch) = patch::to_json(&decision, "") else { return };
    let patch: Patch = serde_json::from_slice(&patch).unwrap();
    let mut after = pod.clone();
    json_patch::patch(&mut after, &patch).expect("the patch applies");
    let grace = after["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    for container in decision.containers.iter().filter_map(|container| container.injected()) {
        assert!(container.hook.delay_seconds() <= grace, "{container:?}");
    }
}
