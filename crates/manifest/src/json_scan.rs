//! Finds the end of a JSON value byte by byte, without storing or validating it.

/// The state between two bytes of a JSON object or array.
#[derive(Debug, Clone, Default)]
pub(super) struct JsonScan {
    depth: usize,
    string: InString,
}

/// Meaning of a byte for the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The value continues.
    Inside,
    /// The value ends with this byte.
    Last,
    /// The text is not JSON, but some form of YAML.
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum InString {
    #[default]
    No,
    Yes,
    Escaped,
}

impl JsonScan {
    /// Reads the next byte. The first one must be the opening brace or bracket.
    pub(super) fn step(&mut self, byte: u8) -> Step {
        match (self.string, byte) {
            (InString::Yes, b'\\') => self.string = InString::Escaped,
            (InString::Yes, b'"') => self.string = InString::No,
            (InString::Yes, b'\n') => return Step::Foreign,
            (InString::Escaped, _) | (InString::No, b'"') => self.string = InString::Yes,
            (InString::No, b'{' | b'[') => self.depth = self.depth.saturating_add(1),
            (InString::No, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Step::Last;
                }
            }
            (InString::No, other) if !belongs_to_json(other) => return Step::Foreign,
            (InString::No | InString::Yes, _) => {}
        }
        Step::Inside
    }
}

/// Returns whether a byte outside of strings can belong to JSON: separators, white space, and the
/// letters of numbers, `true`, `false` and `null`.
fn belongs_to_json(byte: u8) -> bool {
    b",: \t\r\n0123456789+-.eEtrufalsn".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the position of the last byte, or of the first byte that is not JSON.
    fn scan(text: &str) -> Option<(usize, Step)> {
        let mut scan = JsonScan::default();
        text.bytes().map(|byte| scan.step(byte)).enumerate().find(|(_, step)| *step != Step::Inside)
    }

    #[test]
    fn finds_the_end_of_a_value() {
        assert_eq!(scan("{}x"), Some((1, Step::Last)));
        assert_eq!(scan(r#"[1, {"a": "]}"}] "#), Some((15, Step::Last)));
        assert_eq!(scan(r#"{"a": "\"}", "b": null}"#), Some((22, Step::Last)));
        assert_eq!(scan(r#"{"a": "#), None);
    }

    #[test]
    fn knows_what_is_not_json() {
        for text in ["{a: b}", "{\"a\": 'b'}", "{ # c\n}", "{\"a\n\": 1}", "[*a]", "[&a 1]"] {
            assert!(matches!(scan(text), Some((_, Step::Foreign))), "{text}");
        }
    }
}
