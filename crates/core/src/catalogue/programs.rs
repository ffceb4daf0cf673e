//! Facts about the programs in images. A hook that needs a shell or `sleep` can't start in an image
//! without it, and the container then gets its stop signal immediately.

use serde::Deserialize;

use super::index::Indexed;
use super::{ImagePattern, Membership, TagPattern, TagRange, tags};

/// Whether an image has a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// The image has the program.
    Present,
    /// The image does not have the program: a hook that needs it can't start.
    Absent,
    /// Nothing is known about the image.
    #[default]
    Unknown,
}

/// The programs that hooks need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Programs {
    /// `/bin/sh`.
    pub shell: Presence,
    /// `sleep`, in the image's `PATH`.
    pub sleep: Presence,
}

/// A fact: the programs of a family of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramsOfImages {
    /// The images that the fact is about.
    pub images: Vec<ImagePattern>,
    /// The tags of these images that it is about. Empty: all tags, and references without a tag.
    pub tag_patterns: Vec<TagPattern>,
    /// Range that must certainly contain the tag's version.
    pub tags: Option<TagRange>,
    /// Presence of the programs.
    pub programs: Programs,
    /// The evidence, in one sentence.
    pub reason: String,
    /// Link to the source.
    pub link: String,
}

impl Programs {
    /// Programs of an image about which nothing is known.
    pub const UNKNOWN: Self = Self { shell: Presence::Unknown, sleep: Presence::Unknown };

    /// Returns whether a script can certainly run.
    #[must_use]
    pub fn are_there(self) -> bool {
        self.shell == Presence::Present && self.sleep == Presence::Present
    }

    /// Returns whether a script certainly can't run.
    #[must_use]
    pub fn lack_something(self) -> bool {
        self.shell == Presence::Absent || self.sleep == Presence::Absent
    }

    /// Replaces unknown facts with `default`.
    #[must_use]
    pub fn or(self, default: Presence) -> Self {
        let known = |presence: Presence| match presence {
            Presence::Unknown => default,
            Presence::Present | Presence::Absent => presence,
        };
        Self { shell: known(self.shell), sleep: known(self.sleep) }
    }
}

impl Indexed for ProgramsOfImages {
    fn images(&self) -> &[ImagePattern] {
        &self.images
    }

    fn is_for_tag(&self, tag: Option<&str>) -> bool {
        let in_range = |range: &TagRange| range.contains(tag) == Membership::Inside;
        tags::any_matches(&self.tag_patterns, tag) && self.tags.as_ref().is_none_or(in_range)
    }
}
