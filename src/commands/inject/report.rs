//! Reports of decisions: one block of text per workload, or the same as JSON for machines.
//!
//! Reports the changes, the source of each value, skipped parts with reasons, and how to fix them.
//! Pure: writes to the given output.

mod hook;
mod undone;

use std::borrow::Cow;
use std::fmt::{self, Write};

use prestop_core::catalogue::Profile;
use prestop_core::duration::HumanSeconds;
use prestop_core::engine::offline::{self, Note};
use prestop_core::engine::printable::printable;
use prestop_core::engine::reason::{AsideReason, Explanation, Problem};
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::Workload;
use prestop_core::engine::{ContainerDecision, ContainerOutcome, Decision, MainBy, Outcome};
use prestop_core::policy::Policy;
use serde::Serialize;
use serde_json::{Value, json};

use self::hook::HookReport;
use super::Mode;

/// The version of the JSON report. New fields can be added; existing ones keep their meaning.
pub(super) const API_VERSION: &str = "prestop.dev/v1alpha1";
/// The kind of the JSON report.
pub(super) const KIND: &str = "InjectReport";

/// Maximum length of a title. Names come from users; Kubernetes' own are shorter.
const LONGEST_TITLE: usize = 400;

/// Position of a workload.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DocumentPlace {
    /// The name of the file as given; `-` for standard input.
    pub file: String,
    /// The document in the file, from 1.
    pub document: usize,
    /// The line at which the document begins, from 1.
    pub line: usize,
}

/// The report on one workload.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkloadReport<'a> {
    #[serde(flatten)]
    place: &'a DocumentPlace,
    api_version: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    changed: bool,
    /// The action on a changed workload, in the past tense.
    #[serde(skip)]
    done: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_period: Option<GraceReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    main_container: Option<MainReport<'a>>,
    containers: Vec<ContainerReport<'a>>,
    problems: Vec<ProblemReport<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<NoteReport>,
}

/// A code with its explanation.
#[derive(Debug, Clone, Serialize)]
struct Told {
    code: &'static str,
    sentence: Cow<'static, str>,
    advice: Cow<'static, str>,
}

impl Told {
    /// Replaces a word in the advice by the name.
    fn about(mut self, word: &str, name: &str) -> Self {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if !name.is_empty() && name.bytes().all(is_name) && self.advice.contains(word) {
            self.advice = Cow::Owned(self.advice.replace(word, name));
        }
        self
    }
}

/// Grace periods in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct GraceReport {
    before_seconds: i64,
    after_seconds: i64,
}

/// The container to which settings of the pod apply.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct MainReport<'a> {
    name: &'a str,
    is_guess: bool,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerReport<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<HookReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<ProfileReport<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct ProfileReport<'a> {
    name: &'a str,
    reason: &'a str,
    link: &'a str,
}

#[derive(Debug, Clone, Serialize)]
struct NoteReport {
    code: &'static str,
    place: String,
    detail: String,
    sentence: &'static str,
    advice: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct ProblemReport<'a> {
    code: &'static str,
    place: &'a str,
    detail: &'a str,
    sentence: &'static str,
    advice: &'static str,
}

impl<'a> WorkloadReport<'a> {
    /// Creates the report. `namespace` is the namespace in which the workload will be.
    #[must_use]
    pub(super) fn new(
        place: &'a DocumentPlace,
        workload: &'a Workload<'a>,
        (namespace, settings): (&'a str, &NamespaceSettings),
        decision: &'a Decision<'a>,
        policy: &'a Policy,
    ) -> Self {
        let (reason, grace_period) = match &decision.outcome {
            Outcome::Skipped(reason) => {
                let mut told = Told::from(reason.explanation()).about("NAME", namespace);
                if let Some(sentence) = offline::sentence(*reason, workload) {
                    told.sentence = Cow::Owned(sentence);
                }
                (Some(told), None)
            }
            Outcome::Injected(injection) => {
                let before_seconds = injection.grace.before_seconds;
                let after_seconds = injection.grace.after_seconds;
                (None, Some(GraceReport { before_seconds, after_seconds }))
            }
        };
        let containers = decision.containers.iter();
        let notes = offline::notes(workload, settings, decision, policy);
        Self {
            place,
            api_version: workload.api_version,
            kind: workload.kind,
            namespace,
            name: workload.name,
            changed: decision.is_injected(),
            done: "injected",
            reason,
            grace_period,
            main_container: decision
                .main
                .map(|main| MainReport { name: main.name, is_guess: main.found == MainBy::First }),
            containers: containers
                .map(|container| ContainerReport::new(container, workload, policy))
                .collect(),
            problems: decision.problems.iter().map(ProblemReport::from).collect(),
            notes: notes.into_iter().map(NoteReport::from).collect(),
        }
    }

    /// Creates the report on a workload that is skipped without a decision.
    #[must_use]
    pub(super) fn aside(
        place: &'a DocumentPlace,
        workload: &'a Workload<'a>,
        namespace: &'a str,
        reason: AsideReason,
    ) -> Self {
        Self {
            place,
            api_version: workload.api_version,
            kind: workload.kind,
            namespace,
            name: workload.name,
            changed: false,
            done: "",
            reason: Some(reason.explanation().into()),
            grace_period: None,
            main_container: None,
            containers: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Returns the title, such as `Deployment shop/web`.
    #[must_use]
    pub(super) fn title(&self) -> String {
        let name = if self.name.is_empty() { "(no name)" } else { self.name };
        let title = format!("{} {}/{name}", self.kind, self.namespace);
        printable(&title, LONGEST_TITLE)
    }

    /// Returns the target of a patch.
    #[must_use]
    pub(super) fn target(&self) -> Value {
        json!({
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        })
    }

    /// Writes the block of text for people.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn write_text(&self, out: &mut impl Write) -> fmt::Result {
        writeln!(
            out,
            "{}  ({}, document {}, line {})",
            self.title(),
            self.place.file,
            self.place.document,
            self.place.line
        )?;
        match (self.grace_period, &self.reason) {
            (Some(grace), _) => writeln!(
                out,
                "  {}; grace period {} -> {}",
                self.done,
                HumanSeconds(grace.before_seconds),
                HumanSeconds(grace.after_seconds)
            )?,
            (None, Some(reason)) => {
                writeln!(out, "  skipped ({}): {}", reason.code, reason.sentence)?;
                writeln!(out, "    -> {}", reason.advice)?;
            }
            (None, None) => {}
        }
        if let Some(main) = self.main_container.filter(|main| main.is_guess) {
            let name = printable(main.name, LONGEST_TITLE);
            writeln!(
                out,
                "  main container {name}: the first of several that are not sidecars; \
                 kubectl.kubernetes.io/default-container selects another"
            )?;
        }
        for container in &self.containers {
            container.write_text(out)?;
        }
        for problem in &self.problems {
            write!(out, "  problem ({}): {}", problem.code, problem.place)?;
            let detail = if problem.detail.is_empty() { problem.sentence } else { problem.detail };
            writeln!(out, ": {detail}\n    -> {}", problem.advice)?;
        }
        for note in &self.notes {
            let detail = if note.detail.is_empty() { note.sentence } else { &note.detail };
            writeln!(
                out,
                "  note ({}): {}: {detail}\n    -> {}",
                note.code, note.place, note.advice
            )?;
        }
        Ok(())
    }
}

impl<'a> ContainerReport<'a> {
    fn new(
        decision: &'a ContainerDecision<'a>,
        workload: &'a Workload<'a>,
        policy: &'a Policy,
    ) -> Self {
        let containers = workload.pod.spec.value().and_then(|spec| spec.containers.value());
        let container = containers.and_then(|containers| containers.get(decision.index)?.value());
        let (hook, reason, profile) = match &decision.outcome {
            ContainerOutcome::Injected(injected) => {
                (Some(HookReport::from(injected)), None, injected.profile)
            }
            ContainerOutcome::Earlier(_) => (
                None,
                Some(Told {
                    code: "injected-earlier",
                    sentence: Cow::Borrowed(EARLIER),
                    advice: Cow::Borrowed("Nothing."),
                }),
                None,
            ),
            ContainerOutcome::LeftAlone(reason) => {
                let told = Told::from(reason.explanation()).about("CONTAINER", decision.name);
                (None, Some(told), None)
            }
        };
        let profile = profile.and_then(|name| policy.catalogue.by_name(name));
        Self {
            name: decision.name,
            image: container.and_then(|container| container.image.value()).map(AsRef::as_ref),
            hook,
            reason,
            profile: profile.map(ProfileReport::from),
            notes: decision.notes.iter().map(ToString::to_string).collect(),
        }
    }

    fn write_text(&self, out: &mut impl Write) -> fmt::Result {
        let name = if self.name.is_empty() { "(no name)" } else { self.name };
        let title = format!("{name} ({})", self.image.unwrap_or("no image"));
        writeln!(out, "  container {}", printable(&title, LONGEST_TITLE))?;
        if let Some(reason) = &self.reason {
            writeln!(out, "    skipped ({}): {}", reason.code, reason.sentence)?;
            writeln!(out, "      -> {}", reason.advice)?;
        }
        if let Some(hook) = &self.hook {
            hook.write_text(out)?;
        }
        for note in &self.notes {
            writeln!(out, "    note     {note}")?;
        }
        if let Some(profile) = &self.profile {
            writeln!(out, "    profile  {}: {}", profile.name, profile.reason)?;
            if !profile.link.is_empty() {
                writeln!(out, "             {}", profile.link)?;
            }
        }
        Ok(())
    }
}

const EARLIER: &str = "prestop injected its hook earlier.";

impl<'a> From<&'a Profile> for ProfileReport<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self { name: &profile.name, reason: &profile.reason, link: &profile.link }
    }
}

impl<'a> From<&'a Problem> for ProblemReport<'a> {
    fn from(problem: &'a Problem) -> Self {
        let Explanation { code, sentence, advice } = problem.code.explanation();
        Self { code, place: &problem.place, detail: &problem.detail, sentence, advice }
    }
}

impl From<Explanation> for Told {
    fn from(Explanation { code, sentence, advice }: Explanation) -> Self {
        Self { code, sentence: Cow::Borrowed(sentence), advice: Cow::Borrowed(advice) }
    }
}

impl From<Note> for NoteReport {
    fn from(note: Note) -> Self {
        let Explanation { code, sentence, advice } = note.code.explanation();
        Self { code, place: note.place, detail: note.detail, sentence, advice }
    }
}

/// Counts of workloads by result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// All workloads.
    pub workloads: usize,
    /// Workloads that get at least one hook.
    pub changed: usize,
    /// Workloads that are not changed.
    pub left_alone: usize,
    /// Settings that could not be applied as requested.
    pub problems: usize,
    /// Verb for the change.
    #[serde(skip)]
    verb: &'static str,
}

impl Summary {
    /// Creates an empty summary.
    pub(super) fn new(mode: Mode) -> Self {
        let verb = match mode {
            Mode::Inject => "inject",
            Mode::Renew => "inject or renew",
            Mode::Uninject => "uninject",
        };
        Self { verb, ..Self::default() }
    }

    /// Counts a workload.
    pub(super) fn add(&mut self, decision: &Decision<'_>) {
        self.workloads += 1;
        if decision.is_injected() {
            self.changed += 1;
        } else {
            self.left_alone += 1;
        }
        self.problems += decision.problems.len();
    }

    /// Counts a workload that is skipped without a decision.
    pub(super) fn add_aside(&mut self) {
        self.workloads += 1;
        self.left_alone += 1;
    }

    /// Adds the counts of another summary.
    pub(super) fn merge(&mut self, other: &Self) {
        self.workloads += other.workloads;
        self.changed += other.changed;
        self.left_alone += other.left_alone;
        self.problems += other.problems;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let Self { workloads, changed, left_alone, problems, verb } = self;
        write!(f, "{workloads} workload{}: {changed} to {verb}, ", plural(*workloads))?;
        write!(f, "{left_alone} skipped, {problems} problem{}", plural(*problems))
    }
}
