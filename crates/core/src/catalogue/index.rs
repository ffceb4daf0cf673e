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

/// The position of each pattern in a list of profiles or of facts about programs.
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
    /// No name without these matches.
    name: Letters,
    /// No path and registry without these match.
    path: Letters,
}

/// Which characters a text has, a bit for each that a pattern can have. Nearly every image lacks one of
/// those of a pattern that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Letters(u64);

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
        let last = image.last_component();
        let ending = |place: &PatternPlace| {
            get(place).map_or(&b""[..], |(_, pattern)| pattern.last_component())
        };
        let from = self.plain.partition_point(|place| by_length(ending(place)) < by_length(last));
        let mut same_end = self.plain.iter().skip(from).take_while(|place| ending(place) == last);
        let plain = same_end.find(matching);
        let is_before = |wild: &&Wild| plain.is_none_or(|plain| wild.place < *plain);
        let (name, path) = (Letters::of(last), Letters::of_image(image));
        let mut wild = self
            .wild
            .iter()
            .take_while(is_before)
            .filter(|wild| name.include(wild.name) && path.include(wild.path))
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
        // The folder of official images also matches those of the architectures.
        let components = image.components().filter(|component| *component != OFFICIAL);
        Self {
            place,
            name: Letters::of(image.last_component()),
            path: components.map(Letters::of).fold(Letters(0), Letters::with),
        }
    }
}

impl Letters {
    fn of(text: &[u8]) -> Self {
        text.iter().copied().map(Self::of_byte).fold(Self(0), Self::with)
    }

    /// Those of its path and its registry.
    fn of_image(image: &ImageReference<'_>) -> Self {
        Self::of(image.registry.as_bytes()).with(Self::of(image.repository.as_bytes()))
    }

    /// None for `*`, and for capitals, which only registries have and no pattern.
    const fn of_byte(byte: u8) -> Self {
        let bit = match byte {
            b'a'..=b'z' => byte - b'a',
            b'-'..=b':' => byte - b'-' + 26,
            b'_' => 63,
            _ => return Self(0),
        };
        Self(1 << bit)
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn include(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_includes_the_letters_of_each_pattern_that_matches_it() {
        for (pattern, image) in [
            ("*", "nginx"),
            ("*nginx-ingress*", "x/my-nginx-ingress-2"),
            ("bitnami*/n*", "bitnamilegacy/nginx:1"),
            ("library/n*x", "nginx"),
            ("library/n*", "arm64v8/nginx"),
            ("docker.io/library/n*", "nginx"),
            ("localhost:5000/a_b.*", "localhost:5000/a_b.c"),
            ("registry.local:80/*", "registry.local:80/x"),
        ] {
            let pattern: ImagePattern = pattern.parse().unwrap();
            let image = ImageReference::parse(image).unwrap();
            assert!(pattern.matches(&image), "{pattern} {image:?}");
            let wild = Wild::new(PatternPlace { entry: 0, pattern: 0 }, &pattern);
            assert!(Letters::of_image(&image).include(wild.path), "{pattern} {image:?}");
            assert!(Letters::of(image.last_component()).include(wild.name), "{pattern} {image:?}");
        }
    }

    #[test]
    fn an_image_without_a_letter_of_the_pattern_is_ruled_out() {
        let image = ImageReference::parse("nginx:distroless").unwrap();
        assert!(!Letters::of_image(&image).include(Letters::of(b"*distroless*")));
    }
}
