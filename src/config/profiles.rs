//! The format of profiles and facts about programs: `profiles` and `programs` of a configuration,
//! with the position of each error. `catalogue.yaml` has the same format; a test checks it by the
//! same rules.

mod delay;
mod fields;
mod programs;

use std::borrow::Cow;
use std::collections::HashSet;
use std::str::FromStr;

use prestop_core::catalogue::{
    Hold, ImagePattern, Profile, ProfileHook, Quit, QuitWhen, RESERVED_NAMES, Role, Signal,
    StopSignal, TagPattern, TagRange,
};
use prestop_core::duration::{self, DurationError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use thiserror::Error;

use self::fields::{all, each, error, keep, parsed};

pub use self::delay::DELAY_PATTERN;
pub(super) use self::delay::{AskedDelayText, DelayText, DelayTextError};
pub(super) use self::fields::FieldError;
pub(super) use self::programs::{ProgramsEntry, validate as validate_programs};

/// The kernel truncates the name of a process to this many bytes (`TASK_COMM_LEN` less the final
/// zero).
const LONGEST_PROCESS_NAME: usize = 15;

/// Maximum length of the name of a profile or a container, as for most names in Kubernetes.
const LONGEST_NAME: usize = 63;

/// Pattern of the durations that [`prestop_core::duration::parse`] reads, for editors. Without
/// look-ahead, which Go's validators do not support.
pub const DURATION_PATTERN: &str = concat!(
    "^([0-9]+|[0-9]+h([0-9]+m)?([0-9]+s)?([0-9]+ms)?|[0-9]+m([0-9]+s)?([0-9]+ms)?",
    "|[0-9]+s([0-9]+ms)?|[0-9]+ms)$"
);

/// Facts about one application in one family of images.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ProfileEntry {
    /// Unique name, for `prestop.dev/profile` and the reports: lower-case letters, digits and `-`.
    /// `auto` and `none` are reserved.
    #[schemars(
        with = "String",
        length(max = LONGEST_NAME),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
        extend("not" = { "enum": RESERVED_NAMES })
    )]
    name: Spanned<String>,
    /// Patterns for the end of the repository path: `nginx`, `bitnami*/nginx`,
    /// `cgr.dev/chainguard/nginx`. Without tag and digest.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    images: Vec<Spanned<String>>,
    /// Patterns for the tags of these images: `*fpm*`, `*-dev`. Default: every tag, and no tag.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    tag_patterns: Vec<Spanned<String>>,
    /// Fixed names under which an injector adds this sidecar: `istio-proxy`. Used for containers whose
    /// image matches no profile.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    container_names: Vec<Spanned<String>>,
    /// Its role if requests pass through more than one container of a pod.
    #[serde(default)]
    #[schemars(with = "RoleEntry")]
    role: Option<Spanned<RoleEntry>>,
    /// The hook that these images need.
    #[schemars(with = "HookEntry")]
    hook: Spanned<HookEntry>,
    /// For `hook: quit`: how to ask the application to finish its work and exit.
    #[serde(default)]
    #[schemars(with = "QuitEntry")]
    quit: Option<Spanned<QuitEntry>>,
    /// A delay for these images, such as `15s` or `10s-2m`; takes precedence over the default.
    #[serde(default)]
    #[schemars(with = "DelayText")]
    delay: Option<DelayText>,
    /// `connections`: the hook waits until no connection to a listening port of the pod is left, if the
    /// image has a shell. With `hook: quit` it waits instead of quitting, because the quit has a
    /// shorter time limit. Takes precedence over the default.
    #[serde(default)]
    #[schemars(with = "HoldEntry")]
    hold: Option<HoldEntry>,
    /// For proxies and log shippers that must outlive the application: how much longer their delay is
    /// than the longest delay of the application's containers.
    #[serde(default)]
    #[schemars(with = "DurationText")]
    sidecar_margin: Option<DurationText>,
    /// The stop signal of the image, and whether the application finishes its work on it.
    #[serde(default)]
    stop_signals: Vec<StopSignalEntry>,
    /// The reason for this hook, in one sentence.
    #[serde(default)]
    reason: String,
    /// A link to the source.
    #[serde(default)]
    link: String,
}

/// What images need before their stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum HookEntry {
    /// None: their operator or chart sets a hook.
    LeaveAlone,
    /// The delay only.
    Delay,
    /// Delay, quit, and a wait until the application is done.
    Quit,
}

/// Whether the hook waits for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HoldEntry {
    /// It does not.
    None,
    /// Until no connection to a listening port of the pod is left.
    Connections,
}

/// The role of a server among the containers of a pod.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum RoleEntry {
    /// It takes requests of clients and can forward them to a backend.
    Front,
    /// It gets requests from a front in the same pod, so it has to outlive the drain of that front.
    Backend,
}

/// How to ask an application to finish its work and exit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct QuitEntry {
    /// The application's command: program and arguments, not a shell command line.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    command: Vec<Spanned<String>>,
    /// The signal for PID 1, used if there is no command or if it fails: `QUIT`, `WINCH`, `USR1`, …
    #[serde(default)]
    #[schemars(with = "String")]
    signal: Option<Spanned<String>>,
    /// The names in `/proc/1/comm` by which the application is recognised as PID 1. `php-fpm*` matches
    /// every name that begins with `php-fpm`.
    #[schemars(with = "Vec<String>", length(min = 1), inner(length(min = 1, max = LONGEST_PROCESS_NAME + 1)))]
    process_names: Vec<Spanned<String>>,
    /// `needed`: not for images that are known to stop gracefully on their stop signal.
    #[serde(default)]
    when: WhenEntry,
}

/// When a profile's quit is used.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum WhenEntry {
    /// For every tag.
    #[default]
    Always,
    /// Only if image and tag are not known to stop gracefully on their stop signal.
    Needed,
}

/// A fact about images: which stop signal the runtime sends, and what they do then.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StopSignalEntry {
    /// The tags to which it applies: `>=1.19.5`, `<2`, or both with a comma. Default: all tags.
    #[serde(default)]
    #[schemars(with = "String")]
    tags: Option<Spanned<String>>,
    /// The image's `STOPSIGNAL`; `TERM` if it has none.
    #[schemars(with = "String")]
    signal: Spanned<String>,
    /// Whether the application finishes its open requests.
    graceful: bool,
    /// A link to the source.
    #[serde(default)]
    link: String,
}

/// A duration in the file, with its position: `15s`, `1m30s`, or whole seconds without a unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct DurationText(Spanned<String>);

/// Reason why a duration in the file is not one of whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub(super) enum DurationTextError {
    /// Not a duration at all.
    #[error(transparent)]
    NotADuration(#[from] DurationError),
    /// `1500ms`: fractions of a second are not supported.
    #[error("write whole seconds: Kubernetes has no fractions")]
    Fraction,
}

/// Validates profiles, in the order in which they are tried. `path` is the path of the list in its
/// file: `profiles`.
///
/// # Errors
/// Each invalid field, with its position.
pub(super) fn validate(
    entries: &[ProfileEntry],
    path: &str,
) -> Result<Vec<Profile>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut names = HashSet::new();
    let mut profiles = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("{path}[{index}]");
        profiles.extend(entry.validate(&path, &mut errors));
        let name = entry.valid_name(&path);
        if name.is_ok_and(|name| !names.insert(name)) {
            let message = format!("duplicate profile name {}", entry.name.value);
            errors.push(error(&format!("{path}.name"), &entry.name, message));
        }
    }
    if errors.is_empty() { Ok(profiles) } else { Err(errors) }
}

impl DurationText {
    /// Returns the whole seconds, 0 to a hundred years.
    ///
    /// # Errors
    /// When it is not a duration, or has a fraction of a second.
    pub(super) fn seconds(&self) -> Result<i64, DurationTextError> {
        let duration = duration::parse(&self.0.value)?;
        if duration.rounded_up {
            return Err(DurationTextError::Fraction);
        }
        Ok(duration.seconds)
    }

    /// Returns the position where it is used.
    #[must_use]
    pub(super) const fn location(&self) -> Location {
        self.0.referenced
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a duration such as 15s or 1m30s, or whole seconds",
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": DURATION_PATTERN,
        })
    }
}

impl From<HoldEntry> for Hold {
    fn from(entry: HoldEntry) -> Self {
        match entry {
            HoldEntry::None => Self::None,
            HoldEntry::Connections => Self::Connections,
        }
    }
}

impl ProfileEntry {
    /// Returns the durations of the hook: field, position and maximum of each that can be parsed.
    pub(super) fn times(&self) -> impl Iterator<Item = (&'static str, Location, i64)> {
        let delay = self
            .delay
            .as_ref()
            .and_then(|text| Some(("delay", text.location(), text.delay().ok()?.most_seconds)));
        let margin = self
            .sidecar_margin
            .as_ref()
            .and_then(|text| Some(("sidecarMargin", text.location(), text.seconds().ok()?)));
        delay.into_iter().chain(margin)
    }

    fn validate(&self, path: &str, errors: &mut Vec<FieldError>) -> Option<Profile> {
        let name = keep(self.valid_name(path), errors);
        let images = format!("{path}.images");
        let images = each(&self.images, &images, ImagePattern::from_str, errors);
        let tag_patterns = format!("{path}.tagPatterns");
        let tag_patterns = each(&self.tag_patterns, &tag_patterns, TagPattern::from_str, errors);
        if let Some(first) = self.tag_patterns.first().filter(|_| self.images.is_empty()) {
            let path = format!("{path}.tagPatterns[0]");
            errors.push(error(&path, first, "tagPatterns need images: add images"));
        }
        let container_names = self.valid_container_names(path, errors);
        let role = self.valid_role(path, errors);
        let hook = self.valid_hook(path, errors);
        let delay = self.delay.as_ref().map(|text| {
            let wrong = |cause: DelayTextError| {
                error(&format!("{path}.delay"), text.spanned(), cause.to_string())
            };
            text.delay().map_err(wrong)
        });
        let delay = keep(delay.transpose(), errors);
        let margin = format!("{path}.sidecarMargin");
        let margin = keep(seconds(self.sidecar_margin.as_ref(), &margin), errors);
        let stop_signals = self.valid_stop_signals(path, errors);
        Some(Profile {
            name: name?,
            images: images?,
            tag_patterns: tag_patterns?,
            container_names: container_names?,
            role,
            hook: hook?,
            delay: delay?,
            hold: self.hold.map(Hold::from),
            sidecar_margin_seconds: margin?,
            stop_signals: stop_signals?,
            reason: self.reason.clone(),
            link: self.link.clone(),
        })
    }

    fn valid_name(&self, path: &str) -> Result<String, FieldError> {
        let name = &self.name.value;
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let path = format!("{path}.name");
        if name.is_empty()
            || name.len() > LONGEST_NAME
            || !name.bytes().all(letters)
            || name.starts_with('-')
            || name.ends_with('-')
        {
            let message = "a name consists of at most 63 lower-case letters, digits and '-', and begins and ends with a letter or digit";
            return Err(error(&path, &self.name, message));
        }
        if RESERVED_NAMES.contains(&name.as_str()) {
            let message = format!("{name} is reserved; choose another name");
            return Err(error(&path, &self.name, message));
        }
        Ok(name.clone())
    }

    fn valid_container_names(
        &self,
        path: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<Vec<String>> {
        let path = format!("{path}.containerNames");
        if let Some(first) = self.container_names.first().filter(|_| self.sidecar_margin.is_none())
        {
            let message = "container names are for sidecars only: add sidecarMargin, or use images";
            errors.push(error(&format!("{path}[0]"), first, message));
        }
        let mut seen = HashSet::new();
        for (index, name) in self.container_names.iter().enumerate() {
            if !seen.insert(&name.value) {
                let message = format!("duplicate {}", name.value);
                errors.push(error(&format!("{path}[{index}]"), name, message));
            }
        }
        each(&self.container_names, &path, container_name, errors)
    }

    fn valid_role(&self, path: &str, errors: &mut Vec<FieldError>) -> Option<Role> {
        let role = self.role.as_ref()?;
        if self.sidecar_margin.is_some() {
            let message = "a sidecar outlives every other container, so it has no role: write either \
                           role or sidecarMargin";
            errors.push(error(&format!("{path}.role"), role, message));
        }
        Some(match role.value {
            RoleEntry::Front => Role::Front,
            RoleEntry::Backend => Role::Backend,
        })
    }

    fn valid_hook(&self, path: &str, errors: &mut Vec<FieldError>) -> Option<ProfileHook> {
        let quit_path = format!("{path}.quit");
        match (self.hook.value, &self.quit) {
            (HookEntry::LeaveAlone, None) => Some(ProfileHook::LeaveAlone),
            (HookEntry::Delay, None) => Some(ProfileHook::Delay),
            (HookEntry::Quit, Some(quit)) => {
                if self.sidecar_margin.is_some() {
                    let message = "a sidecar has no quit: it has to outlive the application";
                    errors.push(error(&quit_path, quit, message));
                }
                let valid = quit.value.validate(quit, &quit_path, errors);
                valid.map(ProfileHook::Quit)
            }
            (HookEntry::Quit, None) => {
                let message = "hook: quit needs the field quit";
                errors.push(error(&format!("{path}.hook"), &self.hook, message));
                None
            }
            (_, Some(quit)) => {
                errors.push(error(&quit_path, quit, "quit is for hook: quit only"));
                None
            }
        }
    }

    fn valid_stop_signals(
        &self,
        path: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<Vec<StopSignal>> {
        let facts = self.stop_signals.iter().enumerate();
        let facts = facts.map(|(index, fact)| {
            let path = format!("{path}.stopSignals[{index}]");
            let tags = fact.tags.as_ref();
            let tags = tags.map(|tags| parsed(tags, &format!("{path}.tags"), TagRange::from_str));
            let tags = keep(tags.transpose(), errors);
            let signal = parsed(&fact.signal, &format!("{path}.signal"), Signal::from_str);
            let signal = keep(signal, errors);
            let link = fact.link.clone();
            Some(StopSignal { tags: tags?, signal: signal?, graceful: fact.graceful, link })
        });
        all(facts)
    }
}

impl QuitEntry {
    fn validate<T>(
        &self,
        at: &Spanned<T>,
        path: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<Quit> {
        if self.command.is_empty() && self.signal.is_none() {
            let message = "a quit needs a command, a signal or both";
            errors.push(error(path, at, message));
        }
        let names = format!("{path}.processNames");
        if self.process_names.is_empty() {
            let message = "write at least one name of PID 1, as in /proc/1/comm: no other process gets the signal";
            errors.push(error(&names, at, message));
        }
        let command_path = format!("{path}.command");
        if let Some(program) = self.command.first().filter(|program| program.value.is_empty()) {
            let message = "the program is empty; write its path or name";
            errors.push(error(&format!("{command_path}[0]"), program, message));
        }
        let command = each(&self.command, &command_path, argument, errors);
        let signal = self.signal.as_ref();
        let signal =
            signal.map(|signal| parsed(signal, &format!("{path}.signal"), Signal::from_str));
        let signal = keep(signal.transpose(), errors);
        let process_names = each(&self.process_names, &names, process_name, errors);
        Some(Quit {
            command: command?,
            signal: signal?,
            process_names: process_names?,
            when: match self.when {
                WhenEntry::Always => QuitWhen::Always,
                WhenEntry::Needed => QuitWhen::Needed,
            },
        })
    }
}

fn argument(text: &str) -> Result<String, &'static str> {
    if text.contains('\0') {
        Err("an argument can't contain a NUL byte")
    } else {
        Ok(text.to_owned())
    }
}

fn container_name(text: &str) -> Result<String, &'static str> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(letters);
    if !is_label || text.starts_with('-') || text.ends_with('-') {
        return Err(
            "the name of a container: at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit",
        );
    }
    Ok(text.to_owned())
}

fn process_name(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",*?[]\\".contains(&byte);
    let name = text.strip_suffix('*').unwrap_or(text);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(
            "the name of a process: printable characters without spaces, commas, ?, [, ] and \
                    \\; '*' only at the end, for a prefix",
        );
    }
    if name.len() > LONGEST_PROCESS_NAME {
        return Err("the kernel truncates process names to 15 characters; write the first 15");
    }
    Ok(text.to_owned())
}

fn seconds(value: Option<&DurationText>, path: &str) -> Result<Option<i64>, FieldError> {
    let seconds = value.map(|value| {
        let seconds = value.seconds();
        seconds.map_err(|cause| error(path, &value.0, cause.to_string()))
    });
    seconds.transpose()
}

#[cfg(test)]
mod tests {
    use prestop_core::catalogue::{BUILT_IN_JSON, Catalogue};

    use super::*;

    const YAML: &str = include_str!("../../crates/core/src/catalogue/catalogue.yaml");

    /// The file `catalogue.yaml`.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CatalogueFile {
        profiles: Vec<ProfileEntry>,
        programs: Vec<ProgramsEntry>,
    }

    #[test]
    fn the_built_in_catalogue_is_made_of_the_yaml_and_valid() {
        let yaml: serde_json::Value = serde_saphyr::from_str(YAML).unwrap();
        let json = format!("{yaml}\n");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            let path =
                concat!(env!("CARGO_MANIFEST_DIR"), "/crates/core/src/catalogue/catalogue.json");
            std::fs::write(path, &json).unwrap();
            // This test was compiled with the old file.
            return;
        }
        let advice = "run UPDATE_GENERATED=1 cargo test --lib the_built_in_catalogue";
        assert_eq!(
            json, BUILT_IN_JSON,
            "crates/core/src/catalogue/catalogue.json is out of date: {advice}"
        );
        let file: CatalogueFile = serde_saphyr::from_str(YAML).unwrap();
        let profiles = validate(&file.profiles, "profiles").unwrap();
        let programs = validate_programs(&file.programs, "programs").unwrap();
        assert_eq!(*Catalogue::built_in(), Catalogue::new(profiles).with_programs(programs));
    }
}
