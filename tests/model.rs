//! The reference model: a second, naive implementation of `docs/rules.md`. It works on the whole
//! pod as plain JSON and writes the whole pod again; the property tests compare it with the engine.

mod examples;
mod extend;
mod hook;
mod order;
mod own_hook;
mod plan;
mod quit;
mod settings;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use prestop_core::catalogue::{
    Hold, ImageReference, Membership, Presence, Profile, ProfileHook, Programs, QuitWhen, Role,
    Signal, StopSignal,
};
use prestop_core::policy::{NamespaceRule, Policy, QuitPolicy, SleepAction};
use prestop_fuzz::generators::Namespace;
use serde_json::{Value, json};

use self::extend::Own;
use self::hook::own_sleep;
use self::order::{delay_backends, delay_sidecars};
use self::quit::{author_quit, ending_of, profile_quit};
use self::settings::{Delayed, Settings, Source, Switch, image};
use self::status::{Earlier, believed_status, rewritten};
use crate::api_rules::{LARGEST_ANNOTATIONS, annotations_size};

/// Placeholder for the script of the hook, whose text is not part of the model.
pub(crate) const SCRIPT: &str = "SCRIPT";
/// Placeholder for the long script.
pub(crate) const DRAIN: &str = "DRAIN";

pub(crate) const STATUS: &str = "prestop.dev/status";
pub(crate) const INJECTED: &str = "injected";

/// Grace period of a pod that doesn't set one.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// Codes of problems, each at most once.
type Problems = BTreeSet<&'static str>;

/// Result for a pod.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The pod afterwards; its status annotation has the model's own format.
    pub(crate) result: Value,
    /// Why the pod is skipped, if it is.
    pub(crate) reason: Option<&'static str>,
    /// Codes of the problems, sorted, each once.
    pub(crate) problems: Vec<&'static str>,
    /// One per regular container; empty if one of the first seven rules decides.
    pub(crate) containers: Vec<ContainerOutcome>,
    /// Whether a hook of the author is completed.
    extends: bool,
}

/// Result for a container.
#[derive(Debug, Clone)]
pub(crate) struct ContainerOutcome {
    /// [`INJECTED`], or the reason for skipping the container.
    pub(crate) code: &'static str,
    pub(crate) delay_seconds: i64,
    /// `None` if the hook does not wait.
    pub(crate) wait_seconds: Option<i64>,
    /// Time that the application should have after the delay: max(G, W).
    pub(crate) application_seconds: i64,
    /// Part of the delay that waits for the drain of other containers.
    pub(crate) drain_seconds: i64,
    /// The delay before it is cut to fit the maximum grace period.
    pub(crate) asked_seconds: i64,
}

impl ContainerOutcome {
    /// Returns the uncut delay without the part for other containers.
    pub(crate) const fn own_delay_seconds(&self) -> i64 {
        self.asked_seconds.saturating_sub(self.drain_seconds)
    }
}

/// The quit of a hook.
#[derive(Debug)]
struct Quit {
    command: Vec<String>,
    signal: Option<Signal>,
    process_names: Vec<String>,
    waits: bool,
}

/// Intermediate results for a container while its pod is decided on.
struct Plan<'a> {
    code: &'static str,
    /// The chosen profile, or else that of the image or of the container name.
    known: Option<&'a Profile>,
    graceful: bool,
    /// Whether it is known to drop its requests on the stop signal.
    abrupt: bool,
    programs: Programs,
    /// Why the hook can't check connections.
    obstacle: Option<&'static str>,
    /// The lower bound of a watched delay; the whole delay if it is not watched.
    least: i64,
    /// The lower bound as requested.
    asked_least: i64,
    /// Seconds of the delay after the watched part.
    extra: i64,
    quiet: i64,
    /// Set for a range that can't be watched: whether an annotation requests the range.
    unwatched: Option<bool>,
    /// Set if a hold is requested: whether by an annotation, and whether it is possible.
    hold: Option<(bool, bool)>,
    report: Option<(bool, bool)>,
    /// Delay and wait from an earlier pass.
    earlier: Option<(i64, i64)>,
    quit: Option<Quit>,
    /// The author's hook that is completed.
    own: Option<Own>,
    delay: i64,
    /// The delay before it is cut to fit the maximum grace period.
    asked: i64,
    /// Part of the delay that waits for the drain of other containers.
    drain: i64,
    wait: Option<i64>,
    quit_timeout: Option<i64>,
}

/// Decides on a pod and rewrites it.
pub(crate) fn inject(pod: &Value, namespace: &Namespace, policy: &Policy) -> Outcome {
    let outcome = inject_with(pod, namespace, policy, true);
    if outcome.problems.contains(&"status-left-out") && outcome.extends {
        return inject_with(pod, namespace, policy, false);
    }
    outcome
}

fn inject_with(pod: &Value, namespace: &Namespace, policy: &Policy, extends: bool) -> Outcome {
    if let Some(reason) = none_of_our_business(pod, namespace, policy) {
        return skipped(pod, reason, &Problems::new(), Vec::new());
    }
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let mut problems = Problems::new();
    let mut settings = Settings::read(pod, containers, namespace, policy, &mut problems);
    if let Some(reason) = not_for_hooks(pod, policy) {
        return skipped(pod, reason, &problems, Vec::new());
    }
    let earlier = believed_status(pod, &mut problems);
    let now = grace_seconds(pod);
    let grace = earlier.as_ref().map_or(now, |earlier| earlier.before);

    let recorded = earlier.as_ref().and_then(|earlier| earlier.main.as_deref());
    let main = settings.choose_main(containers, recorded, policy);
    let doubtful = problems.contains("status-not-trusted")
        || earlier.as_ref().is_some_and(|earlier| earlier.doubtful);
    let extends = extends && !doubtful;
    let mut plans = plans(pod, &settings, (extends, earlier.as_ref()), policy, &mut problems);
    for (plan, container) in plans.iter_mut().zip(containers) {
        plan.earlier = earlier.as_ref().and_then(|earlier| earlier.of(container));
        if plan.earlier.is_some() {
            plan.read_watch(container);
        }
    }
    delay_backends(&mut plans, containers, &settings, policy, grace);
    delay_sidecars(&mut plans, containers, &settings, policy, grace);
    for plan in &mut plans {
        plan.close(is_windows(pod), policy, &mut problems);
    }
    if let Some(reason) = nothing_left(&plans) {
        own_hook::problems(pod, &plans, now, &mut problems);
        fronts(pod, &plans, &mut problems);
        return skipped(pod, reason, &problems, outcomes(&plans, grace));
    }
    let after = grace_after(&mut plans, grace, now, policy, &mut problems);
    for plan in plans.iter().filter(|plan| plan.code == INJECTED) {
        plan.tell_what_is_left_out(&mut problems);
    }
    own_hook::problems(pod, &plans, after, &mut problems);
    fronts(pod, &plans, &mut problems);
    probes(&plans, containers, &mut problems);

    let mut result = rewritten(pod, &plans, policy, (grace, after), doubtful, earlier, main);
    if annotations_size(&result) > LARGEST_ANNOTATIONS {
        result["metadata"] = pod["metadata"].clone();
        problems.insert("status-left-out");
    }
    Outcome {
        result,
        reason: None,
        problems: problems.into_iter().collect(),
        containers: outcomes(&plans, grace),
        extends: plans.iter().any(|plan| plan.own.is_some()),
    }
}

/// Returns the value unless it is `null`, which counts as absent.
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn skipped(
    pod: &Value,
    reason: &'static str,
    problems: &Problems,
    containers: Vec<ContainerOutcome>,
) -> Outcome {
    Outcome {
        result: pod.clone(),
        reason: Some(reason),
        problems: problems.iter().copied().collect(),
        containers,
        extends: false,
    }
}

fn outcomes(plans: &[Plan<'_>], grace: i64) -> Vec<ContainerOutcome> {
    let outcome = |plan: &Plan<'_>| ContainerOutcome {
        code: plan.code,
        delay_seconds: plan.delay,
        wait_seconds: plan.wait,
        application_seconds: plan.application_seconds(grace),
        drain_seconds: plan.drain,
        asked_seconds: plan.asked,
    };
    plans.iter().map(outcome).collect()
}

// Section 1.

fn none_of_our_business(
    pod: &Value,
    namespace: &Namespace,
    policy: &Policy,
) -> Option<&'static str> {
    if !pod.get("spec").is_some_and(Value::is_object) {
        return Some("not-a-pod");
    }
    if is_malformed(pod) {
        return Some("malformed");
    }
    if is_too_large(pod) {
        return Some("too-large");
    }
    let switch = Switch::of_pod(pod);
    if switch == Switch::Off {
        return Some("opted-out");
    }
    let taken = match Switch::of_namespace(namespace) {
        Switch::On => true,
        Switch::Off => false,
        _ => policy.namespaces == NamespaceRule::NotDisabled,
    };
    if !taken {
        return Some("namespace-not-enabled");
    }
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return Some("mirror-pod");
    }
    if present(pod.pointer("/metadata/deletionTimestamp")).is_some() {
        return Some("being-deleted");
    }
    None
}

fn is_too_large(pod: &Value) -> bool {
    let own_keys = |path: &str| {
        let keys = pod.pointer(path).and_then(Value::as_object).into_iter().flatten();
        keys.filter(|(key, _)| {
            key.split('/').next().is_some_and(|domain| domain.ends_with("prestop.dev"))
        })
        .count()
    };
    pod["spec"]["containers"].as_array().is_some_and(|containers| containers.len() > 1000)
        || own_keys("/metadata/labels") > 1000
        || own_keys("/metadata/annotations") > 1000
        || annotations_size(pod) > LARGEST_ANNOTATIONS
}

/// Applies the sixth and the seventh rule.
fn not_for_hooks(pod: &Value, policy: &Policy) -> Option<&'static str> {
    if Switch::of_pod(pod) != Switch::On {
        let skips =
            |kind: &str| policy.skipped_owners.iter().any(|skipped| skipped.to_string() == kind);
        if let Some((kind, group)) = owner(pod)
            && (skips(kind) || skips(&format!("{kind}.{group}")))
        {
            return Some(match kind {
                "Job" => "owned-by-job",
                "DaemonSet" => "owned-by-daemonset",
                _ => "owned-by-skipped-kind",
            });
        }
        let restart = present(pod.pointer("/spec/restartPolicy"));
        if restart.is_some_and(|policy| policy != "Always") {
            return Some("restart-policy");
        }
    }
    (grace_seconds(pod) <= 0).then_some("grace-period-zero")
}

fn is_malformed(pod: &Value) -> bool {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let grace = present(pod.pointer("/spec/terminationGracePeriodSeconds"));
    let metadata = present(pod.get("metadata"));
    let annotations = present(pod.pointer("/metadata/annotations"));
    containers.is_none_or(Vec::is_empty)
        || grace.is_some_and(|grace| grace.as_i64().is_none())
        || metadata.is_some_and(|metadata| !metadata.is_object())
        || annotations.is_some_and(|annotations| !annotations.is_object())
}

fn grace_seconds(pod: &Value) -> i64 {
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds");
    grace.and_then(Value::as_i64).unwrap_or(DEFAULT_GRACE_SECONDS)
}

/// Returns kind and API group of the controlling owner.
fn owner(pod: &Value) -> Option<(&str, &str)> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let controller =
        owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    let version = controller.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let group = version.rfind('/').map_or("", |slash| &version[..slash]);
    Some((controller.get("kind")?.as_str()?, group))
}

/// Applies the eighth rule.
fn nothing_left(plans: &[Plan<'_>]) -> Option<&'static str> {
    let any = |code: &str| plans.iter().any(|plan| plan.code == code);
    let mut well_formed = plans.iter().filter(|plan| plan.code != "malformed-container");
    if any(INJECTED) {
        None
    } else if any("own-hook") && well_formed.all(|plan| plan.code == "own-hook") {
        Some("own-hooks")
    } else if any("windows") {
        Some("windows")
    } else {
        Some("nothing-to-inject")
    }
}

// Sections 2 to 4.

fn plans<'a>(
    pod: &Value,
    settings: &Settings<'a>,
    (extends, earlier): (bool, Option<&Earlier>),
    policy: &'a Policy,
    problems: &mut Problems,
) -> Vec<Plan<'a>> {
    let mut plans = Vec::new();
    for (index, container) in containers(pod).iter().enumerate() {
        let source = settings.source(index, container, policy);
        let profile = match &source {
            Source::Profile { profile, .. } => Some(*profile),
            _ => None,
        };
        let known = profile.or_else(|| settings::found(container, policy));
        let code = code(container, profile);
        if code == "malformed-container" {
            problems.insert(code);
        }
        let programs = settings.programs(index, container, policy);
        let Delayed { mut least, most: mut delay, is_said, is_cut } =
            settings.delay(index, profile, policy);
        let asked_least = least;
        let is_own = code == "own-hook"
            && earlier.is_none_or(|earlier| earlier.of(container).is_none())
            && profile.is_none_or(|profile| profile.hook != ProfileHook::LeaveAlone);
        let own = (extends && is_own && settings.extends(index, policy))
            .then(|| Own::of(pod, container, programs, policy, problems))
            .flatten();
        let code = if own.is_some() { INJECTED } else { code };
        problems.extend((code == INJECTED && is_cut).then_some("delay-above-maximum"));
        let is_well_formed = code != "malformed-container";
        let has_shell = is_well_formed && shell_is_pid_1(pod, container);
        problems.extend(has_shell.then_some("shell-is-pid-1"));
        let ending = known.filter(|_| is_well_formed);
        let ending = ending.and_then(|known| ending_of(container, known, policy));
        let graceful = ending == Some(true);
        let runs = programs.shell != Presence::Absent && programs.sleep != Presence::Absent;
        let of_own = own.as_ref().and_then(Own::quit);
        let is_of_own = of_own.is_some();
        let mut quit = match source {
            _ if code != INJECTED => None,
            _ if of_own.is_some() => of_own,
            Source::Author { command, signal } => {
                author_quit(pod, command, signal, policy, problems).filter(|_| {
                    if !runs {
                        problems.insert("quit-needs-shell");
                    }
                    runs
                })
            }
            Source::Profile { profile, asked_for } => {
                profile_quit(pod, profile, graceful, (runs, asked_for), policy, problems)
            }
            Source::Nothing => None,
        };
        let obstacle = obstacle(pod, programs, quit.is_some());
        let is_sidecar = known.is_some_and(|known| known.sidecar_margin_seconds.is_some());
        let (hold, hold_is_said) = settings.hold(index, profile, is_sidecar, policy);
        let (report, report_is_said) = settings.report(index, policy);
        let is_free = code == INJECTED;
        let asked = |is_asked: bool, is_said: bool| {
            (is_free && is_asked).then_some((is_said, obstacle.is_none()))
        };
        let hold = asked(hold, hold_is_said);
        if profile.is_some_and(|profile| profile.hold == Some(Hold::Connections))
            && hold.is_some_and(|(_, is_possible)| is_possible)
            && !is_of_own
        {
            quit = None;
        }
        if let Some(own) = &own {
            least = least.max(own.seconds);
            delay = delay.max(own.seconds);
        }
        let is_watched = is_free && obstacle.is_none();
        plans.push(Plan {
            code,
            known,
            graceful,
            abrupt: ending == Some(false),
            programs,
            obstacle,
            least: if is_watched { least } else { delay },
            asked_least,
            extra: 0,
            quiet: settings.quiet(index),
            unwatched: (is_free && !is_watched && least < delay).then_some(is_said),
            hold,
            report: asked(report, report_is_said),
            earlier: None,
            asked: 0,
            drain: 0,
            quit,
            delay,
            own,
            wait: None,
            quit_timeout: settings.quit_timeout(index, container, policy),
        });
    }
    for (plan, container) in plans.iter_mut().zip(containers(pod)) {
        if let Some(command) = plan.own.as_ref().and_then(|own| own.command.clone()) {
            let waits = extend::waits(pod, container, plan, &command, problems);
            plan.quit.as_mut().unwrap().waits = waits;
        }
    }
    plans
}

/// Returns why a container is skipped, as far as its fields and its profile decide that, or
/// [`INJECTED`].
fn code(container: &Value, profile: Option<&Profile>) -> &'static str {
    let lifecycle = present(container.get("lifecycle"));
    let nameless = settings::name(container).is_none();
    if nameless || !container.is_object() || lifecycle.is_some_and(|value| !value.is_object()) {
        "malformed-container"
    } else if own_hook(container).is_some() {
        "own-hook"
    } else if profile.is_some_and(|profile| profile.hook == ProfileHook::LeaveAlone) {
        "left-alone-by-profile"
    } else {
        INJECTED
    }
}

/// Returns why a hook can't check connections.
fn obstacle(pod: &Value, programs: Programs, has_quit: bool) -> Option<&'static str> {
    let programs = [programs.shell, programs.sleep];
    if is_windows(pod) {
        Some("windows")
    } else if pod["spec"].get("hostNetwork") == Some(&Value::Bool(true)) {
        Some("host-network")
    } else if has_quit || programs == [Presence::Present; 2] {
        None
    } else if programs.contains(&Presence::Absent) {
        Some("no-shell")
    } else {
        Some("unknown-shell")
    }
}

fn containers(pod: &Value) -> &[Value] {
    pod["spec"]["containers"].as_array().unwrap()
}

fn own_hook(container: &Value) -> Option<&Value> {
    present(container.pointer("/lifecycle/preStop"))
}

fn is_windows(pod: &Value) -> bool {
    pod.pointer("/spec/os/name") == Some(&json!("windows"))
        || pod.pointer("/spec/nodeSelector/kubernetes.io~1os") == Some(&json!("windows"))
}

/// Whether PID 1 of the container's PID namespace is not the application.
fn shares_processes(pod: &Value) -> bool {
    ["hostPID", "shareProcessNamespace"]
        .iter()
        .any(|field| pod["spec"].get(field) == Some(&Value::Bool(true)))
}

/// Whether the command is a script of the generated pods for which the shell remains PID 1.
fn shell_is_pid_1(pod: &Value, container: &Value) -> bool {
    let command = container.get("command").and_then(Value::as_array);
    let script = command.filter(|command| command.len() == 3 && command[1] == "-c");
    let script = script.and_then(|command| command[2].as_str()).unwrap_or_default();
    !is_windows(pod)
        && !shares_processes(pod)
        && !script.contains("exec ")
        && script.ends_with("; true")
}

// Section 7.

fn reserve(seconds: i64) -> i64 {
    (seconds / 4).clamp(1, 5)
}

fn grace_after(
    plans: &mut [Plan<'_>],
    grace: i64,
    now: i64,
    policy: &Policy,
    problems: &mut Problems,
) -> i64 {
    let wanted = |delay: fn(&Plan<'_>) -> i64| {
        let injected = plans.iter().filter(|plan| plan.code == INJECTED);
        let all = injected.map(|plan| delay(plan).saturating_add(plan.application_seconds(grace)));
        all.fold(grace, i64::max)
    };
    let maximum = policy.maximum_grace_period_seconds;
    let (full, needed) = (wanted(|plan| plan.delay), wanted(|plan| plan.delay - plan.drain));
    let (cut, capped) = (full > maximum, needed > maximum);
    let after = if cut { grace.max(maximum) } else { full }.max(now);
    for plan in plans.iter_mut().filter(|plan| plan.code == INJECTED) {
        let longest = (after - reserve(after)).max(0);
        plan.asked = plan.delay;
        let own = plan.delay - plan.drain;
        if cut && own > longest {
            problems.insert("delay-shortened");
        }
        if cut {
            plan.delay = plan.delay.min(longest);
        }
        let own = if cut { own.min(longest) } else { own };
        let only_the_delay_is_lost = grace >= maximum && plan.application_seconds(grace) == grace;
        if capped && !only_the_delay_is_lost && after - own < plan.application_seconds(grace) {
            problems.insert("grace-period-capped");
        }
        let left = plan.application_seconds(grace).min(after - plan.delay);
        let wait = plan.quit_timeout.unwrap_or(grace).min(left - reserve(left));
        plan.wait = plan.waits().then_some(wait.max(0));
    }
    after
}

/// Reports a delay that is too short for the load balancers of the readiness gates.
fn fronts(pod: &Value, plans: &[Plan<'_>], problems: &mut Problems) {
    let Some((needed, _)) = settings::needed_by_gates(pod) else { return };
    let mut held = Vec::new();
    for (plan, container) in plans.iter().zip(containers(pod)) {
        match plan.code {
            INJECTED => held.push(plan.delay),
            "no-delay" => held.push(0),
            "own-hook" => match (plan.earlier, own_hook(container).and_then(own_sleep)) {
                (Some((delay, _)), _) => held.push(delay),
                (None, Some((seconds, true))) => held.push(seconds),
                (None, _) => return,
            },
            _ => return,
        }
    }
    if held.iter().max().is_some_and(|longest| *longest < needed) {
        problems.insert("delay-too-short-for-front");
    }
}

fn probes(plans: &[Plan<'_>], containers: &[Value], problems: &mut Problems) {
    for (plan, container) in plans.iter().zip(containers) {
        for probe in ["livenessProbe", "startupProbe"] {
            let own = container
                .pointer(&format!("/{probe}/terminationGracePeriodSeconds"))
                .and_then(Value::as_i64);
            let hook = plan.delay.saturating_add(plan.wait.unwrap_or(0));
            if plan.code == INJECTED && own.is_some_and(|own| own < hook) {
                problems.insert("probe-grace-period-too-short");
            }
        }
    }
}
