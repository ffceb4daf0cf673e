//! Text of users as printable ASCII of a limited length.

use std::fmt::Write as _;

/// Returns whether the text is already printable ASCII with at most `longest` characters.
#[must_use]
pub fn is_printable(text: &str, longest: usize) -> bool {
    // The fold does not stop at the first byte that fails, so that many bytes are checked at the
    // same time.
    let is_all = |all: bool, byte: u8| all & matches!(byte, b' '..=b'~');
    text.len() <= longest && text.bytes().fold(true, is_all)
}

/// Returns whether the text is printable ASCII that needs no escapes in JSON.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let is_special = |byte: u8| matches!(byte, ..b' ' | b'"' | b'\\' | 0x7f..);
    // Without an early exit, as above.
    !text.bytes().fold(false, |found, byte| found | is_special(byte))
}

/// Escapes the text as printable ASCII, and truncates it to at most `longest` characters.
#[must_use]
pub fn printable(text: &str, longest: usize) -> String {
    let mut result = String::with_capacity(text.len().min(longest));
    for letter in text.chars() {
        let start = result.len();
        if letter == ' ' || letter.is_ascii_graphic() {
            result.push(letter);
        } else {
            // Writing to a String never fails.
            let _ = write!(result, "{}", letter.escape_default());
        }
        if result.len() > longest {
            result.truncate(start.min(longest.saturating_sub(3)));
            result.push_str("...");
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_escaped() {
        assert_eq!(printable("pod\n\u{1f600}", 80), "pod\\n\\u{1f600}");
    }

    #[test]
    fn an_escape_is_never_cut_in_two() {
        let text = printable(&"\u{1f600}".repeat(100), 120);
        assert!(text.len() <= 120 && text.ends_with("}..."), "{text}");
    }
}
