//! Facts that only the whole workload shows, and that the webhook, which receives only pods, does
//! not know: a pod template in another object, misplaced prestop.dev keys, how the workload
//! replaces its pods.

use std::fmt;

use serde_json::Value;

use super::printable::printable;
use super::reason::{Explanation, Problem, ProblemCode, SkipReason};
use super::settings::{INJECT_LABEL, NamespaceSettings, is_setting};
use super::template::Workload;
use super::{Decision, Outcome, decide_behind as decide_pod_behind};
use crate::catalogue::ImageReference;
use crate::fronts::{AskedFront, FrontDelay};
use crate::policy::Policy;

const LONGEST_NAME: usize = 80;

/// A note about a workload for readers of the report. Unlike a problem, it does not concern a
/// setting that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The subject of the note.
    pub code: NoteCode,
    /// The place: `container web`, or the kind of the workload.
    pub place: String,
    /// Details; may be empty.
    pub detail: String,
}

/// Subject of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoteCode {
    /// The next pod is created only after this one is gone.
    UpdateWaitsForPod,
    /// There is one pod, and a second one only during updates.
    OnePod,
    /// No profile matches the image.
    UnknownImage,
}

impl NoteCode {
    /// Every code.
    pub const ALL: [Self; 3] = [Self::UpdateWaitsForPod, Self::OnePod, Self::UnknownImage];

    /// Code, sentence and advice.
    #[must_use]
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::UpdateWaitsForPod => Explanation {
                code: "update-waits-for-pod",
                sentence: "An update creates the next pod only after this one is gone: the delay prolongs each update and saves no requests.",
                advice: "Let updates start the next pod first (RollingUpdate, two replicas), or annotate the pod template prestop.dev/delay: 0s.",
            },
            Self::OnePod => Explanation {
                code: "one-pod",
                sentence: "There is only one pod. An update starts the next one first; a drain of its node drops requests if the next pod takes longer to start than the delay.",
                advice: "Run two replicas and a PodDisruptionBudget if that matters.",
            },
            Self::UnknownImage => Explanation {
                code: "unknown-image",
                sentence: "No profile matches this image: the container gets the delay only, and has to end gracefully on its stop signal.",
                advice: "None if it does; otherwise set a profile (prestop.dev/profile) or a command (prestop.dev/quit-command), or add a profile to the configuration.",
            },
        }
    }
}

/// Decides on a workload as on the pods that it creates.
#[must_use]
pub fn decide<'a>(
    workload: &'a Workload<'a>,
    namespace: &'a NamespaceSettings,
    policy: &'a Policy,
) -> Decision<'a> {
    decide_behind(workload, namespace, policy, None)
}

/// Like [`decide`], with the delay that the workload's known fronts need, in addition to those that
/// its pods name themselves.
#[must_use]
pub fn decide_behind<'a>(
    workload: &'a Workload<'a>,
    namespace: &'a NamespaceSettings,
    policy: &'a Policy,
    behind: Option<&FrontDelay>,
) -> Decision<'a> {
    if has_template_elsewhere(workload) {
        return Decision::skipped(SkipReason::TemplateElsewhere, Vec::new());
    }
    let front = AskedFront::known(behind.cloned());
    let mut decision =
        decide_pod_behind(&workload.pod, workload.owner(), namespace, policy, &front);
    let is_left_out = matches!(decision.outcome, Outcome::Skipped(reason) if reason.excludes());
    if !is_left_out {
        decision.problems.extend(misplaced(workload));
    }
    decision
}

/// Returns whether the pod template is in another object.
#[must_use]
pub fn has_template_elsewhere(workload: &Workload<'_>) -> bool {
    template_elsewhere(workload).is_some()
}

/// Returns a more precise sentence for a reason, if the workload allows one.
#[must_use]
pub fn sentence(reason: SkipReason, workload: &Workload<'_>) -> Option<String> {
    match reason {
        SkipReason::OwnedBySkippedKind => {
            let owner = printable(&workload.owner()?.to_string(), LONGEST_NAME);
            Some(format!("The configuration (skipOwners) excludes pods with this kind of owner: {owner}."))
        }
        SkipReason::OwnedByDaemonSet if surges(workload.object) => Some(
            "The pod belongs to a DaemonSet, which is skipped by default; this one sets maxSurge, so a delay causes no outage on the node."
                .to_owned(),
        ),
        SkipReason::TemplateElsewhere => {
            let reference = printable(&template_elsewhere(workload)?, LONGEST_NAME);
            Some(format!("The pod template is in {reference}, named by spec.workloadRef."))
        }
        _ => None,
    }
}

/// Returns the notes about a workload.
#[must_use]
pub fn notes(
    workload: &Workload<'_>,
    namespace: &NamespaceSettings,
    decision: &Decision<'_>,
    policy: &Policy,
) -> Vec<Note> {
    let delays = decision.containers.iter().filter_map(|container| container.injected());
    let longest = delays.map(|injected| injected.hook.delay_seconds()).max();
    let mut notes = Vec::new();
    if let Some(seconds) = longest.filter(|seconds| *seconds > 0)
        && let Some(code) = replacement(workload)
    {
        let detail = match code {
            NoteCode::UpdateWaitsForPod => {
                format!(
                    "each update takes {seconds}s longer: the next pod is created only after this one is gone"
                )
            }
            NoteCode::OnePod | NoteCode::UnknownImage => String::new(),
        };
        notes.push(Note { code, place: workload.kind.to_owned(), detail });
    }
    if !namespace.chooses_profile() {
        notes.extend(unknown_images(workload, decision, policy));
    }
    notes
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { code, sentence, .. } = self.code.explanation();
        let detail = if self.detail.is_empty() { sentence } else { &self.detail };
        write!(f, "{code}: {}: {detail}", self.place)
    }
}

/// Returns the reference to the object that contains the template of a Rollout, such as
/// `Deployment web`.
fn template_elsewhere(workload: &Workload<'_>) -> Option<String> {
    let reference = workload.object.pointer("/spec/workloadRef")?;
    let text = |field| reference.get(field).and_then(Value::as_str);
    let has_template = !workload.pod.spec.is_absent();
    (!has_template).then(|| {
        format!("{} {}", text("kind").unwrap_or_default(), text("name").unwrap_or_default())
    })
}

/// Problems for settings on the workload itself, which its pods do not have.
fn misplaced(workload: &Workload<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if workload.template.is_empty() {
        return problems;
    }
    let template = workload.template.trim_start_matches('/').replace('/', ".");
    // In a CronJob, there is one more place outside the template.
    let outer = workload.template.strip_suffix("/spec/template").filter(|outer| !outer.is_empty());
    for place in ["", outer.unwrap_or_default()].into_iter().take(1 + usize::from(outer.is_some()))
    {
        for (map, word) in [("labels", "label"), ("annotations", "annotation")] {
            let keys = workload.object.pointer(&format!("{place}/metadata/{map}"));
            for key in keys.and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
                let belongs = match (key == INJECT_LABEL, is_setting(key)) {
                    (true, _) => "labels",
                    (false, true) => "annotations",
                    (false, false) => continue,
                };
                let own = format!("{}/metadata/{belongs}", workload.template);
                let own = workload.object.pointer(&own).and_then(|own| own.get(key));
                if own.is_none() {
                    let detail = format!("move it to {template}.metadata.{belongs}");
                    let place = format!("{} {word} {key}", workload.kind);
                    problems.push(Problem::new(ProblemCode::Misplaced, place, detail));
                }
            }
        }
    }
    problems
}

/// Returns whether a `DaemonSet` starts the next pod on a node before it stops the previous one.
fn surges(object: &Value) -> bool {
    let strategy = object.pointer("/spec/updateStrategy");
    let on_delete =
        strategy.and_then(|strategy| strategy.get("type")?.as_str()) == Some("OnDelete");
    let surge = strategy.and_then(|strategy| strategy.pointer("/rollingUpdate/maxSurge"));
    let is_some = match surge {
        Some(Value::Number(number)) => number.as_i64().is_some_and(|number| number >= 1),
        Some(Value::String(text)) => {
            let number = text.strip_suffix('%').unwrap_or(text);
            number.parse::<u64>().is_ok_and(|number| number >= 1)
        }
        _ => false,
    };
    is_some && !on_delete
}

/// Returns the note about the cost of a delay for a workload with one pod.
fn replacement(workload: &Workload<'_>) -> Option<NoteCode> {
    let spec = workload.object.get("spec")?;
    let strategy =
        |field: &str| spec.get(field).and_then(|strategy| strategy.get("type")?.as_str());
    let replicas = spec.get("replicas").and_then(Value::as_i64);
    let recreates = [strategy("strategy"), strategy("updateStrategy")].contains(&Some("Recreate"));
    match workload.kind {
        _ if recreates => Some(NoteCode::UpdateWaitsForPod),
        // Without a number, there is one replica.
        "StatefulSet" if replicas.unwrap_or(1) == 1 => Some(NoteCode::UpdateWaitsForPod),
        // Without a number, an autoscaler often sets it.
        "Deployment" | "Rollout" if replicas == Some(1) => Some(NoteCode::OnePod),
        _ => None,
    }
}

fn unknown_images(workload: &Workload<'_>, decision: &Decision<'_>, policy: &Policy) -> Vec<Note> {
    let annotations =
        workload.object.pointer(&format!("{}/metadata/annotations", workload.template));
    let has = |key: &str| annotations.is_some_and(|annotations| annotations.get(key).is_some());
    let containers = workload.pod.spec.value().map_or(&[][..], |spec| spec.containers());
    let mut notes = Vec::new();
    for container in &decision.containers {
        let Some(injected) = container.injected() else { continue };
        let chosen = has("prestop.dev/profile")
            || has(&format!("profile.prestop.dev/{}", container.name))
            || injected.profile.is_some()
            || injected.quit_from.is_some();
        let image = containers.get(container.index).and_then(|shape| shape.value()?.image.value());
        let reference = image.and_then(|image| ImageReference::parse(image));
        let is_known = policy.catalogue.for_container(container.name, reference.as_ref()).is_some();
        if !chosen && !is_known {
            let place = format!("container {}", printable(container.name, LONGEST_NAME));
            notes.push(Note { code: NoteCode::UnknownImage, place, detail: String::new() });
        }
    }
    notes
}
