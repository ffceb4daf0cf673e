//! Checks whether prestop watches fronts of pods, and may do so. Pure: `commands::check` reads.

use super::{Check, Right, texts};
use crate::cluster::fronts::WatchedKind;

pub(crate) const ID: &str = "fronts";

/// Whether `prestop serve` with these arguments watches fronts.
#[must_use]
pub(crate) fn are_watched(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| argument == "--watch-fronts")
}

/// Creates the check for an installation that watches no fronts.
#[must_use]
pub(crate) fn unwatched() -> Check {
    Check::ok(
        ID,
        "fronts are not watched (no --watch-fronts): the delay auto does not depend on Services and what sends to them",
    )
}

/// Returns the rights that the watches of these kinds need.
#[must_use]
pub(crate) fn rights(kinds: &[WatchedKind]) -> Vec<Right> {
    let of_kind = |kind: &WatchedKind| {
        let WatchedKind { group, plural: resource, .. } = *kind;
        ["list", "watch"].map(|verb| Right { verb, group, resource, name: None, namespace: None })
    };
    kinds.iter().flat_map(of_kind).collect()
}

/// Reports the rights that the service account lacks for watching these kinds.
#[must_use]
pub(crate) fn missing_rights(account: &str, kinds: &[WatchedKind], missing: &[Right]) -> Check {
    if missing.is_empty() {
        let names: Vec<_> = kinds.iter().map(|kind| kind.plural).collect();
        return Check::ok(
            ID,
            format!("fronts: the service account {account} may watch {}", names.join(", ")),
        );
    }
    Check::warning(
        ID,
        format!(
            "fronts: the service account {account} may not {}; delays do not depend on these",
            texts(missing)
        ),
        "let the chart create the roles (rbac.create: true), or see the table in docs/security.md; \
         without these rights set fronts.watch: false",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fronts::KINDS;
    use crate::cluster::installation::Status;

    #[test]
    fn the_argument_says_whether_fronts_are_watched() {
        let arguments = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert!(are_watched(&arguments(&["serve", "--cluster", "--watch-fronts"])));
        assert!(!are_watched(&arguments(&["serve", "--cluster"])));
        assert_eq!(unwatched().status, Status::Ok);
    }

    /// The rights are the same as in the chart's role.
    #[test]
    fn the_rights_are_those_that_the_chart_grants() {
        let manifest = include_str!("../../../charts/manifests/install.yaml");
        for right in rights(&KINDS) {
            assert!(manifest.contains(right.resource), "{right:?}");
        }
        let core: Vec<_> = KINDS.iter().copied().filter(|kind| kind.group.is_empty()).collect();
        let needed = rights(&core);
        let verbs: Vec<_> = needed.iter().map(|right| (right.verb, right.resource)).collect();
        assert_eq!(verbs, [("list", "services"), ("watch", "services")]);
    }

    #[test]
    fn missing_rights_are_a_warning_that_names_them() {
        let needed = rights(&KINDS[..3]);
        let told = missing_rights("x", &KINDS[..3], &needed[3..5]);
        assert_eq!(told.status, Status::Warning);
        let part = "may not watch ingresses, list ingressclasses;";
        assert!(told.message.contains(part), "{}", told.message);
        let told = missing_rights("x", &KINDS[..3], &[]);
        assert_eq!(told.status, Status::Ok);
        assert!(told.message.ends_with("services, ingresses, ingressclasses"), "{}", told.message);
    }
}
