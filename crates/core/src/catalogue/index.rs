//! Finds the first pattern for an image without trying all of them: nearly every pattern ends in a
//! fixed name (`bitnami*/nginx`), and an image can only have one.

use super::image::OFFICIAL;
use super::{ImagePattern, ImageReference};

/// What is found by an image.
pub(super) trait Indexed {
    /// Which images it is for.
    fn images(&self) -> &[ImagePattern];

    /// Whether it is for images of this tag.
    fn is_for_tag(&self, tag: Option<&str>) -> bool;
}

/// Where each pattern of a list stands: of profiles, or of facts about programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    /// Patterns that end in a fixed name, by its length, by that name, then by their place.
    plain: Vec<PatternPlace>,
    /// All others, by their place.
    wild: Vec<Wild>,
}

/// A pattern with a `*` in its last component.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wild {
    place: PatternPlace,
    /// The component before the last, where the pattern has one that stands for no other.
    folder: Option<Vec<u8>>,
    /// No shorter name matches.
    least_bytes: usize,
    /// How the name begins, unless with the `*`.
    first: Option<u8>,
}

/// A pattern's place: its entry in the list, and which one it is of the entry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PatternPlace {
    entry: usize,
    pattern: usize,
}

impl Index {
    pub(super) fn of(entries: &[impl Indexed]) -> Self {
        let all = entries.iter().enumerate().flat_map(|(entry, known)| {
            let patterns = known.images().iter().enumerate();
            patterns.map(move |(pattern, image)| (PatternPlace { entry, pattern }, image))
        });
        let (mut plain, wild): (Vec<_>, Vec<_>) = all.partition(|(_, image)| image.ends_plainly());
        plain.sort_by_key(|(place, image)| (by_length(image.last_component()), *place));
        Self {
            plain: plain.into_iter().map(|(place, _)| place).collect(),
            wild: wild.into_iter().map(|(place, image)| Wild::new(place, image)).collect(),
        }
    }

    /// The first entry for an image, with the first of its patterns that matches. `entries` are
    /// those that the index was made of.
    pub(super) fn first<'e, E: Indexed>(
        &self,
        entries: &'e [E],
        image: &ImageReference<'_>,
    ) -> Option<(&'e E, &'e ImagePattern)> {
        let get = |place: &PatternPlace| {
            let entry = entries.get(place.entry)?;
            Some((entry, entry.images().get(place.pattern)?))
        };
        let matching = |place: &&PatternPlace| {
            get(place).is_some_and(|(entry, pattern)| {
                pattern.matches(image) && entry.is_for_tag(image.tag)
            })
        };
        let (last, folder) = (image.last_component(), image.folder());
        let ending = |place: &PatternPlace| {
            get(place).map_or(&b""[..], |(_, pattern)| pattern.last_component())
        };
        let from = self.plain.partition_point(|place| by_length(ending(place)) < by_length(last));
        let mut same_end = self.plain.iter().skip(from).take_while(|place| ending(place) == last);
        let plain = same_end.find(matching);
        let is_before = |wild: &&Wild| plain.is_none_or(|plain| wild.place < *plain);
        let mut wild = self
            .wild
            .iter()
            .take_while(is_before)
            .filter(|wild| wild.can_match(last, folder))
            .map(|wild| &wild.place)
            .filter(|place| get(place).is_some_and(|(_, pattern)| pattern.last_matches(last)));
        let wild = wild.find(matching);
        get(wild.or(plain)?)
    }
}

/// An order in which most names need not be looked at.
const fn by_length(name: &[u8]) -> (usize, &[u8]) {
    (name.len(), name)
}

impl Wild {
    fn new(place: PatternPlace, image: &ImagePattern) -> Self {
        let component = image.last_component();
        let is_plain = |folder: &&[u8]| !folder.contains(&b'*') && *folder != OFFICIAL;
        Self {
            place,
            folder: image.folder().filter(is_plain).map(<[u8]>::to_vec),
            least_bytes: component.iter().filter(|byte| **byte != b'*').count(),
            first: component.first().copied().filter(|byte| *byte != b'*'),
        }
    }

    /// What nearly every name fails at.
    fn can_match(&self, name: &[u8], folder: Option<&[u8]>) -> bool {
        name.len() >= self.least_bytes
            && self.folder.as_ref().is_none_or(|own| folder == Some(own))
            && self.first.is_none_or(|first| name.first() == Some(&first))
    }
}
