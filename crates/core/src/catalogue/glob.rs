//! Strings with `*` for any characters. Matching is linear in the length of the string for every
//! pattern, because the strings come from users.

/// Positions of the first and the last `*`.
pub(crate) fn stars(pattern: &[u8]) -> Option<(usize, usize)> {
    let is_star = |byte: &u8| *byte == b'*';
    Some((pattern.iter().position(is_star)?, pattern.iter().rposition(is_star)?))
}

/// Returns whether `text` matches `pattern`, in which `*` stands for any characters. The earliest
/// position of each literal part is always correct, so there is no backtracking.
pub(crate) fn matches(pattern: &[u8], stars: Option<(usize, usize)>, text: &[u8]) -> bool {
    let Some((first, last)) = stars else {
        return pattern == text;
    };
    let head = pattern.get(..first).unwrap_or_default();
    let tail = pattern.get(last + 1..).unwrap_or_default();
    let inner = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail));
    let Some(mut inner) = inner else {
        return false;
    };
    let between = pattern.get(first + 1..last).unwrap_or_default();
    for literal in between.split(|byte| *byte == b'*') {
        match after(inner, literal) {
            Some(rest) => inner = rest,
            None => return false,
        }
    }
    true
}

/// Returns the text after the first occurrence of `literal`. Both are short, so preparing a search
/// is not worthwhile.
fn after<'a>(text: &'a [u8], literal: &[u8]) -> Option<&'a [u8]> {
    let Some((first, others)) = literal.split_first() else {
        return Some(text);
    };
    let mut rest = text;
    while rest.len() > others.len() {
        let (byte, behind) = rest.split_first()?;
        if byte == first
            && let Some(after) = behind.strip_prefix(others)
        {
            return Some(after);
        }
        rest = behind;
    }
    None
}
