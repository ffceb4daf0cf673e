//! Which programs an image has. A hook that needs a shell or `sleep` can't start in an image without
//! it, and the container then gets its stop signal immediately.

use serde::Deserialize;

use super::index::Indexed;
use super::{ImagePattern, Membership, TagPattern, TagRange, tags};

/// Whether an image has a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It exists.
    Present,
    /// It is not there: a hook that needs it can't start.
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
    /// `sleep`, found by the image's `PATH`.
    pub sleep: Presence,
}

/// A fact: the programs of a family of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramsOfImages {
    /// Which images it is for.
    pub images: Vec<ImagePattern>,
    /// Which of their tags. Empty: all, and references without a tag.
    pub tag_patterns: Vec<TagPattern>,
    /// The versions that the tag has to be of, with certainty.
    pub tags: Option<TagRange>,
    /// The programs.
    pub programs: Programs,
    /// The evidence, in one sentence.
    pub reason: String,
    /// A link to the source.
    pub link: String,
}

impl Programs {
    /// Of an image about which nothing is known.
    pub const UNKNOWN: Self = Self { shell: Presence::Unknown, sleep: Presence::Unknown };

    /// Whether a script certainly runs.
    #[must_use]
    pub fn are_there(self) -> bool {
        self.shell == Presence::Present && self.sleep == Presence::Present
    }

    /// Whether a script certainly does not run.
    #[must_use]
    pub fn lack_something(self) -> bool {
        self.shell == Presence::Absent || self.sleep == Presence::Absent
    }

    /// With this in place of what is not known.
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
