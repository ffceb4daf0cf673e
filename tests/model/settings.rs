//! Section 3 of the rules: reading of labels and annotations, and the order of the levels.

use std::collections::BTreeMap;

use prestop_core::catalogue::{Hold, ImageReference, Presence, Profile, Programs, Signal};
use prestop_core::duration::{self, AskedDelay, Delay};
use prestop_core::policy::{HookReport, OwnHookRule, Policy};
use serde_json::Value;

use super::{Namespace, Problems, present};

const DOMAIN: &str = "prestop.dev";
const SETTINGS: [&str; 10] = [
    "delay",
    "profile",
    "quit-command",
    "quit-signal",
    "quit-timeout",
    "quiet-period",
    "shell",
    "hold",
    "hook-report",
    "own-hook",
];
/// Settings that a namespace can have.
const OF_NAMESPACES: [&str; 8] = [
    "delay",
    "profile",
    "quit-timeout",
    "quiet-period",
    "shell",
    "hold",
    "hook-report",
    "own-hook",
];

/// Value of `prestop.dev/inject`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
    Unreadable,
    Absent,
}

/// Source of a container's quit.
pub(super) enum Source<'a> {
    Author {
        command: Vec<String>,
        signal: Option<Signal>,
    },
    Profile {
        profile: &'a Profile,
        /// Whether an annotation names the profile.
        asked_for: bool,
    },
    Nothing,
}

/// All settings of the author and the namespace, read once.
pub(super) struct Settings<'a> {
    containers: Vec<Level<'a>>,
    pod: Level<'a>,
    namespace: Level<'a>,
    default_container: Option<String>,
    main_container: Option<usize>,
    /// Bounds of the delay that the load balancers in the pod's readiness gates need.
    behind: Option<(i64, i64)>,
}

/// A valid delay.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    Auto,
    Between(i64, i64),
}

/// Delay of a container, in seconds.
pub(super) struct Delayed {
    pub(super) least: i64,
    pub(super) most: i64,
    /// Whether an annotation sets it.
    pub(super) is_said: bool,
    /// Whether it is the delay that the fronts need, cut to the maximum.
    pub(super) is_cut: bool,
}

/// The valid settings of one level.
#[derive(Default)]
struct Level<'a> {
    delay: Option<Asked>,
    quit_timeout: Option<i64>,
    quiet: Option<i64>,
    shell: Option<bool>,
    hold: Option<bool>,
    report: Option<bool>,
    command: Option<Vec<String>>,
    signal: Option<Signal>,
    profile: Option<Choice<'a>>,
    extends: Option<bool>,
}

/// A valid value of `prestop.dev/profile`.
#[derive(Clone, Copy)]
enum Choice<'a> {
    Auto,
    None,
    Named(&'a Profile),
}

impl Switch {
    pub(super) fn of_pod(pod: &Value) -> Self {
        Self::read(pod.pointer("/metadata/labels/prestop.dev~1inject"))
    }

    pub(super) fn of_namespace(namespace: &Namespace) -> Self {
        let label = namespace.labels.get("prestop.dev/inject");
        Self::read(label.map(|text| Value::from(text.as_str())).as_ref())
    }

    fn read(label: Option<&Value>) -> Self {
        let Some(label) = label.filter(|label| !label.is_null()) else {
            return Self::Absent;
        };
        match label.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("enabled" | "true") => Self::On,
            Some("disabled" | "false") => Self::Off,
            _ => Self::Unreadable,
        }
    }
}

impl<'a> Settings<'a> {
    pub(super) fn read(
        pod: &Value,
        containers: &[Value],
        namespace: &Namespace,
        policy: &'a Policy,
        problems: &mut Problems,
    ) -> Self {
        if [Switch::of_namespace(namespace), Switch::of_pod(pod)].contains(&Switch::Unreadable) {
            problems.insert("invalid-value");
        }
        namespace_keys(namespace, problems);
        pod_keys(pod, containers, problems);

        let of_namespace = |setting: &str| {
            let allowed = OF_NAMESPACES.contains(&setting);
            let text = namespace.annotations.get(&format!("{DOMAIN}/{setting}"))?;
            allowed.then(|| Value::from(text.as_str()))
        };
        let annotations = pod.pointer("/metadata/annotations");
        let of_pod = |key: &str| annotations?.get(key).filter(|value| !value.is_null()).cloned();
        let namespace = Level::read(of_namespace, policy, problems);
        let level = Level::read(|setting| of_pod(&format!("{DOMAIN}/{setting}")), policy, problems);
        let of_container = |container: &Value| match name(container) {
            None => Level::default(),
            Some(name) => Level::read(
                |setting| of_pod(&format!("{setting}.{DOMAIN}/{name}")),
                policy,
                problems,
            ),
        };
        let of_containers = containers.iter().map(of_container).collect();

        let default = of_pod("kubectl.kubernetes.io/default-container");
        let default = default.as_ref().and_then(Value::as_str).map(str::to_owned);
        if default.as_deref().is_some_and(|wanted| position(containers, wanted).is_none()) {
            problems.insert("no-such-container");
        }
        Self {
            containers: of_containers,
            pod: level,
            namespace,
            default_container: default,
            main_container: None,
            behind: needed_by_gates(pod),
        }
    }

    /// Chooses the main container. Returns its name if any setting is for the main container only.
    pub(super) fn choose_main<'p>(
        &mut self,
        containers: &'p [Value],
        earlier: Option<&str>,
        policy: &Policy,
    ) -> Option<&'p str> {
        let is_unique =
            |wanted: &&str| containers.iter().filter(|it| name(it) == Some(*wanted)).count() == 1;
        let wanted = [earlier.filter(is_unique), self.default_container.as_deref()];
        let wanted = wanted.iter().flatten().find_map(|wanted| position(containers, wanted));
        let named = |container: &Value| name(container).is_some();
        let application = |container: &Value| {
            named(container)
                && found(container, policy)
                    .is_none_or(|profile| profile.sidecar_margin_seconds.is_none())
        };
        self.main_container = wanted
            .or_else(|| containers.iter().position(application))
            .or_else(|| containers.iter().position(named));
        let for_one = |choice: Option<Choice<'_>>| matches!(choice, Some(Choice::Named(_)));
        let anything = self.pod.author().is_some()
            || for_one(self.pod.profile)
            || for_one(self.namespace.profile);
        self.main_container.and_then(|main| name(&containers[main])).filter(|_| anything)
    }

    /// Whether the container's own hook is to be completed.
    pub(super) fn extends(&self, index: usize, policy: &Policy) -> bool {
        let levels = [&self.containers[index], &self.pod, &self.namespace];
        let said = levels.iter().find_map(|level| level.extends);
        said.unwrap_or(policy.default_own_hook == OwnHookRule::Extend)
    }

    /// Whether the container's own annotation sets its delay.
    pub(super) fn has_own_delay(&self, index: usize) -> bool {
        match self.containers[index].delay {
            Some(Asked::Between(..)) => true,
            Some(Asked::Auto) => self.behind.is_some(),
            None => false,
        }
    }

    /// Returns the bounds of the delay, and whether an annotation sets them.
    pub(super) fn delay(
        &self,
        index: usize,
        profile: Option<&Profile>,
        policy: &Policy,
    ) -> Delayed {
        let asked = |delay: Delay| Asked::Between(delay.least_seconds, delay.most_seconds);
        let default = match policy.default_delay {
            AskedDelay::Of(delay) => asked(delay),
            AskedDelay::Auto => Asked::Auto,
        };
        let said = self.containers[index].delay.or(self.pod.delay).or(self.namespace.delay);
        let of_profile = profile.and_then(|profile| profile.delay).map(asked);
        let maximum = policy.maximum_delay_seconds;
        match (said.or(of_profile).unwrap_or(default), self.behind, default) {
            (Asked::Between(least, most), ..) => {
                Delayed { least, most, is_said: said.is_some(), is_cut: false }
            }
            (Asked::Auto, Some((least, most)), _) => Delayed {
                least: least.min(maximum),
                most: most.min(maximum),
                is_said: false,
                is_cut: most > maximum,
            },
            (Asked::Auto, None, Asked::Between(least, most)) => {
                Delayed { least, most, is_said: false, is_cut: false }
            }
            (Asked::Auto, None, Asked::Auto) => {
                let ten = maximum.min(10);
                Delayed { least: ten, most: ten, is_said: false, is_cut: false }
            }
        }
    }

    pub(super) fn quiet(&self, index: usize) -> i64 {
        self.containers[index].quiet.or(self.pod.quiet).or(self.namespace.quiet).unwrap_or(5)
    }

    /// Returns whether the image has a shell and `sleep`.
    pub(super) fn programs(&self, index: usize, container: &Value, policy: &Policy) -> Programs {
        let both = |is_there: bool| {
            let presence = if is_there { Presence::Present } else { Presence::Absent };
            Programs { shell: presence, sleep: presence }
        };
        let mut known =
            image(container).map_or(Programs::UNKNOWN, |image| policy.catalogue.programs(&image));
        let lacks = [known.shell, known.sleep].contains(&Presence::Absent);
        if let Some(own) = self.containers[index].shell {
            return both(own);
        }
        match self.pod.shell.or(self.namespace.shell) {
            Some(false) => return both(false),
            Some(true) if !lacks => return both(true),
            _ => {}
        }
        for presence in [&mut known.shell, &mut known.sleep] {
            if *presence == Presence::Unknown {
                *presence = policy.default_shell;
            }
        }
        known
    }

    /// Returns whether the hook is to wait for connections, and whether an annotation sets that.
    pub(super) fn hold(
        &self,
        index: usize,
        profile: Option<&Profile>,
        is_sidecar: bool,
        policy: &Policy,
    ) -> (bool, bool) {
        let own = self.containers[index].hold;
        let for_all = self.pod.hold.or(self.namespace.hold).filter(|_| !is_sidecar);
        let said = own.or(for_all);
        let of_profile = profile.and_then(|profile| profile.hold);
        let default = !is_sidecar && policy.default_hold == Hold::Connections;
        let unsaid = of_profile.map_or(default, |hold| hold == Hold::Connections);
        (said.unwrap_or(unsaid), said.is_some())
    }

    /// Returns whether the hook is to report, and whether an annotation sets that.
    pub(super) fn report(&self, index: usize, policy: &Policy) -> (bool, bool) {
        let said = self.containers[index].report.or(self.pod.report).or(self.namespace.report);
        let default = policy.default_report == HookReport::TerminationMessage;
        (said.unwrap_or(default), said.is_some())
    }

    pub(super) fn quit_timeout(
        &self,
        index: usize,
        container: &Value,
        policy: &Policy,
    ) -> Option<i64> {
        self.containers[index]
            .quit_timeout
            .or(self.pod.quit_timeout)
            .or(self.namespace.quit_timeout)
            .or_else(|| own_timeout(container))
            .or(policy.default_quit_timeout_seconds)
    }

    pub(super) fn source(&self, index: usize, container: &Value, policy: &'a Policy) -> Source<'a> {
        let main = Some(index) == self.main_container;
        let own = &self.containers[index];
        let for_this = |choice: &Choice| main || !matches!(choice, Choice::Named(_));
        let choice = if let Some(source) = own.author() {
            return source;
        } else if let Some(choice) = own.profile {
            choice
        } else if let Some(source) = self.pod.author().filter(|_| main) {
            return source;
        } else if let Some(choice) = self.pod.profile.filter(for_this) {
            choice
        } else if let Some(choice) = self.namespace.profile.filter(for_this) {
            choice
        } else {
            Choice::Auto
        };
        let profile = match choice {
            Choice::None => None,
            Choice::Named(profile) => Some(profile),
            Choice::Auto => {
                let source = found(container, policy);
                return source.map_or(Source::Nothing, |profile| Source::Profile {
                    profile,
                    asked_for: false,
                });
            }
        };
        profile.map_or(Source::Nothing, |profile| Source::Profile { profile, asked_for: true })
    }
}

/// Returns the bounds of the delay that the load balancers in the readiness gates need together.
pub(super) fn needed_by_gates(pod: &Value) -> Option<(i64, i64)> {
    let gates = pod.pointer("/spec/readinessGates").and_then(Value::as_array);
    let needed = |gate: &Value| match gate.get("conditionType")?.as_str()? {
        "cloud.google.com/load-balancer-neg-ready" => Some((60, 120)),
        gate if gate.starts_with("target-health.elbv2.k8s.aws/")
            || gate.starts_with("target-health.alb.ingress.k8s.aws/") =>
        {
            Some((30, 180))
        }
        _ => None,
    };
    let all = gates.into_iter().flatten().filter_map(needed);
    all.reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
}

impl<'a> Level<'a> {
    fn read(
        mut get: impl FnMut(&str) -> Option<Value>,
        policy: &'a Policy,
        problems: &mut Problems,
    ) -> Self {
        let mut delay = get("delay").and_then(|value| match value.as_str() {
            Some("auto") => Some(Asked::Auto),
            _ => bounds(&value, problems).map(|(least, most)| Asked::Between(least, most)),
        });
        if let Some(Asked::Between(least, most)) = &mut delay
            && *most > policy.maximum_delay_seconds
        {
            problems.insert("delay-above-maximum");
            *most = policy.maximum_delay_seconds;
            *least = (*least).min(*most);
        }
        let command = get("quit-command");
        let is_text = command.as_ref().is_some_and(Value::is_string);
        let command = if is_text && !policy.allow_quit_command_annotation {
            problems.insert("quit-command-not-allowed");
            None
        } else {
            command.and_then(|value| told(quit_command(&value), "invalid-value", problems))
        };
        Self {
            delay,
            quit_timeout: get("quit-timeout").and_then(|value| seconds(&value, problems)),
            quiet: get("quiet-period")
                .and_then(|value| seconds(&value, problems))
                .and_then(|quiet| told((quiet > 0).then_some(quiet), "invalid-value", problems)),
            shell: get("shell").and_then(|value| word(&value, "present", "absent", problems)),
            hold: get("hold").and_then(|value| word(&value, "connections", "none", problems)),
            report: get("hook-report")
                .and_then(|value| word(&value, "termination-message", "none", problems)),
            command,
            signal: get("quit-signal").and_then(|value| {
                let signal = value.as_str().and_then(|text| text.parse().ok());
                told(signal, "invalid-value", problems)
            }),
            extends: get("own-hook").and_then(|value| match value.as_str() {
                Some("keep") => Some(false),
                Some("extend") => Some(true),
                _ => told(None, "invalid-value", problems),
            }),
            profile: get("profile").and_then(|value| match value.as_str() {
                None => told(None, "invalid-value", problems),
                Some("auto") => Some(Choice::Auto),
                Some("none") => Some(Choice::None),
                Some(name) => {
                    let profile = policy.catalogue.by_name(name).map(Choice::Named);
                    told(profile, "unknown-profile", problems)
                }
            }),
        }
    }

    fn author(&self) -> Option<Source<'a>> {
        (self.command.is_some() || self.signal.is_some()).then(|| Source::Author {
            command: self.command.clone().unwrap_or_default(),
            signal: self.signal,
        })
    }
}

/// Returns the image of a container, if it has one that could be pulled.
pub(super) fn image(container: &Value) -> Option<ImageReference<'_>> {
    ImageReference::parse(container.get("image")?.as_str()?)
}

/// Returns the profile of the image, or else that of the container name.
pub(super) fn found<'a>(container: &Value, policy: &'a Policy) -> Option<&'a Profile> {
    let image = image(container).filter(|image| image.repository != "auto");
    let by_image = image.and_then(|image| policy.catalogue.for_image(&image));
    by_image.map(|(profile, _)| profile).or_else(|| {
        let name = name(container)?;
        policy
            .catalogue
            .profiles()
            .iter()
            .find(|profile| profile.container_names.iter().any(|known| known == name))
    })
}

fn position(containers: &[Value], wanted: &str) -> Option<usize> {
    containers.iter().position(|container| name(container) == Some(wanted))
}

/// Returns the application's own timeout in the two forms of the generated pods: a flag of the
/// image's own program, and a variable of Spring.
fn own_timeout(container: &Value) -> Option<i64> {
    let list =
        |field: &str| container.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    if list("command").is_empty()
        && let [flag, seconds] = list("args").as_slice()
        && flag == "--graceful-timeout"
    {
        return seconds.as_str()?.parse().ok();
    }
    list("env").iter().find_map(|variable| {
        let is_it = variable.get("name")? == "SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE";
        variable.get("value")?.as_str()?.strip_suffix('s')?.parse().ok().filter(|_| is_it)
    })
}

pub(super) fn name(container: &Value) -> Option<&str> {
    container.get("name")?.as_str()
}

fn told<T>(value: Option<T>, problem: &'static str, problems: &mut Problems) -> Option<T> {
    if value.is_none() {
        problems.insert(problem);
    }
    value
}

fn seconds(value: &Value, problems: &mut Problems) -> Option<i64> {
    let parsed = value.as_str().and_then(|text| duration::parse(text).ok());
    let parsed = told(parsed, "invalid-value", problems)?;
    if parsed.rounded_up {
        problems.insert("rounded-up");
    }
    Some(parsed.seconds)
}

/// Reads a duration, or two with `-` between them, the shorter one first.
fn bounds(value: &Value, problems: &mut Problems) -> Option<(i64, i64)> {
    let mut found = Problems::new();
    let parts: Vec<&str> = value.as_str().unwrap_or_default().split('-').collect();
    let read = |part: &str, found: &mut Problems| seconds(&Value::from(part), found);
    let bounds = match parts.as_slice() {
        [one] => read(one, &mut found).map(|one| (one, one)),
        [one, two] => {
            let one = read(one, &mut found);
            let two = read(two, &mut found);
            one.zip(two).filter(|(one, two)| one <= two)
        }
        _ => None,
    };
    // Rounding is not reported for an invalid value.
    match told(bounds, "invalid-value", problems) {
        Some(_) => problems.extend(found),
        None => return None,
    }
    bounds
}

fn word(value: &Value, yes: &str, no: &str, problems: &mut Problems) -> Option<bool> {
    let found = value.as_str().filter(|text| [yes, no].contains(text)).map(|text| text == yes);
    told(found, "invalid-value", problems)
}

/// Reads a JSON array of strings that the kernel could run.
fn quit_command(value: &Value) -> Option<Vec<String>> {
    let command: Vec<String> = serde_json::from_str(value.as_str()?).ok()?;
    let runnable = command.first().is_some_and(|program| !program.is_empty())
        && !command.iter().any(|argument| argument.contains('\0'));
    runnable.then_some(command)
}

/// Returns the parts of a prestop.dev key before and after the slash, without the domain.
fn of_ours(key: &str) -> Option<(&str, &str)> {
    let (prefix, rest) = key.split_once('/')?;
    let setting = prefix.strip_suffix(DOMAIN)?;
    if setting.is_empty() {
        return Some(("", rest));
    }
    let setting = setting.strip_suffix('.')?;
    (!setting.is_empty()).then_some((setting, rest))
}

fn namespace_keys(namespace: &Namespace, problems: &mut Problems) {
    label_keys(namespace.labels.keys(), problems);
    for key in namespace.annotations.keys() {
        match of_ours(key) {
            None => {}
            Some(("", setting)) if OF_NAMESPACES.contains(&setting) => {}
            Some(("", "quit-command" | "quit-signal")) => {
                problems.insert("not-for-namespaces");
            }
            Some(("", "inject")) => {
                problems.insert("inject-is-a-label");
            }
            Some(_) => {
                problems.insert("unknown-key");
            }
        }
    }
}

fn pod_keys(pod: &Value, containers: &[Value], problems: &mut Problems) {
    let entries = |map: &str| {
        let map = present(pod.get("metadata")).and_then(|metadata| metadata.get(map));
        let map = map.and_then(Value::as_object).cloned().unwrap_or_default();
        map.into_iter().collect::<BTreeMap<_, _>>()
    };
    label_keys(entries("labels").keys(), problems);
    for key in entries("annotations").keys() {
        match of_ours(key) {
            None | Some(("", "status") | ("audit", "ignore")) => {}
            Some(("", "inject")) => {
                problems.insert("inject-is-a-label");
            }
            Some(("", setting)) if SETTINGS.contains(&setting) => {}
            Some((setting, wanted)) if SETTINGS.contains(&setting) => {
                if !containers.iter().any(|container| name(container) == Some(wanted)) {
                    problems.insert("no-such-container");
                }
            }
            Some(_) => {
                problems.insert("unknown-key");
            }
        }
    }
}

fn label_keys<'k>(keys: impl Iterator<Item = &'k String>, problems: &mut Problems) {
    for key in keys {
        if of_ours(key).is_some_and(|parts| parts != ("", "inject")) {
            problems.insert("unknown-key");
        }
    }
}
