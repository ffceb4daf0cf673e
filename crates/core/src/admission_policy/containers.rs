//! Containers in CEL: which of them get a hook, the length of its delay, and its quit.

use super::Variable;
use super::cel::{text, texts};
use super::settings::{container_key, default_delay, key, strongest};
use super::tables::{by_name, is_quit_when_needed, lack_something, names, programs};
use crate::catalogue::{Presence, Profile, ProfileHook, RESERVED_NAMES};
use crate::duration::AskedDelay;
use crate::engine::grace::{LEAST_RESERVE_SECONDS, MOST_RESERVE_SECONDS, RESERVE_DIVISOR};
use crate::engine::settings::Setting;
use crate::policy::{Policy, QuitPolicy};

/// `transformList` over the containers: evaluates an expression for each container `c` at index
/// `i`.
pub(super) fn of_each(expression: &str) -> String {
    format!("variables.containers.transformList(i, c,\n  {expression})")
}

/// Time of a period that is reserved for the stop signal, as an expression in seconds.
pub(super) fn reserve(seconds: &str) -> String {
    format!(
        "[[({seconds}) / {RESERVE_DIVISOR}, {LEAST_RESERVE_SECONDS}].max(), {MOST_RESERVE_SECONDS}].min()"
    )
}

/// Variables for which containers are skipped, and for the delay of each container by its own
/// settings.
pub(super) fn delays(policy: &Policy) -> Vec<Variable> {
    let catalogue = &policy.catalogue;
    let left_alone = names(catalogue, |profile| profile.hook == ProfileHook::LeaveAlone);
    let of_profiles = by_name(catalogue, |profile| Some(profile.delay?.most_seconds));
    let default = default_delay(policy);
    let otherwise = if of_profiles == "{}" {
        default.to_string()
    } else {
        format!(
            "variables.chosenProfiles[i] in {of_profiles} ? {of_profiles}[variables.chosenProfiles[i]] : {default}"
        )
    };
    let own = container_key(Setting::Delay);
    let auto = text(AskedDelay::AUTO);
    vec![
        Variable::new(
            "mainContainer",
            "The container to which a profile set on the pod or namespace applies.",
            MAIN_CONTAINER,
        ),
        Variable::new(
            "saidProfiles",
            "The setting of the first level that names a profile of the catalogue, auto or none.",
            of_each(&said_profile()),
        ),
        Variable::new(
            "chosenProfiles",
            "The profile in use; none if an annotation sets a quit.",
            of_each(&chosen_profile(policy)),
        ),
        Variable::new(
            "knownProfiles",
            "The profile with facts about the container: the profile in use, otherwise that of its image or name.",
            of_each(
                "variables.chosenProfiles[i] == '' ? variables.profiles[i] : variables.chosenProfiles[i]",
            ),
        ),
        Variable::new(
            "isFree",
            "Whether the container can get a hook: it has none, and its profile allows one.",
            of_each(&format!(
                "!(has(c.lifecycle) && has(c.lifecycle.preStop))\n  && !(variables.chosenProfiles[i] in {left_alone})"
            )),
        ),
        Variable::new(
            "isOwnDelay",
            "Whether an annotation sets the delay of this container, which no rule lengthens.",
            of_each(&format!(
                "{own} + c.name in variables.seconds && variables.annotations[{own} + c.name] != {auto}"
            )),
        ),
        Variable::new(
            "delays",
            "Container, pod, namespace, profile, default.",
            of_each(&strongest(Setting::Delay, &otherwise)),
        ),
    ]
}

const MAIN_CONTAINER: &str = "variables.containers.exists(c, 'kubectl.kubernetes.io/default-container' in variables.annotations
  && c.name == variables.annotations['kubectl.kubernetes.io/default-container'])
  ? variables.annotations['kubectl.kubernetes.io/default-container']
  : (variables.containers.transformList(i, c, !(variables.profiles[i] in variables.margins), c.name)
    + variables.containers.map(c, c.name) + [''])[0]";

/// The annotation of a setting for the container `c`.
fn of_container(setting: Setting) -> String {
    format!("({} + c.name)", container_key(setting))
}

/// Expression for the profile that annotations name; unknown names are skipped.
fn said_profile() -> String {
    let words = texts(RESERVED_NAMES);
    let (own, all) = (of_container(Setting::Profile), key(Setting::Profile));
    let is_known =
        |value: &str| format!("({value} in {words} || {value} in variables.profileNames)");
    let level = |source: &str, key: &str, is_for: &str| {
        let value = format!("variables.{source}[{key}]");
        format!("({key} in variables.{source} && {}{is_for} ? [{value}] : [])", is_known(&value))
    };
    let for_all = |source: &str| {
        format!(
            "\n      && (c.name == variables.mainContainer || variables.{source}[{all}] in {words})"
        )
    };
    format!(
        "({}\n  + {}\n  + {}\n  + [''])[0]",
        level("annotations", &own, ""),
        level("annotations", &all, &for_all("annotations")),
        level("namespaceAnnotations", &all, &for_all("namespaceAnnotations"))
    )
}

fn chosen_profile(policy: &Policy) -> String {
    let quits = [Setting::QuitCommand, Setting::QuitSignal];
    let obeyed = quits
        .into_iter()
        .filter(|setting| policy.allow_quit_command_annotation || *setting != Setting::QuitCommand);
    let is_said = |key: String| format!("{key} in variables.annotations");
    let any = |keys: Vec<String>| keys.into_iter().map(is_said).collect::<Vec<_>>().join(" || ");
    let own = any(obeyed.clone().map(of_container).collect());
    let pod = any(obeyed.map(key).collect());
    let own_profile = of_container(Setting::Profile);
    format!(
        "{own} || (({pod}) && c.name == variables.mainContainer\n    && !({own_profile} in variables.annotations && variables.saidProfiles[i] == variables.annotations[{own_profile}]))\n  || variables.saidProfiles[i] == 'none' ? ''\n  : variables.saidProfiles[i] in ['', 'auto'] ? variables.profiles[i] : variables.saidProfiles[i]"
    )
}

/// Variables for the quits, and for the time that each application may take.
pub(super) fn quits(policy: &Policy, quits: &[&Profile]) -> Vec<Variable> {
    let timeout = policy.default_quit_timeout_seconds;
    let timeout =
        timeout.map_or_else(|| "variables.grace".to_owned(), |timeout| timeout.to_string());
    let wait = format!(
        "[[variables.timeouts[i], variables.times[i] - {}].min(), 0].max()",
        reserve("variables.times[i]")
    );
    let mut variables = vec![
        Variable::new(
            "timeouts",
            "How long the application may take to finish.",
            of_each(&strongest(Setting::QuitTimeout, &timeout)),
        ),
        Variable::new(
            "times",
            "The time that it has after the delay: never less than before.",
            of_each("[variables.grace, variables.timeouts[i]].max()"),
        ),
        Variable::new(
            "wholeWaits",
            "How long a quit may delay the stop signal if no maximum shortens it.",
            of_each(&wait),
        ),
    ];
    if quits.is_empty() {
        variables.extend([
            Variable::new("quits", "", of_each("''")),
            Variable::new("isGraceful", "", of_each("false")),
            Variable::new("waits", "", of_each("false")),
        ]);
        return variables;
    }
    let never_needed = match policy.quit {
        QuitPolicy::WhenNeeded => "true".to_owned(),
        QuitPolicy::Always | QuitPolicy::Never => {
            let needed = quits.iter().filter(|profile| is_quit_when_needed(profile));
            format!(
                "variables.chosenProfiles[i] in {}",
                texts(needed.map(|profile| profile.name.as_str()))
            )
        }
    };
    variables.extend([
        Variable::new(
            "isByImage",
            "Whether it is known from the image.",
            of_each("variables.profileOfImages[i] >= 0 && variables.knownProfiles[i] == variables.profiles[i]"),
        ),
        Variable::new(
            "certainFacts",
            "Facts that certainly apply to image and tag; a digest makes the tag uncertain.",
            of_each(CERTAIN_FACTS),
        ),
        Variable::new(
            "isGraceful",
            "Whether the stop signal that follows the hook is known to be a graceful one.",
            of_each(IS_GRACEFUL),
        ),
        Variable::new(
            "lacksPrograms",
            "Whether the image is known or declared to have no /bin/sh or no sleep.",
            of_each(&lacks(policy)),
        ),
        Variable::new(
            "quits",
            "The profile whose quit the container gets; empty if none.",
            of_each(&format!(
                "variables.isFree[i] && !variables.isWindows && !variables.lacksPrograms[i]\n  && variables.chosenProfiles[i] in variables.quitCommands\n  && !(variables.isGraceful[i] && {never_needed})\n  && (variables.hasOwnProcesses || size(variables.quitCommands[variables.chosenProfiles[i]]) > 0)\n  ? variables.chosenProfiles[i] : ''"
            )),
        ),
        Variable::new(
            "waits",
            "Whether the hook waits after the quit: not if the stop signal is graceful too.",
            of_each(
                "variables.quits[i] != ''\n  && (!variables.isGraceful[i] || size(variables.quitCommands[variables.quits[i]]) == 0)",
            ),
        ),
    ]);
    variables
}

const CERTAIN_FACTS: &str = "variables.knownProfiles[i] in variables.facts
  ? variables.facts[variables.knownProfiles[i]].filter(f, f.from == '' && f.before == ''
      || (variables.isByImage[i] && variables.images[i].digest == '' && variables.firstVersions[i] != ''
        && !semver(variables.firstVersions[i], true).isLessThan(semver(f.from))
        && (f.before == '' || semver(variables.lastVersions[i], true).isLessThan(semver(f.before)))))
  : []";

const IS_GRACEFUL: &str = "(has(c.command) && size(c.command) > 0) ? false
  : has(c.lifecycle) && has(c.lifecycle.stopSignal)
  ? (variables.certainFacts[i].exists(f, f.signal == c.lifecycle.stopSignal)
    ? variables.certainFacts[i].filter(f, f.signal == c.lifecycle.stopSignal)[0].graceful == 'true'
    : variables.knownProfiles[i] in variables.facts
      && variables.facts[variables.knownProfiles[i]].exists(f, f.signal == c.lifecycle.stopSignal)
    ? variables.facts[variables.knownProfiles[i]].all(f,
        f.signal != c.lifecycle.stopSignal || f.graceful == 'true')
    : variables.knownProfiles[i] in variables.quitSignals
      && 'SIG' + variables.quitSignals[variables.knownProfiles[i]] == c.lifecycle.stopSignal)
  : variables.isByImage[i] && size(variables.certainFacts[i]) > 0
    && variables.certainFacts[i][0].graceful == 'true'";

fn lacks(policy: &Policy) -> String {
    let programs = programs(policy);
    let unknown = policy.default_shell == Presence::Absent;
    let known = |default: Presence, unknown: bool| {
        if programs.is_empty() {
            return unknown.to_string();
        }
        let all = lack_something(programs, default);
        format!(
            "(variables.programsOfImages[i] >= 0 ? {all}[variables.programsOfImages[i]] : {unknown})"
        )
    };
    let (by_default, certainly) =
        (known(policy.default_shell, unknown), known(Presence::Unknown, false));
    let own = format!("({} + c.name)", container_key(Setting::Shell));
    let all = key(Setting::Shell);
    let is = |source: &str, key: &str| {
        format!(
            "{key} in variables.{source} && variables.{source}[{key}] in ['present', 'absent'] ? variables.{source}[{key}] == 'absent'"
        )
    };
    format!(
        "{}\n  : {}\n    || {certainly}\n  : {}\n    || {certainly}\n  : {by_default}",
        is("annotations", &own),
        is("annotations", &all),
        is("namespaceAnnotations", &all)
    )
}
