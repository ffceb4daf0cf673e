//! `prestop function`: a function of the Kubernetes Resource Model. It reads a `ResourceList` and
//! writes it with hooks and results:
//! <https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md>.

pub(super) mod results;

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use json_patch::Patch as JsonPatch;
use prestop_core::engine::template::is_list;
use prestop_core::policy::{NamespaceRule, Policy};
use prestop_manifest::Documents;
use serde_json::{Value, json};

use self::results::{FunctionResult, Results};
use super::super::input::Input;
use super::super::{Exit, tell};
use super::output::FileOutput;
use super::{Mode, Run, tell_errors};
use crate::cli::{Color, FunctionArguments, ManifestArguments, OutputForm};
use crate::config::Config;

/// Key of a configuration in a `ConfigMap`; the same as in the chart.
const CONFIG_KEY: &str = "prestop.yaml";
/// Kind and group of a configuration.
const CONFIG_KIND: (&str, &str) = ("Configuration", "prestop.dev/");

/// Processes standard input to standard output.
pub(in super::super) fn run(arguments: &FunctionArguments) -> anyhow::Result<Exit> {
    let input = Input::standard_input()?;
    let list = match resource_list(&input) {
        Ok(list) => list,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            return Ok(Exit::BadInput);
        }
    };
    let policy = Policy {
        kubernetes_version: Some(arguments.kubernetes_version),
        namespaces: if arguments.only_enabled {
            NamespaceRule::Enabled
        } else {
            NamespaceRule::NotDisabled
        },
        ..policy(list.get("functionConfig").unwrap_or(&Value::Null))?
    };
    let manifests = manifests(arguments);
    let mut run = Run::new(&manifests, Mode::Inject, policy);
    run.find_namespaces(&input);
    let inputs = [input];
    run.around = run.surroundings(&inputs)?;
    let [input] = &inputs;
    run.function(input, Results::new(arguments))
}

/// Returns the corresponding arguments of `inject`.
fn manifests(arguments: &FunctionArguments) -> ManifestArguments {
    ManifestArguments {
        paths: vec![PathBuf::from("-")],
        filenames: Vec::new(),
        output: Some(OutputForm::Yaml),
        in_place: false,
        check: arguments.check,
        namespace: arguments.namespace.clone(),
        kinds: arguments.kinds.clone(),
        color: Color::Never,
        quiet: false,
    }
}

/// Returns the only document of the input.
fn resource_list(input: &Input) -> anyhow::Result<Value> {
    let mut found = Vec::new();
    for document in input.documents()? {
        found.extend(document?.read()?);
    }
    match <[_; 1]>::try_from(found) {
        Ok([reading]) if is_resource_list(&reading.value) => Ok(reading.value),
        _ => Err(anyhow!(
            "standard input is not a ResourceList of config.kubernetes.io, as kustomize and kpt \
             write it; for manifests use prestop inject -"
        )),
    }
}

fn is_resource_list(value: &Value) -> bool {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    is_list(value)
        && text("kind") == "ResourceList"
        && text("apiVersion").starts_with("config.kubernetes.io/")
}

/// Returns the policy in the configuration of a function.
fn policy(config: &Value) -> anyhow::Result<Policy> {
    let text = |field: &str| config.get(field).and_then(Value::as_str).unwrap_or_default();
    let configuration = match (config, text("kind")) {
        (Value::Null, _) => return Ok(Policy::built_in()),
        (_, kind) if kind == CONFIG_KIND.0 && text("apiVersion").starts_with(CONFIG_KIND.1) => {
            // The metadata belong to the function: its name, and how it is run.
            let mut config = config.clone();
            if let Some(fields) = config.as_object_mut() {
                fields.shift_remove("metadata");
            }
            config.to_string()
        }
        (_, "ConfigMap") => {
            let data = config.get("data").and_then(Value::as_object);
            let mut keys = data.into_iter().flatten();
            match (keys.next(), keys.next()) {
                (None, _) => return Ok(Policy::built_in()),
                (Some((key, Value::String(text))), None) if key == CONFIG_KEY => text.clone(),
                _ => return Err(anyhow!("functionConfig: write one key in data: {CONFIG_KEY}")),
            }
        }
        (_, kind) => {
            return Err(anyhow!(
                "functionConfig: unknown kind {kind:?}; use a Configuration of prestop.dev/v1alpha1, \
                 or a ConfigMap with the key {CONFIG_KEY}"
            ));
        }
    };
    let parsed = Config::parse(&configuration).map_err(|error| {
        let problems = error.problems().iter();
        let problems = problems.map(|it| format!("\nfunctionConfig: {}: {}", it.path, it.message));
        anyhow!("invalid configuration{}", problems.collect::<String>())
    })?;
    Ok(parsed.into_policy())
}

impl Run<'_> {
    /// Writes the list with its hooks, or unchanged with `--check`, and the results.
    fn function(&self, input: &Input, results: Results) -> anyhow::Result<Exit> {
        let mut output = FileOutput::in_memory(Some(results));
        let outcome = self.file(input, &mut output)?;
        if !outcome.errors.is_empty() {
            tell_errors(&input.name, &outcome.errors);
            return Ok(Exit::BadInput);
        }
        for note in &outcome.notes {
            self.note(note);
        }
        let (mut text, results) = output.into_memory()?;
        if self.arguments.check {
            text.clear();
            input.read()?.read_to_string(&mut text)?;
        }
        let results = results.map_or_else(Vec::new, Results::into_all);
        let mut out = super::stdout();
        out.write_all(with_results(&text, &results)?.as_bytes())?;
        out.flush()?;
        let has_failed = results.iter().any(FunctionResult::is_error);
        Ok(if has_failed { Exit::Found } else { Exit::Done })
    }
}

/// Returns the list with these results after its existing ones.
fn with_results(text: &str, results: &[FunctionResult]) -> anyhow::Result<String> {
    if results.is_empty() {
        return Ok(text.to_owned());
    }
    let mut whole = String::with_capacity(text.len());
    for document in Documents::new(text.as_bytes()) {
        let document = document?;
        let Some(reading) = document.read()? else {
            whole.push_str(&document.text);
            continue;
        };
        let there = reading.value.get("results").and_then(Value::as_array).cloned();
        let mut all = there.unwrap_or_default();
        for result in results {
            all.push(serde_json::to_value(result)?);
        }
        let patch = json!([{"op": "add", "path": "/results", "value": all}]);
        let patch: JsonPatch = serde_json::from_value(patch)?;
        whole.push_str(&document.edited(&reading.value, &patch)?.text);
    }
    Ok(whole)
}
