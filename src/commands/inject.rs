//! `prestop inject` and `prestop uninject`: manifests in; manifests, diffs, patches or reports out.
//!
//! Documents are streamed, and so are the items of lists: memory does not grow with their number
//! beyond the text of one document. The result of a file is held back (on disk, if it is large)
//! until the whole file was parsed, so that a broken file gives no output at all, never half of it.

mod diff;
mod edit;
mod file;
mod fronts;
mod function;
mod joint;
mod output;
mod report;
pub(crate) mod rewrite;
mod signals;
mod undo;

use std::collections::HashMap;
use std::io::{self, Write};

use prestop_core::duration::AskedDelay;
use prestop_core::engine::settings::{DOMAIN, NamespaceSettings};
use prestop_core::engine::template::{Object, objects, objects_of_item};
use prestop_core::fronts::Surroundings;
use prestop_core::policy::{NamespaceRule, Policy};
use prestop_manifest::ManifestError;
use serde_json::Value;

use self::output::Output;
use self::report::Summary;
use super::input::{self, Input, list_of_objects};
use super::{Exit, tell};
use crate::cli::{
    FunctionArguments, InjectArguments, ManifestArguments, OutputForm, UninjectArguments,
};
use crate::cluster::api::Choice;

/// Data that is the same for all files.
struct Run<'a> {
    arguments: &'a ManifestArguments,
    mode: Mode,
    policy: Policy,
    /// The fronts of workloads, if any delay depends on them.
    around: Option<Surroundings<'static>>,
    /// Whether any delay depends on fronts.
    asks_for_fronts: bool,
    /// The cluster whose Services are considered as well.
    cluster: Option<Choice>,
    /// The namespaces that the input defines.
    namespaces: HashMap<String, NamespaceSettings>,
    /// The settings for objects in all other namespaces.
    unknown_namespace: NamespaceSettings,
}

/// Result of one file.
#[derive(Default)]
struct Outcome {
    summary: Summary,
    /// Number of documents that are not empty.
    documents: usize,
    errors: Vec<ManifestError>,
    /// Notes for standard error, printed if the whole file was parsed.
    notes: Vec<String>,
}

/// Result of all files.
struct Total {
    summary: Summary,
    documents: usize,
    exit: Exit,
}

/// Action on hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Inject hooks.
    Inject,
    /// Inject hooks, and renew existing hooks of prestop.
    Renew,
    /// Remove hooks.
    Uninject,
}

/// Injects hooks into all inputs of the arguments.
pub(super) fn run(arguments: &InjectArguments) -> anyhow::Result<Exit> {
    let policy = Policy {
        kubernetes_version: Some(arguments.kubernetes_version),
        namespaces: if arguments.only_enabled {
            NamespaceRule::Enabled
        } else {
            NamespaceRule::NotDisabled
        },
        ..super::policy(arguments.config.as_deref())?
    };
    let mode = if arguments.renew { Mode::Renew } else { Mode::Inject };
    let stray = arguments.cluster.stray().filter(|_| !arguments.fronts_from_cluster);
    if let Some(option) = stray {
        anyhow::bail!(
            "{option} has an effect only with --fronts-from-cluster; add it, or leave {option} out"
        );
    }
    let mut run = Run::new(&arguments.manifests, mode, policy);
    run.cluster = arguments.fronts_from_cluster.then(|| arguments.cluster.choice());
    let (exit, summary) = run.all()?;
    let has_problems = arguments.strict && summary.problems > 0;
    Ok(if exit == Exit::Done && has_problems { Exit::Found } else { exit })
}

/// Removes hooks from all inputs of the arguments.
pub(super) fn uninject(arguments: &UninjectArguments) -> anyhow::Result<Exit> {
    let run = Run::new(&arguments.manifests, Mode::Uninject, Policy::built_in());
    Ok(run.all()?.0)
}

/// Runs as a function of kustomize or kpt.
pub(super) fn function(arguments: &FunctionArguments) -> anyhow::Result<Exit> {
    function::run(arguments)
}

/// Missing inputs make the run fail, after all others were processed.
fn exit_of(missing: &[anyhow::Error]) -> Exit {
    if missing.is_empty() { Exit::Done } else { Exit::BadInput }
}

impl<'a> Run<'a> {
    fn new(arguments: &'a ManifestArguments, mode: Mode, policy: Policy) -> Self {
        Self {
            arguments,
            mode,
            asks_for_fronts: policy.default_delay == AskedDelay::Auto,
            policy,
            cluster: None,
            around: None,
            namespaces: HashMap::new(),
            unknown_namespace: NamespaceSettings::default(),
        }
    }

    /// Processes all inputs, one after the other.
    fn all(mut self) -> anyhow::Result<(Exit, Summary)> {
        let arguments = self.arguments;
        let (inputs, missing) = input::all(&arguments.inputs(), arguments.in_place)?;
        for error in &missing {
            tell(&format!("error: {error:#}"));
        }
        for input in &inputs {
            self.find_namespaces(input);
        }
        let around = match self.surroundings(&inputs) {
            Ok(around) => around,
            // Without fronts, delays would be wrong.
            Err(error) => {
                tell(&format!("error: {error:#}; nothing was injected"));
                return Ok((Exit::NoCluster, Summary::new(self.mode)));
            }
        };
        self.around = around;
        self.inputs(&inputs, exit_of(&missing))
    }

    /// Processes all inputs, after namespaces and fronts have been read from them.
    fn inputs(&self, inputs: &[Input], exit: Exit) -> anyhow::Result<(Exit, Summary)> {
        let arguments = self.arguments;
        let mut output = Output::new(arguments)?;
        let mut total = Total { summary: Summary::new(self.mode), documents: 0, exit };
        for input in inputs {
            self.input(input, &mut output, &mut total)?;
        }
        output.finish(&total.summary)?;
        if !output.has_summary() {
            self.note(&format!("prestop: {}", total.summary));
        }
        if total.exit == Exit::Done && total.documents == 0 {
            let what = match self.mode {
                Mode::Inject | Mode::Renew => "injected",
                Mode::Uninject => "taken out",
            };
            tell(&format!("error: no document in the input, so nothing can be {what}"));
            return Ok((Exit::BadInput, total.summary));
        }
        let is_found = arguments.check && total.summary.changed > 0;
        let exit = if total.exit == Exit::Done && is_found { Exit::Found } else { total.exit };
        Ok((exit, total.summary))
    }
    /// Reads the Namespaces of an input, which may come after their workloads, or in another file.
    /// Files that can't be read here are reported later, in their order.
    fn find_namespaces(&mut self, input: &Input) {
        let Ok(documents) = input.documents() else { return };
        for document in documents.map_while(Result::ok) {
            self.asks_for_fronts |=
                document.text.contains(AskedDelay::AUTO) && document.text.contains(DOMAIN);
            if !document.text.contains("Namespace") {
                continue;
            }
            let mut take = |objects: Vec<Object<'_>>| {
                let found = objects.iter().filter_map(Object::namespace_settings);
                self.namespaces.extend(found);
            };
            if let Some((list, frame)) = list_of_objects(&document) {
                for item in list.items().filter(|item| item.document.text.contains("Namespace")) {
                    if let Ok(Some(reading)) = item.document.read() {
                        let value = reading.value.pointer(item.pointer).unwrap_or(&Value::Null);
                        take(objects_of_item(value, &frame.value, item.pointer));
                    }
                }
            } else if let Ok(Some(reading)) = document.read() {
                take(objects(&reading.value));
            }
        }
    }

    /// Processes one file. Its errors are reported and do not affect other files.
    fn input(&self, input: &Input, output: &mut Output, total: &mut Total) -> anyhow::Result<()> {
        let mut file = output.file(input);
        let outcome = match self.file(input, &mut file) {
            Ok(outcome) => outcome,
            Err(error) => {
                tell(&format!("error: {}: {error:#}", input.name));
                total.exit = Exit::BadInput;
                return Ok(());
            }
        };
        total.documents += outcome.documents;
        if !outcome.errors.is_empty() {
            tell_errors(&input.name, &outcome.errors);
            total.exit = Exit::BadInput;
            return Ok(());
        }
        for note in &outcome.notes {
            self.note(note);
        }
        if let Err(error) = output.replace(&mut file, input) {
            tell(&format!("error: {}: can't be written: {error:#}", input.name));
            total.exit = Exit::BadInput;
            return Ok(());
        }
        output.print(file)?;
        total.summary.merge(&outcome.summary);
        Ok(())
    }

    fn is_report(&self) -> bool {
        matches!(self.arguments.output, Some(OutputForm::Report | OutputForm::Json))
    }

    fn note(&self, text: &str) {
        if !self.arguments.quiet {
            tell(text);
        }
    }
}

/// Prints each error, but an error that all documents of a template have only once.
fn tell_errors(name: &str, errors: &[ManifestError]) {
    for (index, error) in errors.iter().enumerate() {
        let before = errors.iter().take(index);
        let is_template = error.message.contains("; render it first");
        if !(is_template && before.into_iter().any(|other| other.message == error.message)) {
            tell(&format!("error: {name}: {error}"));
        }
    }
    tell(&format!("error: {name}: nothing was written for this file"));
}

/// Returns standard output, locked and buffered.
fn stdout() -> impl Write {
    io::BufWriter::new(io::stdout().lock())
}
