//! Converts a file of the right shape to a [`Policy`] and [`ServeSettings`]: checks durations,
//! bounds and combinations. Every rule is checked, so that all errors are reported together.

use prestop_core::catalogue::{Catalogue, Profile};
use prestop_core::duration::{AskedDelay, HumanSeconds};
use prestop_core::policy::{LEAST_MAXIMUM_GRACE_PERIOD_SECONDS, OwnerKind, Policy};

use super::Config;
use super::error::{Finding, Position};
use super::format::{
    ApiVersion, ConfigurationFile, DefaultsSection, Kind, LimitsSection, OwnerText, ProfilesMode,
    ProfilesSection,
};
use super::profiles::{
    self, AskedDelayText, DurationText, FieldError, ProfileEntry, ProgramsEntry,
};
use crate::webhook::settings::ServeSettings;

/// Maximum of `limits.maximumDelay`. A longer delay is a typing error: no load balancer needs an
/// hour.
const MOST_MAXIMUM_DELAY_SECONDS: i64 = 3600;

/// Maximum of `limits.maximumGracePeriod`: a day. Pods that need more set it themselves, which is
/// always respected.
const MOST_MAXIMUM_GRACE_PERIOD_SECONDS: i64 = 24 * 3600;

const ENTRIES: &str = "profiles.entries";

const PROGRAMS: &str = "programs";

/// Checks and converts a file.
pub(super) fn check(file: ConfigurationFile) -> Result<Config, Vec<Finding>> {
    // Exhaustive, so that a new field or a new version of the format can't be forgotten here.
    let ConfigurationFile {
        api_version: ApiVersion::V1Alpha1,
        kind: Kind::Configuration,
        defaults,
        limits,
        quit,
        sleep_action,
        allow_quit_command_annotation,
        skip_owners,
        profiles,
        programs,
        server,
        tls,
        log,
        metrics,
        certificates,
        audit,
    } = file;
    let mut of_server = Vec::new();
    let settings = ServeSettings {
        server: server.settings(&mut of_server),
        tls: tls.settings(&mut of_server),
        log: log.settings(),
        metrics: metrics.settings(),
        certificates: certificates.settings(&mut of_server),
    };
    let ignores = audit.ignores(&mut of_server);
    let built_in = Policy::built_in();
    let mut rules = Rules::default();
    let DefaultsSection { shell, hold, hook_report: report, .. } = defaults;
    let durations = rules.durations(&defaults, &limits, &built_in);
    let skipped_owners = skip_owners.map(|owners| rules.owners(&owners));
    let catalogue = profiles.map_or(built_in.catalogue, |section| {
        let longest = durations.maximum_delay;
        rules.catalogue(&section, longest.map(|setting| setting.seconds))
    });
    let catalogue = rules.programs(&programs, catalogue);
    rules.findings.append(&mut of_server);
    let (Some(delay), Some(maximum_delay), Some(maximum_grace_period), []) = (
        durations.delay,
        durations.maximum_delay,
        durations.maximum_grace_period,
        rules.findings.as_slice(),
    ) else {
        return Err(rules.findings);
    };
    let policy = Policy {
        default_delay: delay,
        default_shell: shell.map_or(built_in.default_shell, Into::into),
        default_hold: hold.map_or(built_in.default_hold, Into::into),
        default_report: report.map_or(built_in.default_report, Into::into),
        maximum_delay_seconds: maximum_delay.seconds,
        default_quit_timeout_seconds: durations.quit_timeout.map(|setting| setting.seconds),
        maximum_grace_period_seconds: maximum_grace_period.seconds,
        quit: quit.map_or(built_in.quit, Into::into),
        sleep_action: sleep_action.map_or(built_in.sleep_action, Into::into),
        kubernetes_version: built_in.kubernetes_version,
        default_own_hook: defaults.own_hook.map_or(built_in.default_own_hook, Into::into),
        allow_quit_command_annotation: allow_quit_command_annotation
            .unwrap_or(built_in.allow_quit_command_annotation),
        skipped_owners: skipped_owners.unwrap_or(built_in.skipped_owners),
        namespaces: built_in.namespaces,
        catalogue: cut_to(&catalogue, maximum_delay.seconds),
    };
    Ok(Config { policy, settings, ignores })
}

/// The durations, as far as they could be parsed.
struct Durations {
    delay: Option<AskedDelay>,
    quit_timeout: Option<Setting>,
    maximum_delay: Option<Setting>,
    maximum_grace_period: Option<Setting>,
}

/// A duration from the file or its default.
#[derive(Clone, Copy)]
struct Setting {
    path: &'static str,
    seconds: i64,
    /// The position in the file; `None` for the default.
    place: Option<Position>,
}

/// A relation between two durations.
#[derive(Clone, Copy)]
enum Order {
    AtMost,
    Below,
}

#[derive(Default)]
struct Rules {
    findings: Vec<Finding>,
}

impl Rules {
    fn durations(
        &mut self,
        defaults: &DefaultsSection,
        limits: &LimitsSection,
        built_in: &Policy,
    ) -> Durations {
        let DefaultsSection { delay, quit_timeout, .. } = defaults;
        let LimitsSection { maximum_delay, maximum_grace_period } = limits;
        let (delay, longest_delay) = self.delay(delay.as_ref(), built_in.default_delay);
        let quit_timeout = self.setting(
            "defaults.quitTimeout",
            quit_timeout.as_ref(),
            built_in.default_quit_timeout_seconds,
        );
        let maximum_grace_period = self
            .setting(
                "limits.maximumGracePeriod",
                maximum_grace_period.as_ref(),
                Some(built_in.maximum_grace_period_seconds),
            )
            .and_then(|setting| {
                self.within(
                    setting,
                    LEAST_MAXIMUM_GRACE_PERIOD_SECONDS,
                    MOST_MAXIMUM_GRACE_PERIOD_SECONDS,
                )
            });
        // The default is below any maximum grace period.
        let half = maximum_grace_period.map_or(i64::MAX, |setting| setting.seconds / 2);
        let default = built_in.maximum_delay_seconds.min(half);
        let maximum_delay = self
            .setting("limits.maximumDelay", maximum_delay.as_ref(), Some(default))
            .and_then(|setting| self.within(setting, 0, MOST_MAXIMUM_DELAY_SECONDS));
        self.in_order(longest_delay, Order::AtMost, maximum_delay);
        self.in_order(maximum_delay, Order::Below, maximum_grace_period);
        self.in_order(quit_timeout, Order::AtMost, maximum_grace_period);
        Durations { delay, quit_timeout, maximum_delay, maximum_grace_period }
    }

    /// Returns the default delay, and its upper bound as a duration.
    fn delay(
        &mut self,
        text: Option<&AskedDelayText>,
        default: AskedDelay,
    ) -> (Option<AskedDelay>, Option<Setting>) {
        let path = "defaults.delay";
        let place = text.map(|text| Position::from(text.location()));
        match text.map_or(Ok(default), AskedDelayText::delay) {
            Ok(asked @ AskedDelay::Of(delay)) => {
                let seconds = delay.most_seconds;
                (Some(asked), Some(Setting { path, seconds, place }))
            }
            // It is limited to the maximum delay, whatever that is.
            Ok(AskedDelay::Auto) => (Some(AskedDelay::Auto), None),
            Err(cause) => {
                self.find(path, place.unwrap_or(Position::START), cause.to_string());
                (None, None)
            }
        }
    }

    fn setting(
        &mut self,
        path: &'static str,
        text: Option<&DurationText>,
        default: Option<i64>,
    ) -> Option<Setting> {
        let Some(text) = text else {
            return default.map(|seconds| Setting { path, seconds, place: None });
        };
        let place = Position::from(text.location());
        match text.seconds() {
            Ok(seconds) => Some(Setting { path, seconds, place: Some(place) }),
            Err(cause) => {
                self.find(path, place, cause.to_string());
                None
            }
        }
    }

    fn within(&mut self, setting: Setting, least: i64, most: i64) -> Option<Setting> {
        let Setting { path, seconds, place } = setting;
        if (least..=most).contains(&seconds) {
            return Some(setting);
        }
        let (least, most) = (HumanSeconds(least), HumanSeconds(most));
        let message = format!("allowed: {least} to {most}");
        self.find(path, place.unwrap_or(Position::START), message);
        None
    }

    /// Checks the order of two durations. An error is reported at the shorter one if it is in the
    /// file, otherwise at the longer one.
    fn in_order(&mut self, shorter: Option<Setting>, order: Order, longer: Option<Setting>) {
        let (Some(shorter), Some(longer)) = (shorter, longer) else {
            return;
        };
        let (fits, at_most, at_least) = match order {
            Order::AtMost => (shorter.seconds <= longer.seconds, "at most", "at least"),
            Order::Below => (shorter.seconds < longer.seconds, "less than", "more than"),
        };
        if fits {
            return;
        }
        let (wrong, bound, other) = match shorter.place {
            Some(_) => (shorter, at_most, longer),
            None => (longer, at_least, shorter),
        };
        let by_default = if other.place.is_none() { " by default" } else { "" };
        let (value, limit) = (HumanSeconds(wrong.seconds), HumanSeconds(other.seconds));
        let message =
            format!("{value} must be {bound} {}, which is {limit}{by_default}", other.path);
        self.find(wrong.path, wrong.place.unwrap_or(Position::START), message);
    }

    fn owners(&mut self, owners: &[OwnerText]) -> Vec<OwnerKind> {
        let mut kinds = Vec::new();
        let mut repeated = Vec::new();
        let mut is_readable = true;
        for (index, OwnerText(owner)) in owners.iter().enumerate() {
            let path = format!("skipOwners[{index}]");
            match owner.value.parse::<OwnerKind>() {
                Ok(kind) if kinds.contains(&kind) => {
                    let message = format!("duplicate {kind}");
                    repeated.push(Finding { path, place: owner.referenced.into(), message });
                }
                Ok(kind) => kinds.push(kind),
                Err(error) => {
                    is_readable = false;
                    self.find(&path, owner.referenced.into(), error.to_string());
                }
            }
        }
        // A word that can't be parsed is a worse error than a duplicate.
        if is_readable {
            self.findings.append(&mut repeated);
        }
        kinds
    }

    fn catalogue(&mut self, section: &ProfilesSection, longest: Option<i64>) -> Catalogue {
        let ProfilesSection { mode, entries } = section;
        if let Some(longest) = longest {
            self.not_longer(entries, longest);
        }
        let mut profiles: Vec<Profile> = match profiles::validate(entries, ENTRIES) {
            Ok(profiles) => profiles,
            Err(errors) => {
                self.findings.extend(errors.into_iter().map(Finding::from));
                Vec::new()
            }
        };
        match mode.unwrap_or_default() {
            ProfilesMode::Replace => {}
            ProfilesMode::Extend => {
                let built_in = Catalogue::built_in().profiles().iter();
                let kept: Vec<Profile> = built_in
                    .filter(|built_in| profiles.iter().all(|own| own.name != built_in.name))
                    .cloned()
                    .collect();
                profiles.extend(kept);
            }
        }
        Catalogue::built_in().clone().with_profiles(profiles)
    }

    fn programs(&mut self, entries: &[ProgramsEntry], catalogue: Catalogue) -> Catalogue {
        if entries.is_empty() {
            return catalogue;
        }
        match profiles::validate_programs(entries, PROGRAMS) {
            Ok(mut programs) => {
                programs.extend_from_slice(catalogue.all_programs());
                catalogue.with_programs(programs)
            }
            Err(errors) => {
                self.findings.extend(errors.into_iter().map(Finding::from));
                catalogue
            }
        }
    }

    fn not_longer(&mut self, entries: &[ProfileEntry], longest: i64) {
        for (index, entry) in entries.iter().enumerate() {
            for (field, place, seconds) in entry.times() {
                if seconds > longest {
                    let path = format!("{ENTRIES}[{index}].{field}");
                    let longest = HumanSeconds(longest);
                    let message = format!("more than limits.maximumDelay, which is {longest}");
                    self.find(&path, place.into(), message);
                }
            }
        }
    }

    fn find(&mut self, path: &str, place: Position, message: String) {
        self.findings.push(Finding::new(path, place, message));
    }
}

impl From<FieldError> for Finding {
    fn from(error: FieldError) -> Self {
        Self {
            path: error.path,
            place: Position { line: error.line, column: error.column },
            message: error.message,
        }
    }
}

/// Returns the catalogue with no delay above the maximum, in the built-in profiles as well.
fn cut_to(catalogue: &Catalogue, maximum_delay_seconds: i64) -> Catalogue {
    let cut = |mut profile: Profile| {
        profile.delay = profile.delay.map(|delay| delay.at_most(maximum_delay_seconds));
        profile
    };
    let profiles = catalogue.profiles().iter().cloned().map(cut).collect();
    catalogue.clone().with_profiles(profiles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prestop_core::duration::Delay;

    #[test]
    fn built_in_profiles_keep_to_the_maximum_delay() {
        let with_delay = |seconds: Option<i64>| {
            let profiles = Catalogue::built_in().profiles().iter().take(1).cloned();
            let delay = seconds.map(Delay::fixed);
            let set = |profile| Profile { delay, ..profile };
            Catalogue::new(profiles.map(set).collect())
        };
        assert_eq!(cut_to(&with_delay(Some(60)), 20), with_delay(Some(20)));
        assert_eq!(cut_to(&with_delay(Some(20)), 60), with_delay(Some(20)));
        assert_eq!(cut_to(&with_delay(None), 20), with_delay(None));
    }
}
