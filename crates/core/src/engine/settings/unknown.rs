//! Problems with unknown names, and the known name that was probably meant.

use super::{DOMAIN, INJECT_LABEL, ProfileChoice, Setting, container_of, setting_of};
use crate::catalogue::Profile;
use crate::engine::reason::{Problem, ProblemCode};
use crate::nearest::nearest;
use crate::policy::Policy;

/// Length limit for names that are compared with known ones, to suggest one. No setting and no
/// profile has a longer name.
const LONGEST_SUGGESTED: usize = 63;
/// Limit for the number of problems of a pod or namespace that get a suggestion, because comparing
/// names takes time.
const MOST_SUGGESTIONS: usize = 16;

pub(super) fn suggested_profile(
    choice: Option<&ProfileChoice>,
    policy: &Policy,
    before: &[Problem],
) -> String {
    let wanted = match choice {
        Some(ProfileChoice::Named(name)) => name,
        _ => "",
    };
    let names = policy.catalogue.profiles().iter().map(|profile: &Profile| profile.name.as_str());
    let names = names.chain(crate::catalogue::RESERVED_NAMES);
    suggestion(wanted, names, str::to_owned, before)
}

pub(super) fn unknown_label(place: &str, key: &str, before: &[Problem]) -> Problem {
    let detail = if setting_of(key).is_some() || container_of(key).is_some() {
        "settings are annotations".to_owned()
    } else {
        let name = key.split_once('/').map_or(key, |(_, name)| name);
        suggestion(name, ["inject"], |_| INJECT_LABEL.to_owned(), before)
    };
    Problem::new(ProblemCode::UnknownKey, format!("{place} {key}"), detail)
}

pub(super) fn unknown_annotation(place: &str, key: &str, before: &[Problem]) -> Problem {
    let (domain, name) = key.split_once('/').unwrap_or((key, ""));
    let known = Setting::ALL.map(Setting::name);
    // `dealy.prestop.dev/web` is for a container, `prestop.dev/dealy` for a pod.
    let detail = match domain.strip_suffix(DOMAIN).and_then(|start| start.strip_suffix('.')) {
        None => suggestion(name, known, |name| format!("{DOMAIN}/{name}"), before),
        Some(setting) => {
            suggestion(setting, known, |setting| format!("{setting}.{DOMAIN}/{name}"), before)
        }
    };
    Problem::new(ProblemCode::UnknownKey, format!("{place} {key}"), detail)
}

/// Returns `did you mean ...?` with the known name that was probably meant, if there is one.
/// `before` are the problems so far: their number and the length of the name limit the time for the
/// comparison.
fn suggestion<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    write: impl Fn(&str) -> String,
    before: &[Problem],
) -> String {
    if name.len() > LONGEST_SUGGESTED || before.len() >= MOST_SUGGESTIONS {
        return String::new();
    }
    nearest(name, known).map_or_else(String::new, |known| format!("did you mean {}?", write(known)))
}
