//! The engine: a pod, its namespace and a policy in, a decision out. Pure: no clock, no files, no
//! network, no logging; callers report the decision.
//!
//! `docs/rules.md` specifies the decision step by step. The parts are
//! - [`pod`]: the borrowed view of a pod;
//! - [`settings`]: labels and annotations;
//! - `container`: the settings of one container; `order`: containers that stop later; `decision`:
//!   the result;
//! - `shell`: scripts in pods; `own_hook`, `own_delay`, `own_timeout`, `pid1`: the effect of a
//!   container's own hook, the time that its application takes, whether a shell stays PID 1;
//!   `own_hook_problems`, `own_hook_end`: problems of such a hook; `own_hook_form`,
//!   `own_hook_extend`: its form, and its completion;
//! - [`grace`]: the arithmetic of grace periods;
//! - [`hook`]: the `preStop` bodies and the script;
//! - [`status`]: the annotation that records the injection;
//! - [`patch`]: decision to JSON patch;
//! - [`reason`]: every code, with its sentence and advice; [`hook_note`]: the reasons for the form
//!   of a hook, for reports; [`hook_report`]: reports written by hooks;
//! - [`printable`]: text of users as printable ASCII;
//! - [`front`]: load balancers named by the pod itself;
//! - [`offline`]: facts that only the whole workload shows;
//! - [`planned`]: the time by which a hook in a pod delays the stop signal;
//! - [`template`]: pods inside workloads and lists;
//! - `written`: the behaviour of a container without injection;
//! - [`undo`]: the removal of an injection;
//! - [`understood`]: the interpretation of a hook's command, for tests that run the command.

mod container;
mod decision;
mod order;
mod own_delay;
mod own_hook;
mod own_hook_end;
mod own_hook_extend;
mod own_hook_form;
mod own_hook_problems;
mod own_timeout;
mod pid1;
mod remembered;
mod shell;

pub mod front;
pub mod grace;
pub mod hook;
pub mod hook_note;
pub mod hook_report;
pub mod offline;
pub mod patch;
pub mod planned;
pub mod pod;
pub mod printable;
pub mod reason;
pub mod settings;
pub mod status;
pub mod template;
pub mod understood;
pub mod undo;
pub(crate) mod written;

pub use self::decision::{
    Before, ContainerDecision, ContainerOutcome, Decision, Injected, Injection, Main, MainBy,
    MetadataParent, Outcome, PreStopParent, Source, Stood,
};

pub use self::container::{DEFAULT_TERMINATION_MESSAGE_PATH, Obstacle};
use std::borrow::Cow;

use self::container::{Candidate, Context, Sleep, Standing, termination_message};
use self::grace::{DEFAULT_GRACE_PERIOD_SECONDS, GracePeriod, Share};
use self::hook::{Delay as DelayForm, Hook, Quit, ScriptHook, Task, Wait, Watch};
use self::hook_note::HookNote;
use self::own_hook_extend::Extension;
use self::pod::{Container, Metadata, Pod, Spec};
use self::reason::{ContainerReason, Problem, ProblemCode, SkipReason};
use self::settings::{NamespaceSettings, STATUS_ANNOTATION, Switch, read_pod_labels};
use self::status::{Status, Texts};
use crate::duration::{Delay, Plain};
use crate::fronts::AskedFront;
use crate::policy::{NamespaceRule, OwnHookRule, Owner, Policy};
use crate::view::Shape;

/// Limit of Kubernetes for all keys and values of a pod's annotations together, in bytes.
const LARGEST_ANNOTATIONS_BYTES: usize = 256 * 1024;
/// Upper bound for the size of a container or a problem in the status annotation, in bytes.
const STATUS_CONTAINER_BYTES: usize = 1024;

/// Decides how a pod is changed.
#[must_use]
pub fn decide<'a>(
    pod: &'a Pod<'a>,
    namespace: &'a NamespaceSettings,
    policy: &'a Policy,
) -> Decision<'a> {
    decide_owned(pod, pod.owner(), namespace, policy)
}

/// Decides on a pod that will have this controlling owner, whatever its own owner references are:
/// for pod templates.
#[must_use]
pub fn decide_owned<'a>(
    pod: &'a Pod<'a>,
    owner: Option<Owner<'_>>,
    namespace: &'a NamespaceSettings,
    policy: &'a Policy,
) -> Decision<'a> {
    decide_behind(pod, owner, namespace, policy, &AskedFront::known(None))
}

/// Like [`decide_owned`], with the delay that the pod's known fronts need, in addition to those
/// that the pod names itself.
#[must_use]
pub fn decide_behind<'a>(
    pod: &'a Pod<'a>,
    owner: Option<Owner<'_>>,
    namespace: &'a NamespaceSettings,
    policy: &'a Policy,
    front: &AskedFront<'a>,
) -> Decision<'a> {
    let around = (owner, front);
    let decision = decide_with(pod, around, namespace, policy, OwnHookRule::Extend);
    // Without a status, a second pass would mistake a completed hook for the author's.
    match decision.outcome {
        Outcome::Injected(Injection { metadata: None, .. }) if decision.extends() => {
            decide_with(pod, around, namespace, policy, OwnHookRule::Keep)
        }
        Outcome::Injected(_) | Outcome::Skipped(_) => decision,
    }
}

/// Decides, and completes existing hooks only if `own_hooks` is `Extend`.
fn decide_with<'a>(
    pod: &'a Pod<'a>,
    (owner, front): (Option<Owner<'_>>, &AskedFront<'a>),
    namespace: &'a NamespaceSettings,
    policy: &'a Policy,
    own_hooks: OwnHookRule,
) -> Decision<'a> {
    let (spec, metadata) = match well_formed(pod) {
        Ok(parts) => parts,
        Err(reason) => return Decision::skipped(reason, Vec::new()),
    };
    let mut problems = Vec::new();
    let labels = metadata.and_then(|metadata| metadata.labels.value());
    let switch = labels.and_then(|labels| read_pod_labels(&labels.ours, &mut problems));
    if let Some(reason) = not_ours(metadata, switch, namespace, policy) {
        return Decision::skipped(reason, Vec::new());
    }
    // Problems are sorted in the order in which people look for causes: namespace first.
    let mut context = Context::new(spec, metadata, namespace, policy, front.clone());
    context.problems.append(&mut problems);
    context.read_pod_annotations();
    let grace_now_seconds = spec.grace_period_seconds.value().copied();
    let grace_now = grace_now_seconds.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS);
    if let Some(reason) = not_for_hooks(owner, spec, switch, grace_now, policy) {
        return Decision::skipped(reason, context.problems);
    }
    context.extends = own_hooks == OwnHookRule::Extend;
    let earlier = context.earlier_status(grace_now);
    let stood_before = earlier.as_ref().map_or_else(
        || Before::first(metadata, grace_now_seconds),
        |earlier| earlier.before(grace_now_seconds),
    );
    let stood = earlier.as_ref().map_or_else(|| Stood::first(metadata), Status::stood);
    context.extends &= !stood_before.has_doubtful_hooks;
    let mut candidates = context.candidates(earlier.as_ref());
    let before = earlier.as_ref().map_or(grace_now, Status::grace_before_seconds);
    order::put_in_order(&mut candidates, before, &context);
    let needs = candidates.iter().filter(|candidate| candidate.is_injected()).map(Candidate::need);
    let grace =
        GracePeriod::covering(before, grace_now, needs, policy.maximum_grace_period_seconds);
    // A separate allocation: collecting in place would force the allocator to shrink the old one.
    let mut containers = Vec::with_capacity(candidates.len());
    containers
        .extend(candidates.into_iter().map(|candidate| candidate.decide(&mut context, &grace)));
    let Context { is_short, problems: mut told, main, .. } = context;
    told.extend(front::problem(spec, &containers));
    if !containers.iter().any(|container| container.injected().is_some()) {
        let reason = nothing_injected(&containers);
        let outcome = Outcome::Skipped(reason);
        return Decision { outcome, containers, problems: told, main, stood };
    }
    if is_short {
        let detail = format!("at most {}s", grace.after_seconds);
        told.push(Problem::new(ProblemCode::GracePeriodCapped, "pod", detail));
    }
    let injection = Injection {
        grace,
        grace_now_seconds,
        metadata: Some(metadata_parent(metadata)),
        before: stood_before,
    };
    let mut decision =
        Decision { outcome: Outcome::Injected(injection), containers, problems: told, main, stood };
    leave_room(&mut decision, injection, metadata);
    decision
}

/// Leaves the status annotation out if it would make the annotations larger than Kubernetes accepts
/// (`TotalAnnotationSizeLimitB` of k8s.io/apimachinery), because the pod would be refused.
fn leave_room(decision: &mut Decision<'_>, injection: Injection, metadata: Option<&Metadata<'_>>) {
    let taken = annotations_bytes(metadata);
    // Names and places are short, so the status is written to be measured only if space is tight.
    let at_most =
        STATUS_CONTAINER_BYTES * (decision.containers.len() + decision.problems.len() + 1);
    let is_ordinary = !decision.extends() && decision.stood == Stood::default();
    if taken + at_most <= LARGEST_ANNOTATIONS_BYTES && is_ordinary {
        return;
    }
    if !is_room_for_status(decision, &injection, metadata) {
        decision.outcome = Outcome::Injected(Injection { metadata: None, ..injection });
        decision.problems.push(Problem::new(ProblemCode::StatusLeftOut, "pod", ""));
    }
}

/// Returns whether the status annotation fits next to the existing annotations.
fn is_room_for_status(
    decision: &Decision<'_>,
    injection: &Injection,
    metadata: Option<&Metadata<'_>>,
) -> bool {
    let mut json = Vec::new();
    decision.append_status(injection, &mut json);
    // The written status is always a JSON string.
    let status: String = serde_json::from_slice(&json).unwrap_or_default();
    annotations_bytes(metadata) + STATUS_ANNOTATION.len() + status.len()
        <= LARGEST_ANNOTATIONS_BYTES
}

/// Returns the size of the pod's existing annotations, in bytes.
fn annotations_bytes(metadata: Option<&Metadata<'_>>) -> usize {
    let annotations = metadata.and_then(|metadata| metadata.annotations.value());
    annotations.map_or(0, |annotations| annotations.bytes)
}

/// Returns the pod's spec and metadata, if they have the types that every later step depends on.
fn well_formed<'a>(
    pod: &'a Pod<'a>,
) -> Result<(&'a Spec<'a>, Option<&'a Metadata<'a>>), SkipReason> {
    let spec = pod.spec.value().ok_or(SkipReason::NotAPod)?;
    let metadata = pod.metadata.value();
    let annotations = metadata.is_some_and(|metadata| metadata.annotations.is_wrong());
    let containers = spec.containers.value().is_some_and(|containers| !containers.is_empty());
    if pod.metadata.is_wrong() || annotations || !containers || spec.grace_period_seconds.is_wrong()
    {
        return Err(SkipReason::Malformed);
    }
    if is_too_large(spec, metadata) {
        return Err(SkipReason::TooLarge);
    }
    Ok((spec, metadata))
}

/// Returns whether a part of the pod was not read, or its annotations are larger than the API
/// server accepts.
fn is_too_large(spec: &Spec<'_>, metadata: Option<&Metadata<'_>>) -> bool {
    let labels = metadata.and_then(|metadata| metadata.labels.value());
    let annotations = metadata.and_then(|metadata| metadata.annotations.value());
    spec.containers.value().is_some_and(|containers| containers.is_cut)
        || labels.is_some_and(|labels| labels.is_cut)
        || annotations.is_some_and(|annotations| {
            annotations.is_cut || annotations.bytes > LARGEST_ANNOTATIONS_BYTES
        })
}

/// Reasons that exclude the pod entirely: no problems are reported for it.
fn not_ours(
    metadata: Option<&Metadata<'_>>,
    switch: Option<Switch>,
    namespace: &NamespaceSettings,
    policy: &Policy,
) -> Option<SkipReason> {
    let enabled = match policy.namespaces {
        NamespaceRule::Enabled => namespace.switch == Some(Switch::Enabled),
        NamespaceRule::NotDisabled => namespace.switch != Some(Switch::Disabled),
    };
    let annotations = metadata.and_then(|metadata| metadata.annotations.value());
    if switch == Some(Switch::Disabled) {
        Some(SkipReason::OptedOut)
    } else if !enabled {
        Some(SkipReason::NamespaceNotEnabled)
    } else if annotations.is_some_and(|annotations| annotations.is_mirror) {
        Some(SkipReason::MirrorPod)
    } else if metadata.is_some_and(|metadata| !metadata.deletion_timestamp.is_absent()) {
        Some(SkipReason::BeingDeleted)
    } else {
        None
    }
}

/// Reasons to skip the pod that follow from its kind, its restart policy and its grace period.
fn not_for_hooks(
    owner: Option<Owner<'_>>,
    spec: &Spec<'_>,
    switch: Option<Switch>,
    grace_now: i64,
    policy: &Policy,
) -> Option<SkipReason> {
    if switch != Some(Switch::Enabled) {
        let is_skipped =
            |owner: &Owner<'_>| policy.skipped_owners.iter().any(|kind| kind.is_of(*owner));
        let reason = match owner.filter(is_skipped).map(|owner| owner.kind) {
            Some("Job") => Some(SkipReason::OwnedByJob),
            Some("DaemonSet") => Some(SkipReason::OwnedByDaemonSet),
            Some(_) => Some(SkipReason::OwnedBySkippedKind),
            None if !restarts_always(spec) => Some(SkipReason::RestartPolicy),
            None => None,
        };
        if reason.is_some() {
            return reason;
        }
    }
    (grace_now <= 0).then_some(SkipReason::GracePeriodZero)
}

fn restarts_always(spec: &Spec<'_>) -> bool {
    match &spec.restart_policy {
        Shape::Absent => true,
        Shape::Value(policy) => policy == "Always",
        Shape::Wrong => false,
    }
}

fn nothing_injected(containers: &[ContainerDecision<'_>]) -> SkipReason {
    let mut well_formed = containers
        .iter()
        .filter(|container| container.reason() != Some(ContainerReason::Malformed))
        .peekable();
    let has_own = |container: &ContainerDecision<'_>| {
        matches!(container.outcome, ContainerOutcome::Earlier(_))
            || container.reason() == Some(ContainerReason::OwnHook)
    };
    if well_formed.peek().is_some() && well_formed.all(has_own) {
        SkipReason::OwnHooks
    } else if containers
        .iter()
        .any(|container| container.reason() == Some(ContainerReason::Windows))
    {
        SkipReason::Windows
    } else {
        SkipReason::NothingToInject
    }
}

fn metadata_parent(metadata: Option<&Metadata<'_>>) -> MetadataParent {
    match metadata {
        None => MetadataParent::Pod,
        Some(metadata) if metadata.annotations.is_absent() => MetadataParent::Metadata,
        Some(_) => MetadataParent::Annotations,
    }
}

impl<'a> Context<'a> {
    /// Returns the status of an earlier pass, if it matches the pod.
    fn earlier_status(&mut self, grace_now: i64) -> Option<Status<'a>> {
        let text = self.annotations.get(STATUS_ANNOTATION)?;
        let containers = self.spec.containers();
        let status = text.value().and_then(|text| Status::believed(text, grace_now, containers));
        if status.is_none() && !text.is_absent() {
            let place = format!("pod annotation {STATUS_ANNOTATION}");
            self.problems.push(Problem::new(ProblemCode::StatusNotTrusted, place, ""));
        }
        status
    }
}

impl<'a> Candidate<'a> {
    /// Returns whether the container gets a hook, independently of the grace period.
    fn is_injected(&self) -> bool {
        self.refusal().is_none() && matches!(self.standing, Standing::Free(_))
    }

    fn refusal(&self) -> Option<ContainerReason> {
        match self.sleep {
            _ if self.quit.is_some() || self.holds() => None,
            _ if self.delay_seconds == 0 => Some(ContainerReason::NoDelay),
            Sleep::Impossible(reason) => Some(reason),
            Sleep::Action | Sleep::Program => None,
        }
    }

    fn decide(mut self, context: &mut Context<'a>, grace: &GracePeriod) -> ContainerDecision<'a> {
        let (index, name) = (self.index, self.name);
        let refusal = self.refusal();
        let mut notes = std::mem::take(&mut self.notes);
        self.note_what_is_left_out(&mut notes);
        let outcome = match (self.standing.clone(), refusal) {
            (Standing::OwnHook(_), _) => {
                let problems = own_hook_problems::of(&self, context, grace.after_seconds);
                context.problems.extend(problems);
                ContainerOutcome::LeftAlone(ContainerReason::OwnHook)
            }
            (Standing::Earlier(earlier), _) => ContainerOutcome::Earlier(*earlier),
            (Standing::LeftAlone(reason), _) | (Standing::Free(_), Some(reason)) => {
                if reason == ContainerReason::NoSleepProgram {
                    context.tell(ProblemCode::NoSleepProgram, name);
                }
                ContainerOutcome::LeftAlone(reason)
            }
            (Standing::Free(parent), None) => {
                context.problems.extend(own_hook_problems::of_extension(&self, context));
                ContainerOutcome::Injected(self.inject(parent, context, grace))
            }
        };
        match &outcome {
            ContainerOutcome::Injected(Injected { original: Some(original), .. }) => {
                notes.push(HookNote::CompletesOwnHook { is_kept: original.is_object() });
            }
            ContainerOutcome::Injected(_) => {}
            ContainerOutcome::Earlier(_) | ContainerOutcome::LeftAlone(_) => notes.clear(),
        }
        ContainerDecision { index, name, outcome, notes }
    }

    fn inject(
        self,
        parent: PreStopParent,
        context: &mut Context<'a>,
        grace: &GracePeriod,
    ) -> Injected<'a> {
        self.tell_what_is_left_out(context);
        let asked = self.need().own_delay();
        let share = grace.share(self.need());
        let place = || format!("container {}", self.name);
        if share.delay_seconds < asked {
            let bounds = |most_seconds: i64| {
                let least = self.least_seconds.saturating_add(self.extra_seconds);
                Plain(Delay { least_seconds: least.min(most_seconds), most_seconds })
            };
            let (asked, taken) = (bounds(asked), bounds(share.delay_seconds));
            let detail = format!("{asked} asked, {taken} taken");
            context.problems.push(Problem::new(ProblemCode::DelayShortened, place(), detail));
        }
        // If the author's grace period reaches the maximum, only the delay is shortened.
        let before = grace.before_seconds;
        let asks_for_more = self.timeout.is_some_and(|(timeout, _)| timeout > before);
        context.is_short |= share.is_short
            && (before < context.policy.maximum_grace_period_seconds || asks_for_more);
        let shortest_probe = self.shortest_probe_grace_period();
        let quit_from = self.quit.as_ref().map(|quit| quit.from);
        let hold_from = self.hold.filter(|asked| asked.is_possible()).map(|hold| hold.from);
        let original = self.extension.as_ref().map(Extension::kept);
        let (name, profile, delay_from) = (self.name, self.profile, self.delay_from);
        let (timeout, unwatched) = (self.timeout, self.unwatched);
        let had_empty_lifecycle = self.container.is_some_and(Container::has_empty_lifecycle);
        let is_rule = matches!(delay_from, Source::Sidecar | Source::Backend | Source::OwnHook);
        let front = self.front.clone().filter(|_| !is_rule);
        let hook = self.into_hook(share, context);
        if let Some(seconds) = shortest_probe.filter(|seconds| *seconds < hook.longest_seconds()) {
            let detail = format!("{seconds}s, the hook takes up to {}s", hook.longest_seconds());
            let code = ProblemCode::ProbeGracePeriodTooShort;
            context.problems.push(Problem::new(code, format!("container {name}"), detail));
        }
        Injected {
            hook,
            parent,
            delay_from,
            front,
            unwatched,
            quit_from,
            hold_from,
            timeout,
            original,
            had_empty_lifecycle,
            text: Texts::new(),
            profile: profile.map(|profile| profile.name.as_str()),
        }
    }

    fn into_hook(self, share: Share, context: &Context<'_>) -> Hook<'a> {
        let report = self.report.filter(|asked| asked.is_possible());
        let report = report.and_then(|_| termination_message(self.container?));
        let delay = match self.hook_delay(share, context) {
            DelayForm::Fixed { seconds } if report.is_some() => DelayForm::Measured {
                seconds,
                quiet_seconds: self.quiet_seconds,
                allowed_connections: context.allowed_connections(self.quiet_seconds),
            },
            delay => delay,
        };
        let wait = if self.holds() {
            Wait::ForConnections { seconds: share.wait_seconds }
        } else if self.waits() {
            Wait::AtMost { seconds: share.wait_seconds }
        } else {
            Wait::No
        };
        let task = match self.quit {
            None => Task::None,
            Some(quit) if quit.from == Source::OwnHook => Task::Own { command: quit.command },
            Some(quit) => Task::Quit(Quit {
                signal: quit.signal,
                process_names: quit.process_names,
                command: quit.command,
            }),
        };
        match delay {
            DelayForm::Fixed { seconds } if task == Task::None && wait == Wait::No => {
                if self.sleep == Sleep::Action {
                    Hook::Sleep { seconds }
                } else {
                    Hook::ExecSleep { seconds }
                }
            }
            delay => {
                Hook::Script(ScriptHook { delay, task, wait, report: report.map(Cow::Borrowed) })
            }
        }
    }

    /// The delay that fits into the grace period: first the upper bound is shortened, then the
    /// lower one.
    fn hook_delay(&self, share: Share, context: &Context<'_>) -> DelayForm {
        let extra_seconds = self.extra_seconds.min(share.delay_seconds);
        let most_seconds = share.delay_seconds.saturating_sub(extra_seconds);
        if self.least_seconds >= most_seconds {
            return DelayForm::Fixed { seconds: share.delay_seconds };
        }
        DelayForm::Watched(Watch {
            least_seconds: self.least_seconds,
            most_seconds,
            quiet_seconds: self.quiet_seconds,
            allowed_connections: context.allowed_connections(self.quiet_seconds),
            extra_seconds,
        })
    }

    fn shortest_probe_grace_period(&self) -> Option<i64> {
        let probes = [&self.container?.liveness_probe, &self.container?.startup_probe];
        probes
            .into_iter()
            .filter_map(|probe| probe.value()?.grace_period_seconds.value().copied())
            .min()
    }
}
