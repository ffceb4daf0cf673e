//! Labels and annotations: their names, how they are parsed, and which level takes precedence.
//!
//! A value that can't be parsed is never fatal: it is reported, and the next level applies. The
//! full reference is `docs/rules.md`, section 3.

mod namespace;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::{Catalogue, Hold, Presence, Signal};
use crate::duration::{self, AskedDelay, Delay, Plain};
use crate::policy::{HookReport, OwnHookRule, Policy};

pub use self::namespace::NamespaceSettings;
use self::unknown::{suggested_profile, unknown_annotation, unknown_label};
use super::reason::{Problem, ProblemCode};
use crate::view::{Shape, Text};

/// The domain of all keys.
pub const DOMAIN: &str = "prestop.dev";
/// The label that switches injection on and off, on namespaces and pods.
pub const INJECT_LABEL: &str = "prestop.dev/inject";
/// The annotation that records the changes to a pod.
pub const STATUS_ANNOTATION: &str = "prestop.dev/status";
/// The annotation that only `prestop audit` reads.
pub const IGNORE_ANNOTATION: &str = "audit.prestop.dev/ignore";

/// Length limit for a quit command; a longer one is not parsed. The kernel accepts 128 KiB for one
/// argument, and each argument takes more memory than its text.
const LONGEST_QUIT_COMMAND_BYTES: usize = 16 * 1024;

/// A setting in an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// The delay of the stop.
    Delay,
    /// The profile.
    Profile,
    /// The application's own quit command.
    QuitCommand,
    /// The signal for PID 1.
    QuitSignal,
    /// The time that the application may take to finish.
    QuitTimeout,
    /// Whether an existing hook is kept or completed.
    OwnHook,
    /// The time without new connections after which a watched delay ends.
    QuietPeriod,
    /// Whether the image has a shell.
    Shell,
    /// Whether the hook waits for connections.
    Hold,
    /// Whether the hook writes a report.
    HookReport,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 10] = [
        Self::Delay,
        Self::Profile,
        Self::QuitCommand,
        Self::QuitSignal,
        Self::QuitTimeout,
        Self::OwnHook,
        Self::QuietPeriod,
        Self::Shell,
        Self::Hold,
        Self::HookReport,
    ];

    /// The setting's name in keys: after `prestop.dev/`, or before `.prestop.dev/CONTAINER`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Profile => "profile",
            Self::QuitCommand => "quit-command",
            Self::QuitSignal => "quit-signal",
            Self::QuitTimeout => "quit-timeout",
            Self::OwnHook => "own-hook",
            Self::QuietPeriod => "quiet-period",
            Self::Shell => "shell",
            Self::Hold => "hold",
            Self::HookReport => "hook-report",
        }
    }
}

/// The value of `prestop.dev/inject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// `enabled`, `true`.
    Enabled,
    /// `disabled`, `false`.
    Disabled,
}

impl Switch {
    /// Spellings of the value, which may be in any case.
    #[must_use]
    pub const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Enabled => ["enabled", "true"],
            Self::Disabled => ["disabled", "false"],
        }
    }

    /// Parses the label's value, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is = |switch: &Self| switch.words().iter().any(|word| text.eq_ignore_ascii_case(word));
        [Self::Enabled, Self::Disabled].into_iter().find(is)
    }
}

/// The settings of one level (container, pod, namespace).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Level {
    pub(super) delay: Option<AskedDelay>,
    pub(super) quit_timeout_seconds: Option<i64>,
    pub(super) quiet_seconds: Option<i64>,
    pub(super) shell: Option<Presence>,
    pub(super) hold: Option<Hold>,
    pub(super) report: Option<HookReport>,
    pub(super) quit: Option<AuthorQuit>,
    pub(super) profile: Option<ProfileChoice>,
    pub(super) own_hook: Option<OwnHookRule>,
}

/// A quit in the annotations of the pod's author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthorQuit {
    pub(super) command: Vec<String>,
    pub(super) signal: Option<Signal>,
}

/// The value of `prestop.dev/profile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProfileChoice {
    Auto,
    DelayOnly,
    Named(String),
}

/// Returns whether a key of labels or annotations belongs to the domain.
pub(super) fn is_ours(key: &[u8]) -> bool {
    let mut parts = key.split(|byte| *byte == b'/');
    let prefix = parts.next().and_then(|domain| domain.strip_suffix(DOMAIN.as_bytes()));
    prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with(b"."))
        && parts.next().is_some()
}

impl ProfileChoice {
    pub(super) const fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }

    fn parse(text: &str) -> Self {
        match text {
            "auto" => Self::Auto,
            "none" => Self::DelayOnly,
            name => Self::Named(name.to_owned()),
        }
    }
}

/// The annotations with settings for one pod or container, at most one for each setting.
pub(super) type SettingAnnotations<'a> = Vec<(Setting, &'a str, &'a Shape<Text<'a>>)>;

/// The pod's own annotations of the domain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Annotations<'a>(pub(super) &'a [(Text<'a>, Shape<Text<'a>>)]);

impl<'a> Annotations<'a> {
    /// Returns the annotation with exactly this key.
    pub(super) fn get(self, key: &str) -> Option<&'a Shape<Text<'a>>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns the annotations for the whole pod.
    pub(super) fn of_pod(self) -> SettingAnnotations<'a> {
        let ours = self.0.iter();
        ours.filter_map(|(key, value)| Some((setting_of(key)?, key.as_ref(), value))).collect()
    }

    /// Returns the annotations for single containers, by the container's name.
    pub(super) fn by_container(self) -> BTreeMap<&'a str, SettingAnnotations<'a>> {
        let mut containers: BTreeMap<_, SettingAnnotations<'_>> = BTreeMap::new();
        for (key, value) in self.0 {
            if let Some((setting, container)) = container_of(key) {
                containers.entry(container).or_default().push((setting, key.as_ref(), value));
            }
        }
        containers
    }

    /// Reports unknown keys, and settings for containers that do not exist.
    pub(super) fn report_strangers(self, containers: &BTreeSet<&str>, problems: &mut Vec<Problem>) {
        for (key, _) in self.0 {
            let place = || format!("pod annotation {key}");
            if key == INJECT_LABEL {
                problems.push(Problem::new(ProblemCode::InjectIsALabel, place(), ""));
            } else if let Some((_, container)) = container_of(key) {
                if !containers.contains(container) {
                    problems.push(Problem::new(ProblemCode::NoSuchContainer, place(), ""));
                }
            } else if ![STATUS_ANNOTATION, IGNORE_ANNOTATION].contains(&key.as_ref())
                && setting_of(key).is_none()
            {
                let problem = unknown_annotation("pod annotation", key, problems);
                problems.push(problem);
            }
        }
    }
}

impl Level {
    /// Reads the settings of the pod's author for the pod, or for one container.
    pub(super) fn read(
        mut annotations: SettingAnnotations<'_>,
        policy: &Policy,
        problems: &mut Vec<Problem>,
    ) -> Self {
        // Sorted, so that the order of the problems does not depend on the order of the
        // annotations.
        annotations.sort_by_key(|(setting, ..)| *setting);
        let mut level = Self::default();
        let mut command = None;
        let mut signal = None;
        for (setting, key, value) in annotations {
            let place = format!("pod annotation {key}");
            let value = match value {
                Shape::Value(value) => value.as_ref(),
                Shape::Absent => continue,
                Shape::Wrong => {
                    problems.push(Problem::new(
                        ProblemCode::InvalidValue,
                        place,
                        "not a string; put it in quotes",
                    ));
                    continue;
                }
            };
            match setting {
                Setting::Profile => {
                    let choice = Some(ProfileChoice::parse(value));
                    if is_known(choice.as_ref(), &policy.catalogue) {
                        level.profile = choice;
                    } else {
                        let detail = suggested_profile(choice.as_ref(), policy, problems);
                        problems.push(Problem::new(ProblemCode::UnknownProfile, place, detail));
                    }
                }
                Setting::QuitCommand => command = read_command(value, &place, policy, problems),
                Setting::QuitSignal => signal = read_signal(value, &place, problems),
                Setting::Delay => {
                    let delay = read_delay(value, &place, problems);
                    level.delay = delay.map(|asked| match asked {
                        AskedDelay::Of(delay) => {
                            AskedDelay::Of(at_most(delay, policy, &place, problems))
                        }
                        AskedDelay::Auto => AskedDelay::Auto,
                    });
                }
                other => level.read_value(other, value, &place, problems),
            }
        }
        if command.is_some() || signal.is_some() {
            level.quit = Some(AuthorQuit { command: command.unwrap_or_default(), signal });
        }
        level
    }

    /// Reads a setting whose meaning is the same on every level.
    fn read_value(
        &mut self,
        setting: Setting,
        value: &str,
        place: &str,
        problems: &mut Vec<Problem>,
    ) {
        match setting {
            Setting::Delay => self.delay = read_delay(value, place, problems),
            Setting::QuitTimeout => {
                self.quit_timeout_seconds = read_duration(value, place, problems);
            }
            Setting::QuietPeriod => {
                let seconds = read_duration(value, place, problems);
                self.quiet_seconds = seconds.filter(|seconds| {
                    if *seconds == 0 {
                        let detail = "the period must not be 0; write 1s or more";
                        problems.push(Problem::new(ProblemCode::InvalidValue, place, detail));
                    }
                    *seconds > 0
                });
            }
            Setting::Shell => {
                let words = [("present", Presence::Present), ("absent", Presence::Absent)];
                self.shell = read_word(value, words, place, problems);
            }
            Setting::Hold => {
                let words = [("connections", Hold::Connections), ("none", Hold::None)];
                self.hold = read_word(value, words, place, problems);
            }
            Setting::OwnHook => self.own_hook = read_own_hook(value, place, problems),
            Setting::HookReport => {
                let words = [
                    ("termination-message", HookReport::TerminationMessage),
                    ("none", HookReport::None),
                ];
                self.report = read_word(value, words, place, problems);
            }
            // These depend on the level.
            Setting::Profile | Setting::QuitCommand | Setting::QuitSignal => {}
        }
    }
}

/// Returns the switch on a pod, and adds the problems of its labels.
pub(super) fn read_pod_labels(
    labels: &[(Text<'_>, Shape<Text<'_>>)],
    problems: &mut Vec<Problem>,
) -> Option<Switch> {
    let mut switch = None;
    for (key, value) in labels {
        if key == INJECT_LABEL {
            switch = value.value().and_then(|text| Switch::parse(text));
            if switch.is_none() && !value.is_absent() {
                problems.push(bad_switch("pod label"));
            }
        } else {
            let problem = unknown_label("pod label", key, problems);
            problems.push(problem);
        }
    }
    switch
}

/// Returns whether the key is a setting of a pod or container.
pub(super) fn is_setting(key: &str) -> bool {
    setting_of(key).is_some() || container_of(key).is_some()
}

/// Returns the setting of a key for a whole pod or namespace: `prestop.dev/delay`.
fn setting_of(key: &str) -> Option<Setting> {
    let (domain, name) = key.split_once('/')?;
    Setting::ALL.into_iter().find(|setting| domain == DOMAIN && setting.name() == name)
}

/// Returns the setting and the container of a key for one container: `delay.prestop.dev/web`.
fn container_of(key: &str) -> Option<(Setting, &str)> {
    let (domain, container) = key.split_once('/')?;
    container_setting(domain).map(|setting| (setting, container))
}

fn container_setting(domain: &str) -> Option<Setting> {
    let name = domain.strip_suffix(DOMAIN)?.strip_suffix('.')?;
    Setting::ALL.into_iter().find(|setting| setting.name() == name)
}

fn read_duration(text: &str, place: &str, problems: &mut Vec<Problem>) -> Option<i64> {
    match duration::parse(text) {
        Ok(parsed) => {
            if parsed.rounded_up {
                let detail = format!("taken as {}s", parsed.seconds);
                problems.push(Problem::new(ProblemCode::RoundedUp, place, detail));
            }
            Some(parsed.seconds)
        }
        Err(cause) => {
            problems.push(Problem::new(ProblemCode::InvalidValue, place, cause));
            None
        }
    }
}

fn read_delay(text: &str, place: &str, problems: &mut Vec<Problem>) -> Option<AskedDelay> {
    if text == AskedDelay::AUTO {
        return Some(AskedDelay::Auto);
    }
    match duration::parse_delay(text) {
        Ok(parsed) => {
            if parsed.rounded_up {
                let detail = format!("taken as {}", Plain(parsed.delay));
                problems.push(Problem::new(ProblemCode::RoundedUp, place, detail));
            }
            Some(AskedDelay::Of(parsed.delay))
        }
        Err(cause) => {
            problems.push(Problem::new(ProblemCode::InvalidValue, place, cause));
            None
        }
    }
}

fn read_word<T, const N: usize>(
    text: &str,
    words: [(&str, T); N],
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let names = words.each_ref().map(|(name, _)| *name).join(" or ");
    let found = words.into_iter().find(|(name, _)| *name == text);
    if found.is_none() {
        problems.push(Problem::new(ProblemCode::InvalidValue, place, format!("write {names}")));
    }
    found.map(|(_, value)| value)
}

/// Returns the delay, cut to the maximum, and reports the cut.
pub(super) fn at_most(
    delay: Delay,
    policy: &Policy,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Delay {
    let cut = delay.at_most(policy.maximum_delay_seconds);
    if cut != delay {
        let detail = format!("{} asked, {} taken", Plain(delay), Plain(cut));
        problems.push(Problem::new(ProblemCode::DelayAboveMaximum, place, detail));
    }
    cut
}

fn read_command(
    text: &str,
    place: &str,
    policy: &Policy,
    problems: &mut Vec<Problem>,
) -> Option<Vec<String>> {
    if !policy.allow_quit_command_annotation {
        problems.push(Problem::new(ProblemCode::QuitCommandNotAllowed, place, ""));
        return None;
    }
    if text.len() > LONGEST_QUIT_COMMAND_BYTES {
        let detail = format!("longer than {LONGEST_QUIT_COMMAND_BYTES} bytes; put it in a script");
        problems.push(Problem::new(ProblemCode::InvalidValue, place, detail));
        return None;
    }
    let command: Option<Vec<String>> = serde_json::from_str(text).ok();
    let runnable = |command: &Vec<String>| {
        command.first().is_some_and(|program| !program.is_empty())
            && command.iter().all(|argument| !argument.contains('\0'))
    };
    let command = command.filter(runnable);
    if command.is_none() {
        let detail = r#"not a JSON array of strings; write ["nginx","-s","quit"]"#;
        problems.push(Problem::new(ProblemCode::InvalidValue, place, detail));
    }
    command
}

fn read_signal(text: &str, place: &str, problems: &mut Vec<Problem>) -> Option<Signal> {
    let signal = text.parse();
    if let Err(cause) = &signal {
        problems.push(Problem::new(ProblemCode::InvalidValue, place, cause));
    }
    signal.ok()
}

fn read_own_hook(text: &str, place: &str, problems: &mut Vec<Problem>) -> Option<OwnHookRule> {
    match text {
        "keep" => Some(OwnHookRule::Keep),
        "extend" => Some(OwnHookRule::Extend),
        _ => {
            problems.push(Problem::new(ProblemCode::InvalidValue, place, "write keep or extend"));
            None
        }
    }
}

fn is_known(choice: Option<&ProfileChoice>, catalogue: &Catalogue) -> bool {
    match choice {
        Some(ProfileChoice::Named(name)) => catalogue.by_name(name).is_some(),
        Some(ProfileChoice::Auto | ProfileChoice::DelayOnly) | None => true,
    }
}

fn bad_switch(place: &str) -> Problem {
    Problem::new(
        ProblemCode::InvalidValue,
        format!("{place} {INJECT_LABEL}"),
        "write enabled or disabled",
    )
}
