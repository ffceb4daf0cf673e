//! Settings of a namespace: its label, and the annotations that are defaults for its pods.

use std::borrow::Cow;

use super::unknown::{suggested_profile, unknown_annotation, unknown_label};
use super::{
    DOMAIN, INJECT_LABEL, Level, ProfileChoice, Setting, Switch, at_most, bad_switch, is_known,
    is_ours, setting_of,
};
use crate::duration::AskedDelay;
use crate::engine::reason::{Problem, ProblemCode};
use crate::engine::remembered::Remembered;
use crate::policy::Policy;

/// Limit for the number of problems that are kept for a namespace, because each of its pods reports
/// them again.
const MOST_NAMESPACE_PROBLEMS: usize = 32;

/// A namespace's label and defaults, read once and kept until the namespace changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceSettings {
    /// `prestop.dev/inject`.
    pub(in crate::engine) switch: Option<Switch>,
    pub(in crate::engine) level: Level,
    pub(in crate::engine) problems: Vec<Problem>,
    /// The suggested profile, if the configured name is not in the catalogue.
    suggestion: Remembered,
}

impl NamespaceSettings {
    /// Returns whether the namespace is labelled for injection.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.switch == Some(Switch::Enabled)
    }

    /// Returns whether the namespace sets a profile for its pods.
    #[must_use]
    pub const fn chooses_profile(&self) -> bool {
        self.level.profile.is_some()
    }

    /// Reads a namespace's labels and annotations; other keys are ignored.
    pub fn read<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut settings = Self::default();
        for (key, value) in labels {
            if key == INJECT_LABEL {
                settings.switch = Switch::parse(value);
                if settings.switch.is_none() {
                    settings.problems.push(bad_switch("namespace label"));
                }
            } else if is_ours(key.as_bytes()) {
                let problem = unknown_label("namespace label", key, &settings.problems);
                settings.problems.push(problem);
            }
            settings.problems.truncate(MOST_NAMESPACE_PROBLEMS);
        }
        for (key, value) in annotations {
            if is_ours(key.as_bytes()) {
                settings.read_annotation(key, value);
            }
            settings.problems.truncate(MOST_NAMESPACE_PROBLEMS);
        }
        settings
    }

    fn read_annotation(&mut self, key: &str, value: &str) {
        let place = format!("namespace annotation {key}");
        let problems = &mut self.problems;
        match setting_of(key) {
            Some(Setting::Profile) => self.level.profile = Some(ProfileChoice::parse(value)),
            Some(Setting::QuitCommand | Setting::QuitSignal) => {
                problems.push(Problem::new(ProblemCode::NotForNamespaces, place, ""));
            }
            Some(setting) => self.level.read_value(setting, value, &place, problems),
            None if key == INJECT_LABEL => {
                problems.push(Problem::new(ProblemCode::InjectIsALabel, place, ""));
            }
            None => {
                let problem = unknown_annotation("namespace annotation", key, problems);
                problems.push(problem);
            }
        }
    }

    /// Returns the level under a policy: delays are limited to the maximum, and unknown profiles
    /// are dropped.
    pub(in crate::engine) fn level_under(
        &self,
        policy: &Policy,
        problems: &mut Vec<Problem>,
    ) -> Cow<'_, Level> {
        problems.extend(self.problems.iter().cloned());
        let mut level = Cow::Borrowed(&self.level);
        let place = |setting: Setting| format!("namespace annotation {DOMAIN}/{}", setting.name());
        if let Some(AskedDelay::Of(delay)) = self.level.delay
            && delay.most_seconds > policy.maximum_delay_seconds
        {
            let cut = at_most(delay, policy, &place(Setting::Delay), problems);
            level.to_mut().delay = Some(AskedDelay::Of(cut));
        }
        if !is_known(self.level.profile.as_ref(), &policy.catalogue) {
            let place = place(Setting::Profile);
            let compute = || suggested_profile(self.level.profile.as_ref(), policy, problems);
            let detail = self.suggestion.text(&policy.catalogue, compute);
            problems.push(Problem::new(ProblemCode::UnknownProfile, place, detail));
            level.to_mut().profile = None;
        }
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn an_unknown_profile_of_a_namespace_is_reported_with_the_names_of_the_policy() {
        let annotation = [("prestop.dev/profile", "shop-wob")];
        let namespace = NamespaceSettings::read([], annotation);
        let policy = |name: &str| {
            let mut profile = Catalogue::built_in().by_name("nginx").unwrap().clone();
            name.clone_into(&mut profile.name);
            Policy { catalogue: Catalogue::new(vec![profile]), ..Policy::built_in() }
        };
        let told = |policy: &Policy| {
            let mut problems = Vec::new();
            assert_eq!(namespace.level_under(policy, &mut problems).profile, None);
            problems.remove(0).detail
        };
        let (first, reloaded) = (policy("shop-web"), policy("shop-job"));
        for _ in 0..3 {
            assert_eq!(told(&first), "did you mean shop-web?");
        }
        assert_eq!(told(&reloaded), "did you mean shop-job?");
        assert_eq!(told(&policy("nothing-near")), "");
        // The catalogue now contains the name.
        let known = policy("shop-wob");
        let mut problems = Vec::new();
        assert!(namespace.level_under(&known, &mut problems).profile.is_some());
        assert!(problems.is_empty());
    }

    #[test]
    fn the_suggestion_for_a_namespace_is_computed_for_its_first_pod_alone() {
        let namespace = NamespaceSettings::read([], [("prestop.dev/profile", "ngnix")]);
        let policy = Policy::built_in();
        let detail = |namespace: &NamespaceSettings| {
            let mut problems = Vec::new();
            namespace.level_under(&policy, &mut problems);
            problems.remove(0).detail
        };
        assert_eq!(detail(&namespace), "did you mean nginx?");
        let kept = namespace.suggestion.text(&policy.catalogue, || "computed anew".to_owned());
        assert_eq!(kept, "did you mean nginx?");
        // A longer delay in the annotation does not affect the suggestion.
        assert_eq!(detail(&namespace.clone()), "did you mean nginx?");
    }
}
