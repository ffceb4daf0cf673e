//! Image references, patterns and ranges of tags: compared with regular expressions and slow
//! searches. The input consists of lines: a reference, then patterns and ranges.

use std::sync::LazyLock;

use prestop_core::catalogue::{
    Catalogue, ImagePattern, ImageReference, Membership, Profile, ProgramsOfImages, TagPattern,
    TagRange,
};
use regex::Regex;

static COMPONENT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"));
static REGISTRY: LazyLock<Regex> =
    LazyLock::new(|| regex(r"[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?"));
static TAG: LazyLock<Regex> = LazyLock::new(|| regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"));
static DIGEST: LazyLock<Regex> = LazyLock::new(|| regex(r"[A-Za-z0-9+._-]+:[0-9A-Fa-f]{32,}"));
/// Length limit for references, longer than any registry accepts.
const LONGEST: usize = 1024;

fn regex(pattern: &str) -> Regex {
    Regex::new(&format!(r"\A(?:{pattern})\z")).unwrap()
}

/// The input is a reference, and patterns and ranges that are checked with it.
pub fn target(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let reference = lines.next().unwrap_or_default();
    let image = ImageReference::parse(reference);
    assert_eq!(image, reference_model(reference), "{reference:?}");
    let patterns: Vec<ImagePattern> =
        lines.clone().filter_map(|line| line.parse().ok()).take(16).collect();
    for range in lines.filter_map(|line| line.parse::<TagRange>().ok()) {
        is_one_side_or_the_other(&range, image.and_then(|image| image.certain_tag()));
    }
    let Some(image) = image else { return };
    for pattern in &patterns {
        let expected = pattern_model(&pattern.to_string(), &image);
        assert_eq!(pattern.matches(&image), expected, "{pattern} {image:?}");
    }
    is_found_as_by_a_slow_search(Catalogue::built_in(), &image);
    is_found_as_by_a_slow_search(&of_patterns(&patterns), &image);
}

/// Parses a reference by its grammar, and by the rule that a first component with a dot or a colon,
/// or `localhost`, is a registry: <https://github.com/distribution/reference>.
fn reference_model(text: &str) -> Option<ImageReference<'_>> {
    let (name, digest) = text.split_once('@').map_or((text, None), |(a, b)| (a, Some(b)));
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = match name[last..].rfind(':') {
        Some(colon) => (&name[..last + colon], Some(&name[last + colon + 1..])),
        None => (name, None),
    };
    let (registry, repository) = match path.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", path),
    };
    let is_right = text.len() <= LONGEST
        && REGISTRY.is_match(registry)
        && repository.split('/').all(|component| COMPONENT.is_match(component))
        && tag.is_none_or(|tag| TAG.is_match(tag))
        && digest.is_none_or(|digest| DIGEST.is_match(digest));
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    is_right.then_some(ImageReference { registry, repository, tag, has_digest: digest.is_some() })
}

/// Compares the pattern's components with the last components of the path, and tries every length
/// for a star.
fn pattern_model(pattern: &str, image: &ImageReference<'_>) -> bool {
    const OF_ARCHITECTURES: [&str; 10] = [
        "amd64", "arm32v5", "arm32v6", "arm32v7", "arm64v8", "i386", "mips64le", "ppc64le",
        "riscv64", "s390x",
    ];
    let mut path: Vec<&str> = vec![image.registry];
    if image.registry == "docker.io" && !image.repository.contains('/') {
        path.push("library");
    }
    path.extend(image.repository.split('/'));
    let parts: Vec<&str> = pattern.split('/').collect();
    let Some(from) = path.len().checked_sub(parts.len()) else { return false };
    parts.iter().zip(&path[from..]).all(|(pattern, part)| {
        matches_star(pattern.as_bytes(), part.as_bytes())
            || (*pattern == "library" && OF_ARCHITECTURES.contains(part))
    })
}

/// Fills a table of the prefixes of the text that match each prefix of the pattern.
fn matches_star(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for byte in pattern {
        let above = row.clone();
        for place in 0..=text.len() {
            let before = place.checked_sub(1);
            row[place] = if *byte == b'*' {
                above[place] || before.is_some_and(|before| row[before])
            } else {
                before.is_some_and(|before| above[before] && text[before] == *byte)
            };
        }
    }
    row[text.len()]
}

/// Checks that a full version never has an unknown result, and that a range can be printed and
/// parsed again.
fn is_one_side_or_the_other(range: &TagRange, tag: Option<&str>) {
    let found = range.contains(tag);
    if let Some(tag) = tag {
        let digits = tag.split('.').all(|part| part.parse::<u32>().is_ok_and(|it| it < u32::MAX));
        let is_full = digits && tag.split('.').count() == 4 && !tag.contains('+');
        assert!(!is_full || found != Membership::Unknown, "{range} {tag}");
    } else {
        assert_eq!(found, Membership::Unknown);
    }
    assert_eq!(range.to_string().parse::<TagRange>().as_ref(), Ok(range));
}

fn is_found_as_by_a_slow_search(catalogue: &Catalogue, image: &ImageReference<'_>) {
    let is_for_tag = |patterns: &[TagPattern]| {
        patterns.is_empty()
            || image.tag.is_some_and(|tag| {
                patterns
                    .iter()
                    .any(|pattern| matches_star(pattern.to_string().as_bytes(), tag.as_bytes()))
            })
    };
    let slow = catalogue.profiles().iter().find_map(|profile| {
        let mut images = profile.images.iter();
        let pattern = images.find(|pattern| pattern_model(&pattern.to_string(), image))?;
        is_for_tag(&profile.tag_patterns).then_some((profile, pattern))
    });
    assert_eq!(catalogue.for_image(image), slow, "{image:?}");
    let slow = catalogue.all_programs().iter().find(|known: &&ProgramsOfImages| {
        let mut images = known.images.iter();
        images.any(|pattern| pattern_model(&pattern.to_string(), image))
            && is_for_tag(&known.tag_patterns)
            && known.tags.as_ref().is_none_or(|tags| tags.contains(image.tag) == Membership::Inside)
    });
    assert_eq!(catalogue.programs_of_images(image), slow, "{image:?}");
}

/// Returns a catalogue with a profile for each pair of patterns.
fn of_patterns(patterns: &[ImagePattern]) -> Catalogue {
    let like = Catalogue::built_in().by_name("nginx").unwrap();
    let pairs = patterns.chunks(2).enumerate();
    Catalogue::new(
        pairs
            .map(|(index, images)| Profile {
                name: index.to_string(),
                images: images.to_vec(),
                tag_patterns: Vec::new(),
                container_names: Vec::new(),
                ..like.clone()
            })
            .collect(),
    )
}
