//! Finds the first pattern for an image without trying all of them: nearly every pattern ends in a
//! fixed name (`bitnami*/nginx`), and an image can only have one.

use super::{ImagePattern, ImageReference, Profile};

/// Where each pattern of a list of profiles stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    /// Patterns that end in a fixed name, by its length, by that name, then by their place.
    plain: Vec<Place>,
    /// All others, by their place.
    wild: Vec<Wild>,
}

/// A pattern with a `*` in its last component.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wild {
    place: Place,
    /// The component before the last, where the pattern has one without a `*`.
    folder: Option<Vec<u8>>,
    /// No shorter name matches.
    least_bytes: usize,
    /// How the name begins, unless with the `*`.
    first: Option<u8>,
}

/// A pattern's place: its profile, and which one it is of the profile's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    profile: usize,
    pattern: usize,
}

impl Index {
    pub(super) fn of(profiles: &[Profile]) -> Self {
        let all = profiles.iter().enumerate().flat_map(|(profile, known)| {
            let patterns = known.images.iter().enumerate();
            patterns.map(move |(pattern, image)| (Place { profile, pattern }, image))
        });
        let (mut plain, wild): (Vec<_>, Vec<_>) = all.partition(|(_, image)| image.ends_plainly());
        plain.sort_by_key(|(place, image)| (by_length(image.last_component()), *place));
        Self {
            plain: plain.into_iter().map(|(place, _)| place).collect(),
            wild: wild.into_iter().map(|(place, image)| Wild::new(place, image)).collect(),
        }
    }

    /// The first profile for an image, with the first of its patterns that matches. `profiles` are
    /// those that the index was made of.
    pub(super) fn first<'p>(
        &self,
        profiles: &'p [Profile],
        image: &ImageReference<'_>,
    ) -> Option<(&'p Profile, &'p ImagePattern)> {
        let get = |place: &Place| {
            let profile = profiles.get(place.profile)?;
            Some((profile, profile.images.get(place.pattern)?))
        };
        let matching =
            |place: &&Place| get(place).is_some_and(|(_, pattern)| pattern.matches(image));
        let (last, folder) = (image.last_component(), image.folder());
        let ending =
            |place: &Place| get(place).map_or(&b""[..], |(_, pattern)| pattern.last_component());
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
    fn new(place: Place, image: &ImagePattern) -> Self {
        let component = image.last_component();
        let is_plain = |folder: &&[u8]| !folder.contains(&b'*');
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
