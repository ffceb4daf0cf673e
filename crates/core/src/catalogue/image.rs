//! Image references (`registry:5000/team/nginx:1.27@sha256:…`) and the patterns with which profiles
//! match them. Every operation is linear in the length of the text, because image names come from
//! users.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::glob::{matches, stars};

/// Length limit for references; longer ones are not parsed. The distribution specification limits a
/// repository name to 255 characters and a tag to 128; a digest has at most about 150.
pub(crate) const LONGEST_REFERENCE: usize = 1024;

/// Registry of images whose reference names none.
pub(crate) const DEFAULT_REGISTRY: &str = "docker.io";

/// The old name of that registry; runtimes still treat both as the same.
pub(crate) const DEFAULT_REGISTRY_ALIAS: &str = "index.docker.io";

/// The image name that Istio's injector replaces with the proxy's image; it is not a real image.
/// <https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#customizing-injection>
pub(crate) const PLACEHOLDER: &str = "auto";

/// The folder of Docker Hub's official images.
pub(crate) const OFFICIAL: &[u8] = b"library";

/// Folders with the same images for one architecture each.
/// <https://github.com/docker-library/official-images#architectures-other-than-amd64>
pub(crate) const OFFICIAL_BY_ARCHITECTURE: &[&[u8]] = &[
    b"amd64",
    b"arm32v5",
    b"arm32v6",
    b"arm32v7",
    b"arm64v8",
    b"i386",
    b"mips64le",
    b"ppc64le",
    b"riscv64",
    b"s390x",
];

/// A parsed image reference, borrowed from the pod's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageReference<'a> {
    /// The registry, with its port if it has one; `docker.io` if the reference names none.
    pub registry: &'a str,
    /// The repository's path without the registry, as written: `nginx`, `bitnami/nginx`.
    pub repository: &'a str,
    /// The tag, if there is one.
    pub tag: Option<&'a str>,
    /// Whether the reference is pinned by digest. The tag is then not certain.
    pub has_digest: bool,
}

/// A pattern for the end of an image's path: `nginx` matches every repository with that name,
/// `bitnami/nginx` only those in a `bitnami` folder, `cgr.dev/chainguard/nginx` only that registry.
/// Within a component, `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePattern {
    text: String,
    /// Byte offset of the last component.
    last_from: usize,
    /// Positions of the first and the last `*` in the last component, relative to its beginning.
    last_stars: Option<(usize, usize)>,
}

/// Reason why a text is not an image pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The pattern is empty or has an empty component (`a//b`, `/a`).
    #[error("write a path such as nginx or bitnami/nginx, without empty parts")]
    EmptyComponent,
    /// The pattern contains a tag or a digest: patterns are for repositories, `tags` is for tags.
    #[error("image patterns have no tag and no digest; use the field tagPatterns")]
    TagOrDigest,
    /// The pattern contains characters that no repository can have.
    #[error("use lower-case letters, digits, '.', '_', '-', '/' and '*' only")]
    Character,
}

impl<'a> ImageReference<'a> {
    /// Parses a reference the way container runtimes do; `None` if no runtime would pull it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.is_empty() || text.len() > LONGEST_REFERENCE {
            return None;
        }
        let (name, digest) = match split_at_first(text, b'@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return None;
        }
        // A colon after the last slash starts the tag; a colon before it starts a registry's port.
        let end = name.bytes().rposition(|byte| matches!(byte, b':' | b'/'));
        let (path, tag) = match end.and_then(|end| name.split_at_checked(end)) {
            Some((path, end)) if end.starts_with(':') => (path, end.get(1..)),
            _ => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return None;
        }
        let (registry, repository) = match split_at_first(path, b'/') {
            Some((DEFAULT_REGISTRY_ALIAS, rest)) => (DEFAULT_REGISTRY, rest),
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => (DEFAULT_REGISTRY, path),
        };
        let mut components = repository.as_bytes().split(|byte| *byte == b'/');
        let valid = components.all(is_path_component) && is_registry_name(registry);
        valid.then_some(Self { registry, repository, tag, has_digest: digest.is_some() })
    }

    /// Returns whether the image is the placeholder `auto`, which an injector replaces.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        let Self { registry, repository, tag, has_digest } = *self;
        repository == PLACEHOLDER && registry == DEFAULT_REGISTRY && tag.is_none() && !has_digest
    }

    /// Returns the tag, unless a digest overrides it.
    #[must_use]
    pub fn certain_tag(&self) -> Option<&'a str> {
        if self.has_digest { None } else { self.tag }
    }

    /// Returns the last component of the path: `nginx` for `bitnami/nginx`.
    pub(super) fn last_component(&self) -> &'a [u8] {
        components_from_the_end(self.repository).next().unwrap_or_default()
    }

    /// Iterates over the path's components from the last to the first, then the registry. Docker
    /// Hub's short names include the implied `library` folder.
    pub(super) fn components_from_the_end(&self) -> impl Iterator<Item = &'a [u8]> {
        let official = self.registry == DEFAULT_REGISTRY && !self.repository.contains('/');
        components_from_the_end(self.repository)
            .chain(official.then_some(OFFICIAL))
            .chain(std::iter::once(self.registry.as_bytes()))
    }
}

/// Returns whether a component of a path matches a component of a pattern. Official images for each
/// architecture count as official images.
fn component_matches(pattern: &[u8], component: &[u8]) -> bool {
    matches(pattern, stars(pattern), component)
        || (pattern == OFFICIAL && OFFICIAL_BY_ARCHITECTURE.contains(&component))
}

/// Splits the text at the first occurrence of an ASCII byte. References are short: a search that
/// needs preparation takes longer.
fn split_at_first(text: &str, byte: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|other| other == byte)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

fn components_from_the_end(path: &str) -> impl Iterator<Item = &[u8]> {
    path.as_bytes().rsplit(|byte| *byte == b'/')
}

impl ImagePattern {
    /// Returns the last component of the path, which is the most selective one.
    pub(super) fn last_component(&self) -> &[u8] {
        self.text.as_bytes().get(self.last_from..).unwrap_or_default()
    }

    /// Iterates over the components of the path, from the last to the first.
    pub(super) fn components(&self) -> impl Iterator<Item = &[u8]> {
        components_from_the_end(&self.text)
    }

    /// Returns whether the last component of an image's path has to equal the pattern's last
    /// component exactly.
    pub(super) const fn ends_plainly(&self) -> bool {
        self.last_stars.is_none()
    }

    /// Returns whether the last component matches, a precondition for every match.
    pub(super) fn last_matches(&self, component: &[u8]) -> bool {
        matches(self.last_component(), self.last_stars, component)
    }

    /// Returns whether the pattern's components match the last ones of the image's path.
    #[must_use]
    pub fn matches(&self, image: &ImageReference<'_>) -> bool {
        let mut components = image.components_from_the_end();
        components_from_the_end(&self.text).all(|pattern| {
            let component = components.next();
            component.is_some_and(|component| component_matches(pattern, component))
        })
    }
}

impl FromStr for ImagePattern {
    type Err = PatternError;

    /// Parses a pattern.
    ///
    /// # Errors
    /// Returns an error if the pattern is empty, contains a tag or a digest, or has characters that
    /// no repository has.
    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.split('/').any(str::is_empty) {
            return Err(PatternError::EmptyComponent);
        }
        let last = text.rsplit('/').next().unwrap_or_default();
        if text.contains('@') || last.contains(':') {
            return Err(PatternError::TagOrDigest);
        }
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/*:".contains(&byte)
        };
        if !text.bytes().all(allowed) {
            return Err(PatternError::Character);
        }
        let last_from = text.len() - last.len();
        Ok(Self { text: text.to_owned(), last_from, last_stars: stars(last.as_bytes()) })
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns whether the first component is a registry, that is, if it can't be a folder of the
/// default registry.
fn is_registry(component: &str) -> bool {
    component == "localhost" || component.bytes().any(|byte| matches!(byte, b'.' | b':'))
}

fn is_registry_name(registry: &str) -> bool {
    let (host, port) = split_at_first(registry, b':').unwrap_or((registry, "0"));
    host.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether the component consists of words of lower-case letters and digits, separated by
/// one dot, one or two underscores, or any number of dashes.
fn is_path_component(component: &[u8]) -> bool {
    // The separator between two words: its character, and how often it occurred so far.
    let (mut separator, mut length) = (0, 0);
    let mut has_begun = false;
    for &byte in component {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            (has_begun, length) = (true, 0);
            continue;
        }
        let most = match byte {
            b'.' => 1,
            b'_' => 2,
            b'-' => usize::MAX,
            _ => return false,
        };
        length += 1;
        if !has_begun || length > most || (length > 1 && byte != separator) {
            return false;
        }
        separator = byte;
    }
    has_begun && length == 0
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte))
            && hex.len() >= 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn reads_each_form_of_a_reference() {
        let cases = [
            ("nginx", "docker.io", "nginx", None),
            ("nginx:1.27", "docker.io", "nginx", Some("1.27")),
            ("bitnami/nginx:1", "docker.io", "bitnami/nginx", Some("1")),
            ("localhost/nginx", "localhost", "nginx", None),
            ("localhost:5000/nginx:1", "localhost:5000", "nginx", Some("1")),
            ("registry.local/x/nginx:v1_2-a.b", "registry.local", "x/nginx", Some("v1_2-a.b")),
            ("index.docker.io/nginx", "docker.io", "nginx", None),
            ("x/a.b_c__d---e", "docker.io", "x/a.b_c__d---e", None),
            ("Registry.local:443/x/y/z", "Registry.local:443", "x/y/z", None),
        ];
        for (text, registry, repository, tag) in cases {
            let expected = ImageReference { registry, repository, tag, has_digest: false };
            assert_eq!(ImageReference::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_digest_makes_the_tag_uncertain() {
        let text = format!("host:5000/nginx:1.27@{DIGEST}");
        let image = ImageReference::parse(&text).unwrap();
        assert_eq!((image.tag, image.certain_tag(), image.has_digest), (Some("1.27"), None, true));
    }

    #[test]
    fn refuses_what_no_runtime_would_pull() {
        let long = "a".repeat(LONGEST_REFERENCE + 1);
        let garbage = [
            "",
            " ",
            "Nginx",
            "team/NGINX:1",
            "nginx:",
            "nginx:a b",
            "nginx@",
            "nginx@sha256:12",
            "/nginx",
            "nginx/",
            "a//b",
            ":1",
            "@",
            "nginx:.1",
            "-nginx",
            "nginx-",
            "ng..inx",
            "ng___inx",
            "ng._inx",
            "ng-_inx",
            "host:port/nginx",
            "https://x/y",
            "nginx\n",
            "ngïnx",
            "../etc/passwd",
            &long,
        ];
        for text in garbage {
            assert_eq!(ImageReference::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_pattern_matches_the_end_of_the_path() {
        let cases = [
            ("nginx", "nginx", true),
            ("nginx", "registry.local/x/nginx:1", true),
            ("nginx", "nginx-prometheus-exporter", false),
            ("library/nginx", "nginx", true),
            ("library/nginx", "docker.io/nginx", true),
            ("library/nginx", "index.docker.io/nginx", true),
            ("library/nginx", "bitnami/nginx", false),
            ("library/nginx", "mirror.local/library/nginx", true),
            ("docker.io/library/nginx", "nginx", true),
            ("library/nginx", "arm64v8/nginx", true),
            ("library/nginx", "docker.io/amd64/nginx", true),
            ("amd64/nginx", "nginx", false),
            ("amd64/nginx", "arm64v8/nginx", false),
            ("bitnami*/nginx", "bitnamilegacy/nginx:1", true),
            ("cgr.dev/chainguard/nginx", "cgr.dev/chainguard/nginx", true),
            ("cgr.dev/chainguard/nginx", "chainguard/nginx", false),
            ("*nginx-ingress*", "x/my-nginx-ingress-2", true),
            ("*a*b*c*", "xaxbxcx", true),
            ("*a*b*c*", "xaxcxbx", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ];
        for (pattern, image, expected) in cases {
            let image = ImageReference::parse(image).unwrap();
            assert_eq!(
                ImagePattern::from_str(pattern).unwrap().matches(&image),
                expected,
                "{pattern} {image:?}"
            );
        }
    }

    #[test]
    fn refuses_patterns_that_could_never_match() {
        assert_eq!(ImagePattern::from_str(""), Err(PatternError::EmptyComponent));
        assert_eq!(ImagePattern::from_str("/nginx"), Err(PatternError::EmptyComponent));
        assert_eq!(ImagePattern::from_str("nginx:1.27"), Err(PatternError::TagOrDigest));
        assert_eq!(ImagePattern::from_str("nginx@sha256"), Err(PatternError::TagOrDigest));
        assert_eq!(ImagePattern::from_str("Nginx"), Err(PatternError::Character));
    }
}
