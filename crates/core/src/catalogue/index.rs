//! Finds the first pattern for an image without trying all of them: nearly every pattern ends in a
//! fixed name (`bitnami*/nginx`), and an image has only one.

use super::image::OFFICIAL;
use super::{ImagePattern, ImageReference};

/// An entry that is found by its images.
pub(super) trait Indexed {
    /// Returns the patterns of the entry's images.
    fn images(&self) -> &[ImagePattern];

    /// Returns whether the entry is for images with this tag.
    fn is_for_tag(&self, tag: Option<&str>) -> bool;
}

/// The position of each pattern in a list of profiles or of facts about programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    /// Patterns that end in a fixed name, sorted by the length of the name, the name, and their
    /// place.
    plain: Vec<PatternPlace>,
    /// All other patterns, sorted by their place.
    wild: Vec<Wild>,
}

/// A pattern with a `*` in its last component.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wild {
    place: PatternPlace,
    /// Characters that every matching name contains.
    name: Letters,
    /// Characters that every matching path with its registry contains.
    path: Letters,
}

/// Set of the characters of a text, with one bit for each character that a pattern can have. Nearly
/// every image lacks a character of a pattern that does not match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Letters(u64);

/// Place of a pattern: the index of its entry in the list, and its index within the entry.
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

    /// Returns the first entry for an image, with its first matching pattern. `entries` are those
    /// that the index was built from.
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

/// Sort key that puts the length first, so that most names need not be compared.
const fn by_length(name: &[u8]) -> (usize, &[u8]) {
    (name.len(), name)
}

impl Wild {
    fn new(place: PatternPlace, image: &ImagePattern) -> Self {
        // The folder of official images also matches the folders of architectures.
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

    /// Returns the characters of an image's registry and path, with the implied `library` folder.
    fn of_image(image: &ImageReference<'_>) -> Self {
        image.components_from_the_end().map(Self::of).fold(Self(0), Self::with)
    }

    /// Returns the bit of a character. `*` has none, nor have capitals, which occur in registries
    /// but in no pattern.
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
            ("l*/n*", "nginx"),
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
