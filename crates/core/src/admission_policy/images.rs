//! Images and tags in CEL. A pattern becomes an expression over the entry `m` of the variable
//! `images`, a range becomes one over the version of the container `i`.

use super::Variable;
use super::cel::{list, literal, text};
use crate::catalogue::image::{
    DEFAULT_REGISTRY, DEFAULT_REGISTRY_ALIAS, LONGEST_REFERENCE, OFFICIAL,
    OFFICIAL_BY_ARCHITECTURE, PLACEHOLDER,
};
use crate::catalogue::{ImagePattern, TagPattern, TagRange};

/// Regular expression for one component of a repository's path.
const COMPONENT: &str = "[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*";
/// Regular expression for a first component that is a registry and not a folder of the default
/// registry.
const REGISTRY: &str = "localhost|[a-zA-Z0-9][a-zA-Z0-9-]*[.][a-zA-Z0-9.-]*(?::[0-9]+)?|[a-zA-Z0-9][a-zA-Z0-9.-]*:[0-9]+";
const TAG: &str = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}";
const DIGEST: &str = "[A-Za-z0-9+._-]+:[0-9a-fA-F]{32,}";
/// Greater than every version that a tag can name.
const LAST: &str = "4294967295";

/// Variables that parse the images of all containers.
pub(super) fn variables() -> Vec<Variable> {
    let official = text_of(OFFICIAL);
    let repository =
        format!("^(?:(?:{REGISTRY})/)?{COMPONENT}(?:/{COMPONENT})*(?::{TAG})?(?:@{DIGEST})?$");
    let aliases =
        format!("^({}|{})/[^/]*$", literal(DEFAULT_REGISTRY_ALIAS), literal(DEFAULT_REGISTRY));
    let alias = format!("{DEFAULT_REGISTRY_ALIAS}/");
    let architectures = OFFICIAL_BY_ARCHITECTURE.iter().map(|name| text_of(name));
    let official_folders: Vec<_> = std::iter::once(official).chain(architectures).collect();
    let official_path = format!("/(?:{})/[^/]*$", official_folders.join("|"));
    let placeholder = text(&format!("/{DEFAULT_REGISTRY}/{official}/{PLACEHOLDER}"));
    let (repository, aliases, registry) =
        (text(&repository), text(&aliases), text(&format!("^(?:{REGISTRY})/")));
    let (official_path, placeholder_end) = (text(&official_path), text(PLACEHOLDER));
    let version = text("^v?[0-9]{1,9}([.][0-9]{1,9}){0,3}([-_+].*)?$");
    vec![
        Variable::new(
            "names",
            "Image references without digests; empty if they are invalid.",
            format!(
                "variables.containers.map(c, has(c.image) && size(c.image) <= {LONGEST_REFERENCE} && \
                 c.image.matches({repository})\n  ? c.image.split('@')[0] : '')"
            ),
        ),
        Variable::new(
            "paths",
            "The same without tags.",
            "variables.names.map(n,\n  n.lastIndexOf(':') > n.lastIndexOf('/') ? n.substring(0, n.lastIndexOf(':')) : n)",
        ),
        Variable::new(
            "repositories",
            "The same with the implied registry.",
            format!(
                "variables.paths.map(p, p == '' ? ''\n  : p.matches({aliases}) ? '/{DEFAULT_REGISTRY}/{official}/' + p.substring(p.indexOf('/') + 1)\n  : p.startsWith('{alias}') ? '/{DEFAULT_REGISTRY}' + p.substring(p.indexOf('/'))\n  : p.matches({registry}) ? '/' + p\n  : p.contains('/') ? '/{DEFAULT_REGISTRY}/' + p : '/{DEFAULT_REGISTRY}/{official}/' + p)"
            ),
        ),
        Variable::new(
            "images",
            "The parts that patterns match.",
            format!(
                "variables.repositories.transformList(i, r, {{\n  'ref': r == {placeholder} && variables.containers[i].image.endsWith({placeholder_end}) ? '' : r,\n  'last': r.substring(r.lastIndexOf('/') + 1),\n  'official': r.matches({official_path}) ? r.substring(r.lastIndexOf('/') + 1) : '',\n  'tag': size(variables.names[i]) > size(variables.paths[i])\n    ? variables.names[i].substring(size(variables.paths[i]) + 1) : '',\n  'digest': r != '' && variables.containers[i].image.contains('@') ? 'pinned' : ''\n}})"
            ),
        ),
        Variable::new(
            "versions",
            "The version numbers of the tags: 1.27 of 1.27-alpine, none of latest.",
            format!(
                "variables.images.map(m,\n  m.tag.matches({version}) ? m.tag.find('[0-9]+([.][0-9]+)*').split('.') : [])"
            ),
        ),
        Variable::new(
            "firstVersions",
            "A short tag matches every version that begins with it: the first of them ...",
            bound("0"),
        ),
        Variable::new("lastVersions", "... and the last.", bound(LAST)),
    ]
}

fn bound(missing: &str) -> String {
    format!(
        "variables.versions.map(v, size(v) == 0 ? ''\n  : v[0] + '.' + (size(v) > 1 ? v[1] : '{missing}') + '.' + (size(v) > 2 ? v[2] : '{missing}'))"
    )
}

fn text_of(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// Expression for whether the image matches one of the patterns.
pub(super) fn is_of_any(patterns: &[ImagePattern]) -> String {
    let (officials, others): (Vec<_>, Vec<_>) =
        patterns.iter().map(is_of).partition(|test| test.starts_with(OFFICIAL_IS));
    let (names, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|test| test.starts_with(LAST_IS) && !test.contains("&&"));
    let mut tests: Vec<_> = one_of("m.official", OFFICIAL_IS, &officials).into_iter().collect();
    tests.extend(one_of("m.last", LAST_IS, &names));
    tests.extend(others);
    if tests.is_empty() { "false".to_owned() } else { tests.join(" || ") }
}

const OFFICIAL_IS: &str = "m.official == ";
const LAST_IS: &str = "m.last == ";

/// Joins several comparisons with the same subject into one.
fn one_of(subject: &str, prefix: &str, tests: &[String]) -> Option<String> {
    match tests {
        [] => None,
        [one] => Some(one.clone()),
        several => {
            let values = several.iter().filter_map(|test| test.strip_prefix(prefix));
            Some(format!("{subject} in {}", list(values.map(str::to_owned))))
        }
    }
}

/// Expression for whether the image matches the pattern.
fn is_of(pattern: &ImagePattern) -> String {
    let pattern = pattern.to_string();
    let components: Vec<_> = pattern.split('/').collect();
    let official = text_of(OFFICIAL);
    match components.as_slice() {
        [last] => glob(last, "m.last"),
        [folder, last] if *folder == official && !last.contains('*') => {
            format!("m.official == {}", text(last))
        }
        _ if !pattern.contains('*') && !components.contains(&official) => {
            format!("m.ref.endsWith({})", text(&format!("/{pattern}")))
        }
        [.., last] => {
            let path = components.iter().map(|component| {
                if *component == official {
                    let others = OFFICIAL_BY_ARCHITECTURE.iter().map(|name| text_of(name));
                    let all: Vec<_> = std::iter::once(official).chain(others).collect();
                    return format!("(?:{})", all.join("|"));
                }
                expression(component)
            });
            let path = format!("/{}$", path.collect::<Vec<_>>().join("/"));
            let path = format!("m.ref.matches({})", text(&path));
            // The name rules out nearly every image, and comparing it costs less.
            if *last == "*" { path } else { format!("{} && {path}", glob(last, "m.last")) }
        }
        [] => "false".to_owned(),
    }
}

/// Expression for whether the tag matches one of the patterns; `None` without patterns, which
/// stands for every tag and for no tag.
pub(super) fn is_of_tags(patterns: &[TagPattern]) -> Option<String> {
    if patterns.is_empty() {
        return None;
    }
    let any = patterns.iter().map(|pattern| glob(&pattern.to_string(), "m.tag"));
    Some(format!("m.tag != '' && ({})", any.collect::<Vec<_>>().join(" || ")))
}

/// Expression for whether the version of the container `i` is certainly in the range.
pub(super) fn is_in_range(range: &TagRange) -> String {
    let (from, before) = range.bounds();
    if !is_expressible(range) {
        return "false".to_owned();
    }
    let from = format!(
        "variables.firstVersions[i] != '' && !semver(variables.firstVersions[i], true).isLessThan(semver({}))",
        version(from)
    );
    match before {
        None => from,
        Some(before) => format!(
            "{from} && semver(variables.lastVersions[i], true).isLessThan(semver({}))",
            version(before)
        ),
    }
}

/// Returns whether CEL can express the range: its versions have three parts.
pub(super) fn is_expressible(range: &TagRange) -> bool {
    let (from, before) = range.bounds();
    let ends = |[.., last]: [u32; 4]| last == 0;
    ends(from) && before.is_none_or(ends)
}

/// Writes the first three parts of a version.
pub(super) fn version([major, minor, patch, _]: [u32; 4]) -> String {
    text(&format!("{major}.{minor}.{patch}"))
}

/// Expression for a pattern in which `*` matches any characters except `/`.
fn glob(pattern: &str, subject: &str) -> String {
    let parts: Vec<_> = pattern.split('*').collect();
    match parts.as_slice() {
        [whole] => format!("{subject} == {}", text(whole)),
        ["", ""] => "true".to_owned(),
        [head, ""] => format!("{subject}.startsWith({})", text(head)),
        ["", tail] => format!("{subject}.endsWith({})", text(tail)),
        ["", middle, ""] => format!("{subject}.contains({})", text(middle)),
        _ => format!("{subject}.matches({})", text(&format!("^{}$", expression(pattern)))),
    }
}

/// Writes the same pattern as a regular expression.
fn expression(pattern: &str) -> String {
    pattern.split('*').map(literal).collect::<Vec<_>>().join("[^/]*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_becomes_the_cheapest_test_that_says_the_same() {
        for (pattern, expected) in [
            ("nginx", "m.last == 'nginx'"),
            ("library/nginx", "m.official == 'nginx'"),
            ("nginxinc/nginx-unprivileged", "m.ref.endsWith('/nginxinc/nginx-unprivileged')"),
            ("*exporter*", "m.last.contains('exporter')"),
            ("dhi-*", "m.last.startsWith('dhi-')"),
            ("*-fpm", "m.last.endsWith('-fpm')"),
            ("a*b*c", "m.last.matches('^a[^/]*b[^/]*c$')"),
            ("bitnami*/nginx", "m.last == 'nginx' && m.ref.matches('/bitnami[^/]*/nginx$')"),
            (
                "ubi*/nginx-*",
                "m.last.startsWith('nginx-') && m.ref.matches('/ubi[^/]*/nginx-[^/]*$')",
            ),
            ("cgr.dev/*/*", "m.ref.matches('/cgr[.]dev/[^/]*/[^/]*$')"),
            ("*", "true"),
        ] {
            assert_eq!(is_of(&pattern.parse().unwrap()), expected);
        }
        let registry = is_of(&"docker.io/library/nginx".parse().unwrap());
        assert!(registry.contains("/docker[.]io/(?:library|amd64|"), "{registry}");
    }

    #[test]
    fn comparisons_of_the_same_text_are_one() {
        let patterns = ["library/a", "b", "x/c", "library/d", "e", "f*/g"];
        let patterns: Vec<_> = patterns.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(
            is_of_any(&patterns),
            "m.official in ['a', 'd'] || m.last in ['b', 'e'] || m.ref.endsWith('/x/c') || m.last == 'g' && m.ref.matches('/f[^/]*/g$')"
        );
        assert_eq!(is_of_any(&patterns[..1]), "m.official == 'a'");
        assert_eq!(is_of_any(&[]), "false");
    }

    #[test]
    fn tags_and_ranges() {
        let tags: Vec<TagPattern> = ["*fpm*", "5*"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(
            is_of_tags(&tags).unwrap(),
            "m.tag != '' && (m.tag.contains('fpm') || m.tag.startsWith('5'))"
        );
        assert_eq!(is_of_tags(&[]), None);
        let range = is_in_range(&">=1.19.5, <2".parse().unwrap());
        assert!(range.contains("semver('1.19.5')") && range.contains("semver('2.0.0')"), "{range}");
        assert!(!is_in_range(&">=3".parse().unwrap()).contains("lastVersions"));
    }

    #[test]
    fn no_range_of_the_catalogue_has_a_fourth_part() {
        let catalogue = crate::catalogue::Catalogue::built_in();
        let facts = catalogue.profiles().iter().flat_map(|profile| &profile.stop_signals);
        let ranges = facts.filter_map(|fact| fact.tags.as_ref());
        let of_programs = catalogue.all_programs().iter().filter_map(|known| known.tags.as_ref());
        for range in ranges.chain(of_programs) {
            assert!(is_expressible(range), "{range}");
        }
        assert_eq!(is_in_range(&">=1.2.3.4".parse().unwrap()), "false");
    }
}
