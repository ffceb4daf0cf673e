//! The rules as policies that API servers evaluate themselves: a `MutatingAdmissionPolicy` in CEL,
//! for Kubernetes 1.36 and newer. Pure: tables and constants come from the engine; the formulas are
//! a second implementation, which `tests/control_plane/policy.rs` compares with the engine.
//!
//! - `settings`, `images`, `tables`, `containers`, `order`: the variables, in the order in which
//!   they use each other
//! - [`difference`]: the rules that the policy lacks
//! - `cel`, `document`: how CEL and YAML are written

mod cel;
mod containers;
pub mod difference;
mod document;
mod images;
mod order;
mod settings;
mod tables;

use crate::catalogue::{Profile, ProfileHook};
use crate::policy::{Policy, QuitPolicy};

pub use self::difference::Difference;
pub use self::document::{Validation, to_yaml};

/// Namespaces of Kubernetes itself, which the policies always exclude.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Input from which a policy is generated.
#[derive(Debug, Clone)]
pub struct Source<'p> {
    /// Name of the policies and their bindings.
    pub name: &'p str,
    /// The configured rules.
    pub policy: &'p Policy,
    /// The profiles whose quit the policy uses.
    pub quits: Vec<&'p Profile>,
}

/// A named CEL expression; later variables may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: &'static str,
    comment: &'static str,
    expression: String,
}

impl Variable {
    fn new(name: &'static str, comment: &'static str, expression: impl Into<String>) -> Self {
        Self { name, comment, expression: expression.into() }
    }
}

impl<'p> Source<'p> {
    /// Creates a source from the rules, with the quits of the given profiles: those that have one,
    /// if the rules allow quits.
    #[must_use]
    pub fn new(name: &'p str, policy: &'p Policy, profiles: &[&'p Profile]) -> Self {
        let has_quit = |profile: &&Profile| {
            matches!(profile.hook, ProfileHook::Quit(_)) && policy.quit != QuitPolicy::Never
        };
        Self { name, policy, quits: profiles.iter().copied().filter(has_quit).collect() }
    }

    /// Variables that decide which pods are skipped and how long delays are.
    fn until_delays(&self) -> Vec<Variable> {
        let mut variables = settings::variables(self.policy);
        variables.extend(images::variables());
        variables.extend(tables::variables(self.policy, &self.quits));
        variables.extend(containers::delays(self.policy));
        variables
    }

    /// All variables that a patch may need.
    fn variables(&self) -> Vec<Variable> {
        let mut variables = self.until_delays();
        variables.extend(containers::quits(self.policy, &self.quits));
        variables.extend(order::variables(self.policy));
        variables.extend(order::of_hooks(&self.quits));
        variables
    }
}

/// Returns the variables that an expression uses, directly or through other variables.
fn used_by(expression: &str, variables: Vec<Variable>) -> Vec<Variable> {
    let mut kept: Vec<Variable> = Vec::new();
    // Variables only use earlier ones, so the iteration runs backwards.
    for variable in variables.into_iter().rev() {
        let is_used = |text: &str| uses(text, variable.name);
        if is_used(expression) || kept.iter().any(|kept| is_used(&kept.expression)) {
            kept.push(variable);
        }
    }
    kept.reverse();
    kept
}

/// Returns whether the expression uses this variable, and not merely one whose name starts with the
/// same letters.
fn uses(expression: &str, name: &str) -> bool {
    expression.split("variables.").skip(1).any(|after| {
        let rest = after.strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_that_are_used_are_written() {
        let variable = |name, expression| Variable::new(name, "", expression);
        let all = vec![
            variable("a", "1"),
            variable("ab", "2"),
            variable("b", "variables.ab + 1"),
            variable("c", "variables.b"),
        ];
        let names = |expression| {
            used_by(expression, all.clone()).iter().map(|it| it.name).collect::<Vec<_>>()
        };
        assert_eq!(names("variables.b > 0"), ["ab", "b"]);
        assert_eq!(names("variables.a[0]"), ["a"]);
        assert_eq!(names("true"), Vec::<&str>::new());
    }

    /// CEL resolves only names that are declared earlier.
    #[test]
    fn every_variable_is_declared_before_it_is_used() {
        let policy = Policy::built_in();
        let profiles: Vec<_> = policy.catalogue.profiles().iter().collect();
        for quits in [&[][..], &profiles] {
            let variables = Source::new("x", &policy, quits).variables();
            for (place, variable) in variables.iter().enumerate() {
                let later = variables.iter().skip(place);
                for other in later {
                    assert!(
                        !uses(&variable.expression, other.name),
                        "{} uses {}",
                        variable.name,
                        other.name
                    );
                }
            }
        }
    }
}
