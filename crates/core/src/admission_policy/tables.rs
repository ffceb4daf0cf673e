//! The catalogue in CEL: the profile and the programs of an image, and the facts that profiles
//! contain.

use super::Variable;
use super::cel::{lines, list, map, text, texts};
use super::images::{is_expressible, is_in_range, is_of_any, is_of_tags, version};
use crate::catalogue::{
    Catalogue, Presence, Profile, ProfileHook, ProgramsOfImages, Quit, QuitWhen, Role, StopSignal,
};
use crate::policy::Policy;

/// Prefix of signal names when facts about signals are compared, as in `lifecycle.stopSignal`.
const SIGNAL_PREFIX: &str = "SIG";

/// Variables with the facts of the catalogue. `quits` are the profiles whose quit is used.
pub(super) fn variables(policy: &Policy, quits: &[&Profile]) -> Vec<Variable> {
    let catalogue = &policy.catalogue;
    let mut variables = vec![
        Variable::new(
            "profileOfImages",
            "The index of the image's profile in the catalogue; -1 if none.",
            first(catalogue.profiles(), profile_matches),
        ),
        Variable::new("profileNames", "", profile_names(catalogue)),
        Variable::new(
            "profileOfNames",
            "Containers that injectors add with fixed names.",
            profile_of_names(catalogue),
        ),
        Variable::new(
            "profiles",
            "The profile of each container: the first that matches its image, otherwise the one for its name.",
            PROFILES,
        ),
        Variable::new(
            "margins",
            "How much longer sidecars run than the applications.",
            by_name(catalogue, |profile| profile.sidecar_margin_seconds),
        ),
    ];
    if !quits.is_empty() {
        variables.push(Variable::new(
            "facts",
            "Facts about stop signals, by profile: the first that certainly applies is used.",
            facts(catalogue),
        ));
        variables.extend(of_quits(quits));
        variables.push(Variable::new(
            "programsOfImages",
            "The index of the facts about the programs of the image; -1 if none.",
            first(programs(policy), programs_match),
        ));
    }
    variables
}

/// Names of the profiles for which `is_wanted` is true, as a list.
pub(super) fn names(catalogue: &Catalogue, is_wanted: impl Fn(&Profile) -> bool) -> String {
    let wanted = catalogue.profiles().iter().filter(|profile| is_wanted(profile));
    texts(wanted.map(|profile| profile.name.as_str()))
}

/// A value of each profile, as a map from the profile's name. Profiles without a value are left
/// out.
pub(super) fn by_name(catalogue: &Catalogue, value: impl Fn(&Profile) -> Option<i64>) -> String {
    let entries = catalogue.profiles().iter();
    let entries =
        entries.filter_map(|profile| Some((profile.name.as_str(), value(profile)?.to_string())));
    map(entries)
}

/// Names of the profiles with a role.
pub(super) fn of_role(catalogue: &Catalogue, role: Role) -> String {
    names(catalogue, |profile| profile.role == Some(role) && !is_sidecar(profile))
}

pub(super) fn is_sidecar(profile: &Profile) -> bool {
    profile.sidecar_margin_seconds.is_some()
}

/// The entries about programs, up to the last one in which something is missing: the entries after
/// it make no difference.
pub(super) fn programs(policy: &Policy) -> &[ProgramsOfImages] {
    let all = policy.catalogue.all_programs();
    let lacks = |known: &ProgramsOfImages| known.programs.or(policy.default_shell).lack_something();
    let matter = all.iter().rposition(lacks).map_or(0, |last| last + 1);
    all.get(..matter).unwrap_or_default()
}

/// For each entry: whether hooks that need a shell can't run in its images, as far as known.
pub(super) fn lack_something(programs: &[ProgramsOfImages], default: Presence) -> String {
    let lack = programs.iter().map(|known| known.programs.or(default).lack_something());
    list(lack.map(|lacks| lacks.to_string()))
}

/// Expression for the index of the first entry that matches; -1 if there is none.
fn first<T>(entries: &[T], matches: impl Fn(&T) -> String) -> String {
    if entries.is_empty() {
        return "variables.images.map(m, -1)".to_owned();
    }
    let all = lines(entries.iter().map(matches));
    format!("variables.images.transformList(i, m, m.ref == '' ? -1 : {all}.indexOf(true))")
}

fn profile_matches(profile: &Profile) -> String {
    all_of([Some(is_of_any(&profile.images)), is_of_tags(&profile.tag_patterns)])
}

fn programs_match(known: &ProgramsOfImages) -> String {
    all_of([
        Some(is_of_any(&known.images)),
        is_of_tags(&known.tag_patterns),
        known.tags.as_ref().map(is_in_range),
    ])
}

fn all_of<const N: usize>(conditions: [Option<String>; N]) -> String {
    let conditions: Vec<_> = conditions.into_iter().flatten().collect();
    match conditions.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join(") && (")),
    }
}

/// Names of all profiles, and an empty one at the end, so that the list has the type of strings
/// even without profiles.
fn profile_names(catalogue: &Catalogue) -> String {
    let names = catalogue.profiles().iter().map(|profile| profile.name.as_str());
    texts(names.chain([""]))
}

/// Fixed names under which injectors add sidecars, each with the first profile that contains it.
fn profile_of_names(catalogue: &Catalogue) -> String {
    let mut names: Vec<(&str, String)> = Vec::new();
    for profile in catalogue.profiles() {
        for name in &profile.container_names {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name, text(&profile.name)));
            }
        }
    }
    map(names)
}

const PROFILES: &str = "variables.profileOfImages.transformList(i, p, p >= 0 ? variables.profileNames[p]
  : variables.containers[i].name in variables.profileOfNames ? variables.profileOfNames[variables.containers[i].name] : '')";

fn facts(catalogue: &Catalogue) -> String {
    let with_facts = catalogue.profiles().iter().filter(|profile| !profile.stop_signals.is_empty());
    map(with_facts
        .map(|profile| (profile.name.as_str(), list(profile.stop_signals.iter().map(fact)))))
}

/// A fact about stop signals. Empty bounds apply to every tag, and to an image without a tag.
fn fact(fact: &StopSignal) -> String {
    let (from, before) = match &fact.tags {
        None => (text(""), text("")),
        // CEL can't express the range, so this one matches no version.
        Some(range) if !is_expressible(range) => (text("0.0.0"), text("0.0.0")),
        Some(range) => {
            let (from, before) = range.bounds();
            (version(from), before.map_or_else(|| text(""), version))
        }
    };
    let (signal, graceful) = (signal_name(fact.signal.name()), text(&fact.graceful.to_string()));
    format!("{{'from': {from}, 'before': {before}, 'signal': {signal}, 'graceful': {graceful}}}")
}

fn signal_name(name: &str) -> String {
    text(&format!("{SIGNAL_PREFIX}{name}"))
}

fn of_quits(quits: &[&Profile]) -> [Variable; 3] {
    let all = || quits.iter().filter_map(|profile| Some((profile.name.as_str(), quit(profile)?)));
    let commands = map(all().map(|(name, quit)| (name, texts(&quit.command))));
    let with_signal = || all().filter_map(|(name, quit)| Some((name, quit.signal?, quit)));
    let signals = map(with_signal().map(|(name, signal, _)| (name, text(signal.name()))));
    let names =
        map(with_signal().map(|(name, _, quit)| (name, text(&quit.process_names.join(",")))));
    [
        Variable::new("quitCommands", "The quit command of the application, by profile.", commands),
        Variable::new(
            "quitSignals",
            "The signal, used if there is no command or it fails.",
            signals,
        ),
        Variable::new("quitNames", "Names of PID 1 that get the signal.", names),
    ]
}

pub(super) fn quit(profile: &Profile) -> Option<&Quit> {
    match &profile.hook {
        ProfileHook::Quit(quit) => Some(quit),
        ProfileHook::LeaveAlone | ProfileHook::Delay => None,
    }
}

/// Returns whether the quit is dropped for images that are known to stop gracefully.
pub(super) fn is_quit_when_needed(profile: &Profile) -> bool {
    quit(profile).is_some_and(|quit| quit.when == QuitWhen::Needed)
}
