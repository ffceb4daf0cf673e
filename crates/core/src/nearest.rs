//! The known name that is nearest to a misspelt one.

/// Length limit for names that are compared, in bytes: the time grows with the product of both
/// lengths.
const LONGEST_COMPARED_BYTES: usize = 64;
/// Minimum length, in bytes, of a name that counts as part of another one; a shorter part is in too
/// many names.
const SHORTEST_PART_BYTES: usize = 4;

/// Returns the known name that needs the fewest changes, if at most a third of its letters change;
/// with more changes it is another word. A name that contains `name` is near as well. Case, `_` and
/// `-` are ignored. Of several equally near names, the first is returned.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_COMPARED_BYTES {
        return None;
    }
    let name = plain(name);
    if name.is_empty() {
        return None;
    }
    let distance = |candidate: &str| {
        let candidate = plain(candidate);
        let most = name.len().max(candidate.len()) / 3;
        let is_part = name.len() >= SHORTEST_PART_BYTES && candidate.contains(&name);
        // The difference in length is a lower bound for the distance.
        if !is_part && candidate.len().abs_diff(name.len()) > most {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&name, &candidate);
        (is_part || distance <= most).then_some(distance)
    };
    let candidates = known.into_iter().filter_map(|known| Some((distance(known)?, known)));
    candidates.min_by_key(|(distance, _)| *distance).map(|(_, nearest)| nearest)
}

fn plain(name: &str) -> String {
    name.replace(['_', '-'], "").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changes_case_and_parts_are_near() {
        let known = ["delay", "quit-timeout", "quit-signal", "maximumDelay", "nginx"];
        for (name, expected) in [
            ("dealy", Some("delay")),
            ("DELAY", Some("delay")),
            ("quit_timeout", Some("quit-timeout")),
            ("quitTimout", Some("quit-timeout")),
            ("signal", Some("quit-signal")),
            ("maximum", Some("maximumDelay")),
            ("ngnix", Some("nginx")),
            ("ng", None),
            ("apache", None),
            ("", None),
            ("-", None),
            (&"delay".repeat(13), None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(nearest("ab", ["ax", "ay"]), None);
        assert_eq!(nearest("abcd", ["abcx", "abcy"]), Some("abcx"));
    }
}
