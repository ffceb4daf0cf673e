//! `prestop policy`: the rules as admission policies, which API servers run themselves.

use std::io::{self, Write};

use anyhow::bail;
use prestop_core::admission_policy::{Source, Validation, to_yaml};
use prestop_core::catalogue::{Catalogue, Profile, ProfileHook};
use prestop_core::nearest::nearest;
use prestop_core::policy::{NamespaceRule, Policy};

use super::Exit;
use crate::cli::PolicyArguments;

/// Prints the policies.
pub(super) fn run(arguments: &PolicyArguments) -> anyhow::Result<Exit> {
    let namespaces =
        if arguments.all_namespaces { NamespaceRule::NotDisabled } else { NamespaceRule::Enabled };
    let policy = Policy { namespaces, ..super::policy(arguments.config.as_deref())? };
    let profiles = chosen(&policy.catalogue, &arguments.profiles)?;
    let source = Source::new(&arguments.name, &policy, &profiles);
    let validation = if arguments.validate { Validation::Warn } else { Validation::None };
    io::stdout().lock().write_all(to_yaml(&source, validation).as_bytes())?;
    Ok(Exit::Done)
}

/// Returns the named profiles with a quit, in the order of the catalogue.
fn chosen<'c>(catalogue: &'c Catalogue, wanted: &[String]) -> anyhow::Result<Vec<&'c Profile>> {
    let has_quit = |profile: &&Profile| matches!(profile.hook, ProfileHook::Quit(_));
    for pattern in wanted {
        let named = |profile: &&Profile| is_named(pattern, &profile.name);
        if catalogue.profiles().iter().filter(has_quit).any(|profile| named(&profile)) {
            continue;
        }
        if catalogue.profiles().iter().any(|profile| named(&profile)) {
            bail!(
                "--profiles {pattern}: this profile has no quit, so it applies without being named; remove it"
            );
        }
        let known = catalogue.profiles().iter().filter(has_quit);
        let near = nearest(pattern, known.map(|profile| profile.name.as_str()));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        bail!(
            "--profiles {pattern}: there is no such profile{near} (prestop catalogue lists them)"
        );
    }
    let is_wanted =
        |profile: &&Profile| wanted.iter().any(|pattern| is_named(pattern, &profile.name));
    Ok(catalogue.profiles().iter().filter(has_quit).filter(is_wanted).collect())
}

/// Whether a pattern, in which `*` stands for any characters, matches the name.
fn is_named(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_for_any_characters() {
        for (pattern, name, expected) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx-other", false),
            ("nginx*", "nginx-other", true),
            ("*", "nginx", true),
            ("*-other", "nginx-other", true),
            ("*-other", "nginx-others", false),
            ("n*x*other", "nginx-other", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(is_named(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_chosen_has_a_quit() {
        let catalogue = Catalogue::built_in();
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
            let profiles = chosen(catalogue, &wanted);
            profiles.map(|all| all.iter().map(|profile| profile.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(names(&["httpd", "nginx"]).unwrap(), ["nginx", "httpd"]);
        assert!(!names(&["nginx*"]).unwrap().contains(&"nginx-chainguard".to_owned()));
        let told = |wanted| names(&[wanted]).unwrap_err().to_string();
        assert!(told("ngnix").contains("did you mean nginx?"));
        assert!(told("caddy").contains("no quit"), "{}", told("caddy"));
    }
}
