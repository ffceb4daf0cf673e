//! Finds the first pattern for an image without trying all of them: nearly every pattern ends in a
//! fixed name (`bitnami*/nginx`), and an image can only have one.

use super::{ImagePattern, ImageReference, Profile};

/// Where each pattern of a list of profiles stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    /// Patterns that end in a fixed name, by that name, then by their place.
    plain: Vec<Place>,
    /// All others, by their place.
    wild: Vec<Place>,
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
        plain.sort_by_key(|(place, image)| (image.last_component(), *place));
        let places = |all: Vec<(Place, _)>| all.into_iter().map(|(place, _)| place).collect();
        Self { plain: places(plain), wild: places(wild) }
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
        let last = image.last_component();
        let ending = |place: &Place| get(place).map_or("", |(_, pattern)| pattern.last_component());
        let from = self.plain.partition_point(|place| ending(place) < last);
        let mut same_end = self.plain.iter().skip(from).take_while(|place| ending(place) == last);
        let plain = same_end.find(matching);
        let is_before = |place: &&Place| plain.is_none_or(|plain| *place < plain);
        let can_match =
            |place: &&Place| get(place).is_some_and(|(_, pattern)| pattern.last_matches(last));
        let mut wild = self.wild.iter().take_while(is_before).filter(can_match);
        let wild = wild.find(matching);
        get(wild.or(plain)?)
    }
}
