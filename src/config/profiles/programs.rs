//! The format of facts about the programs of images.

use std::str::FromStr;

use prestop_core::catalogue::{
    ImagePattern, Presence, Programs, ProgramsOfImages, TagPattern, TagRange,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::fields::{FieldError, all, each, error, keep, parsed};

/// A fact: which programs a family of images has. The first fact that matches an image is used.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ProgramsEntry {
    /// Patterns for the end of the repository path: `nginx`, `gcr.io/distroless/*`. Without tag and digest.
    #[schemars(with = "Vec<String>", length(min = 1))]
    images: Spanned<Vec<Spanned<String>>>,
    /// Patterns for the tags of these images: `*-dev`, `*distroless*`. Default: every tag, and no tag.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    tag_patterns: Vec<Spanned<String>>,
    /// Versions of these images: `>=1.19.5`, `<2`, or both with a comma. Default: all.
    #[serde(default)]
    #[schemars(with = "String")]
    tags: Option<Spanned<String>>,
    /// Whether they have `/bin/sh`.
    #[serde(default)]
    shell: PresenceEntry,
    /// Whether they have the program `sleep`.
    #[serde(default)]
    sleep: PresenceEntry,
    /// The evidence, in one sentence.
    #[serde(default)]
    reason: String,
    /// A link to the source.
    #[serde(default)]
    link: String,
}

/// Whether an image has a program.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum PresenceEntry {
    /// It exists.
    Present,
    /// It does not exist: no hook that needs it is injected.
    Absent,
    /// It is not known.
    #[default]
    Unknown,
}

/// Validates facts, in the order in which they are tried. `path` is the path of the list in its
/// file: `programs`.
///
/// # Errors
/// Each invalid field, with its position.
pub(crate) fn validate(
    entries: &[ProgramsEntry],
    path: &str,
) -> Result<Vec<ProgramsOfImages>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let entries = entries.iter().enumerate();
    let programs =
        all(entries.map(|(index, entry)| entry.validate(&format!("{path}[{index}]"), &mut errors)));
    programs.filter(|_| errors.is_empty()).ok_or(errors)
}

impl ProgramsEntry {
    fn validate(&self, path: &str, errors: &mut Vec<FieldError>) -> Option<ProgramsOfImages> {
        let images = format!("{path}.images");
        if self.images.value.is_empty() {
            errors.push(error(&images, &self.images, "at least one pattern for images"));
        }
        let images = each(&self.images.value, &images, ImagePattern::from_str, errors);
        let tag_patterns = format!("{path}.tagPatterns");
        let tag_patterns = each(&self.tag_patterns, &tag_patterns, TagPattern::from_str, errors);
        let tags = self.tags.as_ref();
        let tags = tags.map(|tags| parsed(tags, &format!("{path}.tags"), TagRange::from_str));
        let tags = keep(tags.transpose(), errors);
        Some(ProgramsOfImages {
            images: images?,
            tag_patterns: tag_patterns?,
            tags: tags?,
            programs: Programs { shell: self.shell.into(), sleep: self.sleep.into() },
            reason: self.reason.clone(),
            link: self.link.clone(),
        })
    }
}

impl From<PresenceEntry> for Presence {
    fn from(entry: PresenceEntry) -> Self {
        match entry {
            PresenceEntry::Present => Self::Present,
            PresenceEntry::Absent => Self::Absent,
            PresenceEntry::Unknown => Self::Unknown,
        }
    }
}
