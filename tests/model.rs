//! The reference model: `docs/rules.md` a second time, the naive way. It works on the whole pod as
//! plain JSON and writes the whole pod anew; the properties compare it with the engine.

mod examples;
mod hook;
mod settings;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use prestop::catalogue::{Profile, ProfileHook, QuitWhen, Signal};
use prestop::policy::{NamespaceRule, OwnerKind, Policy, QuitPolicy};
use serde_json::{Value, json};

use self::hook::hook_seconds;
use self::settings::{Settings, Source, Switch, image};
use self::status::{believed_status, rewritten};
use crate::api_rules::{LARGEST_ANNOTATIONS, annotations_size};

/// Stands for the script of the hook, whose text is not the model's business.
pub(crate) const SCRIPT: &str = "SCRIPT";

pub(crate) const STATUS: &str = "prestop.dev/status";
pub(crate) const INJECTED: &str = "injected";

/// Grace of a pod that does not say.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// Codes of problems; each at most once.
type Problems = BTreeSet<&'static str>;

/// A namespace, as far as it matters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Namespace {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What becomes of a pod.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The pod after; its status annotation is the model's own.
    pub(crate) result: Value,
    /// Why the pod is left alone, if it is.
    pub(crate) reason: Option<&'static str>,
    /// Codes, sorted, each once.
    pub(crate) problems: Vec<&'static str>,
    /// One for each regular container; empty where the first seven rules decide.
    pub(crate) containers: Vec<ContainerOutcome>,
}

/// What becomes of a container.
#[derive(Debug, Clone)]
pub(crate) struct ContainerOutcome {
    /// [`INJECTED`], or why it is left alone.
    pub(crate) code: &'static str,
    pub(crate) delay_seconds: i64,
    /// `None` where the hook does not wait.
    pub(crate) wait_seconds: Option<i64>,
    /// What the application is to have after the delay: max(G, W).
    pub(crate) application_seconds: i64,
}

/// The quit of a hook.
#[derive(Debug)]
struct Quit {
    command: Vec<String>,
    signal: Option<Signal>,
    process_names: Vec<String>,
    waits: bool,
}

/// What is known about a container while the pod is decided on.
struct Plan<'a> {
    code: &'static str,
    profile: Option<&'a Profile>,
    quit: Option<Quit>,
    delay: i64,
    wait: Option<i64>,
    quit_timeout: Option<i64>,
}

/// Decides on a pod and rewrites it.
pub(crate) fn inject(pod: &Value, namespace: &Namespace, policy: &Policy) -> Outcome {
    if let Some(reason) = none_of_our_business(pod, namespace, policy) {
        return skipped(pod, reason, &Problems::new(), Vec::new());
    }
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let mut problems = Problems::new();
    let settings = Settings::read(pod, containers, namespace, policy, &mut problems);
    if let Some(reason) = not_for_hooks(pod, policy) {
        return skipped(pod, reason, &problems, Vec::new());
    }
    let earlier = believed_status(pod, &mut problems);
    let now = grace_seconds(pod);
    let grace = earlier.as_ref().map_or(now, |earlier| earlier.before);

    let mut plans = plans(pod, &settings, policy, &mut problems);
    delay_sidecars(&mut plans, containers, &settings, earlier.is_some());
    for plan in &mut plans {
        plan.close(is_windows(pod), policy);
    }
    if let Some(reason) = nothing_left(&plans) {
        return skipped(pod, reason, &problems, outcomes(&plans, grace));
    }
    let after = grace_after(&mut plans, grace, now, policy, &mut problems);
    probes(&plans, containers, &mut problems);

    let mut result = rewritten(pod, &plans, policy, (grace, after), earlier);
    if annotations_size(&result) > LARGEST_ANNOTATIONS {
        result["metadata"] = pod["metadata"].clone();
        problems.insert("status-left-out");
    }
    Outcome {
        result,
        reason: None,
        problems: problems.into_iter().collect(),
        containers: outcomes(&plans, grace),
    }
}

/// JSON's `null` counts as absent.
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
    }
}

fn outcomes(plans: &[Plan<'_>], grace: i64) -> Vec<ContainerOutcome> {
    let outcome = |plan: &Plan<'_>| ContainerOutcome {
        code: plan.code,
        delay_seconds: plan.delay,
        wait_seconds: plan.wait,
        application_seconds: plan.application_seconds(grace),
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

/// The sixth and the seventh rule.
fn not_for_hooks(pod: &Value, policy: &Policy) -> Option<&'static str> {
    if Switch::of_pod(pod) != Switch::On {
        if let Some(kind) = owner(pod).filter(|kind| policy.skipped_owners.contains(kind)) {
            return Some(match kind {
                OwnerKind::Job => "owned-by-job",
                OwnerKind::DaemonSet => "owned-by-daemonset",
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

/// The kind of the controlling owner.
fn owner(pod: &Value) -> Option<OwnerKind> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let controller =
        owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    OwnerKind::from_name(controller.get("kind")?.as_str()?)
}

/// The eighth rule.
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
    policy: &'a Policy,
    problems: &mut Problems,
) -> Vec<Plan<'a>> {
    let mut plans = Vec::new();
    for (index, container) in containers(pod).iter().enumerate() {
        let source = settings.source(index, container, policy);
        let profile = match &source {
            Source::Profile(profile) => Some(*profile),
            _ => None,
        };
        let lifecycle = present(container.get("lifecycle"));
        let nameless = settings::name(container).is_none();
        let code = if nameless
            || !container.is_object()
            || lifecycle.is_some_and(|value| !value.is_object())
        {
            problems.insert("malformed-container");
            "malformed-container"
        } else if own_hook(container).is_some() {
            "own-hook"
        } else if profile.is_some_and(|profile| profile.hook == ProfileHook::LeaveAlone) {
            "left-alone-by-profile"
        } else {
            INJECTED
        };
        let quit = match source {
            _ if code != INJECTED => None,
            Source::Author { command, signal } => {
                author_quit(pod, command, signal, policy, problems)
            }
            Source::Profile(profile) => profile_quit(pod, container, profile, policy, problems),
            Source::Nothing => None,
        };
        plans.push(Plan {
            code,
            profile,
            quit,
            delay: settings.delay(index, profile, policy),
            wait: None,
            quit_timeout: settings.quit_timeout(index, policy),
        });
    }
    plans
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

/// PID 1 of the container is not the application.
fn shares_processes(pod: &Value) -> bool {
    ["hostPID", "shareProcessNamespace"]
        .iter()
        .any(|field| pod["spec"].get(field) == Some(&Value::Bool(true)))
}

fn author_quit(
    pod: &Value,
    command: Vec<String>,
    mut signal: Option<Signal>,
    policy: &Policy,
    problems: &mut Problems,
) -> Option<Quit> {
    if is_windows(pod) {
        problems.insert("quit-not-possible-on-windows");
        return None;
    }
    if policy.quit == QuitPolicy::Never {
        problems.insert("quit-disabled");
        return None;
    }
    if signal.is_some() && shares_processes(pod) {
        problems.insert("pid-1-is-not-the-application");
        signal = None;
    }
    (signal.is_some() || !command.is_empty()).then_some(Quit {
        command,
        signal,
        process_names: Vec::new(),
        waits: true,
    })
}

fn profile_quit(
    pod: &Value,
    container: &Value,
    profile: &Profile,
    policy: &Policy,
    problems: &mut Problems,
) -> Option<Quit> {
    let ProfileHook::Quit(quit) = &profile.hook else {
        return None;
    };
    let graceful = known_to_stop_gracefully(container, profile);
    let only_when_needed = policy.quit == QuitPolicy::WhenNeeded || quit.when == QuitWhen::Needed;
    if policy.quit == QuitPolicy::Never || (graceful && only_when_needed) {
        return None;
    }
    if is_windows(pod) {
        return None;
    }
    if shares_processes(pod) {
        problems.insert("pid-1-is-not-the-application");
        return None;
    }
    Some(Quit {
        command: quit.command.clone(),
        signal: quit.signal,
        process_names: quit.process_names.clone(),
        waits: quit.command.is_empty() || !graceful,
    })
}

fn known_to_stop_gracefully(container: &Value, profile: &Profile) -> bool {
    let own_command = present(container.get("command")).is_some_and(|value| *value != json!([]));
    let image = image(container).filter(|image| {
        let mut patterns = profile.images.iter();
        patterns.any(|pattern| pattern.matches(image))
    });
    !own_command && image.is_some_and(|image| profile.stops_gracefully(image.certain_tag()))
}

// Section 6.

fn delay_sidecars(
    plans: &mut [Plan<'_>],
    containers: &[Value],
    settings: &Settings<'_>,
    believed: bool,
) {
    let counted = |(plan, container): (&Plan<'_>, &Value)| match plan.code {
        INJECTED if plan.delay == 0 && plan.quit.is_none() => 0,
        INJECTED => plan.delay,
        "own-hook" => {
            own_hook(container).and_then(|hook| hook_seconds(hook, believed)).unwrap_or(plan.delay)
        }
        _ => 0,
    };
    let margin = |plan: &Plan<'_>| plan.profile?.sidecar_margin_seconds;
    let is_application =
        |plan: &Plan<'_>| margin(plan).is_none() && plan.code != "malformed-container";
    let longest =
        plans.iter().zip(containers).filter(|(plan, _)| is_application(plan)).map(counted).max();
    for (index, plan) in plans.iter_mut().enumerate() {
        if let (Some(margin), Some(longest)) = (margin(plan), longest)
            && settings.own_delay(index).is_none()
        {
            plan.delay = longest.saturating_add(margin);
        }
    }
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
    let wanted = plans
        .iter()
        .filter(|plan| plan.code == INJECTED)
        .map(|plan| plan.delay.saturating_add(plan.application_seconds(grace)))
        .fold(grace, i64::max);
    let maximum = policy.maximum_grace_period_seconds;
    let capped = wanted > maximum;
    let after = if capped { grace.max(maximum) } else { wanted }.max(now);
    for plan in plans.iter_mut().filter(|plan| plan.code == INJECTED) {
        let longest = (after - reserve(after)).max(0);
        if capped && plan.delay > longest {
            plan.delay = longest;
            problems.insert("delay-shortened");
        }
        if capped && after - plan.delay < plan.application_seconds(grace) {
            problems.insert("grace-period-capped");
        }
        let left = plan.application_seconds(grace).min(after - plan.delay);
        let wait = plan.quit_timeout.unwrap_or(grace).min(left - reserve(left));
        let waits = plan.quit.as_ref().is_some_and(|quit| quit.waits);
        plan.wait = waits.then_some(wait.max(0));
    }
    after
}

impl Plan<'_> {
    /// max(G, W).
    fn application_seconds(&self, grace: i64) -> i64 {
        self.quit_timeout.map_or(grace, |timeout| timeout.max(grace))
    }

    /// The rest of section 2, once the delay is known.
    fn close(&mut self, windows: bool, policy: &Policy) {
        if self.code != INJECTED || self.quit.is_some() {
            return;
        }
        if self.delay == 0 {
            self.code = "no-delay";
        } else if windows && !policy.has_sleep_action() {
            self.code = "windows";
        }
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
