//! The catalogue that is compiled in. Its source is `catalogue.yaml`; the program reads the same
//! content as JSON, which takes a fifth of the time at every start. A test of the configuration
//! validates the YAML and compares the two.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use super::{
    Catalogue, Hold, ImagePattern, Presence, Profile, ProfileHook, Programs, ProgramsOfImages,
    Quit, QuitWhen, Role, Signal, StopSignal, TagPattern, TagRange,
};
use crate::duration::{self, Delay};

/// The text of `catalogue.json`.
pub const BUILT_IN_JSON: &str = include_str!("catalogue.json");

#[derive(Deserialize)]
struct CatalogueFile {
    profiles: Vec<ProfileRecord>,
    programs: Vec<ProgramsRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileRecord {
    name: String,
    #[serde(default)]
    images: Vec<Parsed<ImagePattern>>,
    #[serde(default)]
    tag_patterns: Vec<Parsed<TagPattern>>,
    #[serde(default)]
    container_names: Vec<String>,
    role: Option<Role>,
    hook: HookRecord,
    quit: Option<QuitRecord>,
    delay: Option<DelayRecord>,
    hold: Option<Hold>,
    sidecar_margin: Option<Seconds>,
    #[serde(default)]
    stop_signals: Vec<StopSignalRecord>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    link: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HookRecord {
    LeaveAlone,
    Delay,
    Quit,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuitRecord {
    #[serde(default)]
    command: Vec<String>,
    signal: Option<Parsed<Signal>>,
    process_names: Vec<String>,
    #[serde(default)]
    when: QuitWhen,
}

#[derive(Deserialize)]
struct StopSignalRecord {
    tags: Option<Parsed<TagRange>>,
    signal: Parsed<Signal>,
    graceful: bool,
    #[serde(default)]
    link: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProgramsRecord {
    images: Vec<Parsed<ImagePattern>>,
    #[serde(default)]
    tag_patterns: Vec<Parsed<TagPattern>>,
    tags: Option<Parsed<TagRange>>,
    #[serde(default)]
    shell: Presence,
    #[serde(default)]
    sleep: Presence,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    link: String,
}

/// A value that is written as a string.
struct Parsed<T>(T);

/// A duration in whole seconds.
struct Seconds(i64);

/// A delay, or a range of them.
struct DelayRecord(Delay);

/// Parses the catalogue that is compiled in. A test parses it too, so it can't be empty because of
/// an error.
pub(super) fn built_in() -> Catalogue {
    let file: Result<CatalogueFile, _> = serde_json::from_str(BUILT_IN_JSON);
    let catalogue = file.ok().and_then(|file| {
        let profiles: Option<_> = file.profiles.into_iter().map(ProfileRecord::profile).collect();
        let programs = file.programs.into_iter().map(ProgramsOfImages::from).collect();
        Some(Catalogue::new(profiles?).with_programs(programs))
    });
    catalogue.unwrap_or_default()
}

impl ProfileRecord {
    /// Converts the record; `None` if the hook is `quit` and the record has no `quit`.
    fn profile(self) -> Option<Profile> {
        let hook = match self.hook {
            HookRecord::LeaveAlone => ProfileHook::LeaveAlone,
            HookRecord::Delay => ProfileHook::Delay,
            HookRecord::Quit => ProfileHook::Quit(self.quit?.into()),
        };
        Some(Profile {
            name: self.name,
            images: values(self.images),
            tag_patterns: values(self.tag_patterns),
            container_names: self.container_names,
            role: self.role,
            hook,
            delay: self.delay.map(|delay| delay.0),
            hold: self.hold,
            sidecar_margin_seconds: self.sidecar_margin.map(|margin| margin.0),
            stop_signals: self.stop_signals.into_iter().map(StopSignal::from).collect(),
            reason: self.reason,
            link: self.link,
        })
    }
}

impl From<QuitRecord> for Quit {
    fn from(record: QuitRecord) -> Self {
        Self {
            command: record.command,
            signal: record.signal.map(|signal| signal.0),
            process_names: record.process_names,
            when: record.when,
        }
    }
}

impl From<StopSignalRecord> for StopSignal {
    fn from(record: StopSignalRecord) -> Self {
        Self {
            tags: record.tags.map(|tags| tags.0),
            signal: record.signal.0,
            graceful: record.graceful,
            link: record.link,
        }
    }
}

impl From<ProgramsRecord> for ProgramsOfImages {
    fn from(record: ProgramsRecord) -> Self {
        Self {
            images: values(record.images),
            tag_patterns: values(record.tag_patterns),
            tags: record.tags.map(|tags| tags.0),
            programs: Programs { shell: record.shell, sleep: record.sleep },
            reason: record.reason,
            link: record.link,
        }
    }
}

fn values<T>(parsed: Vec<Parsed<T>>) -> Vec<T> {
    parsed.into_iter().map(|parsed| parsed.0).collect()
}

impl<'de, T: FromStr<Err: std::fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        duration::parse(text).map(|duration| Self(duration.seconds)).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for DelayRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        duration::parse_delay(text).map(|parsed| Self(parsed.delay)).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_its_reason_and_a_link() {
        let catalogue = built_in();
        assert!(!catalogue.profiles().is_empty());
        for profile in catalogue.profiles() {
            assert!(!profile.reason.is_empty(), "{} has no reason", profile.name);
            assert!(profile.link.starts_with("https://"), "{} has no link", profile.name);
            for fact in &profile.stop_signals {
                let has_link = fact.link.starts_with("https://");
                assert!(has_link, "{}: {} {:?} has no link", profile.name, fact.signal, fact.tags);
            }
        }
        assert!(!catalogue.all_programs().is_empty());
        for known in catalogue.all_programs() {
            assert!(!known.reason.is_empty(), "{:?} has no reason", known.images);
            assert!(known.link.starts_with("https://"), "{:?} has no link", known.images);
        }
    }
}
