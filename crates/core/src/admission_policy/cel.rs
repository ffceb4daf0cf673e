//! Strings, lists and maps as CEL literals.

/// Writes a string. CEL understands every escape sequence of JSON.
pub(super) fn text(text: &str) -> String {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"'\\".contains(&byte)) {
        return format!("'{text}'");
    }
    serde_json::Value::from(text).to_string()
}

/// Writes a list of strings.
pub(super) fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    list(items.into_iter().map(|item| text(item.as_ref())))
}

/// Writes a list of expressions.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// Writes a list of expressions, one per line.
pub(super) fn lines(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    if items.is_empty() { "[]".to_owned() } else { format!("[\n  {}\n]", items.join(",\n  ")) }
}

/// Writes a map from strings to expressions, one entry per line.
pub(super) fn map<'t>(entries: impl IntoIterator<Item = (&'t str, String)>) -> String {
    let entries: Vec<_> =
        entries.into_iter().map(|(key, value)| format!("{}: {value}", text(key))).collect();
    if entries.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{\n  {}\n}}", entries.join(",\n  "))
    }
}

/// Escapes a string as a literal part of a regular expression.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.chars().map(|letter| match letter {
        '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '\\' => {
            format!("[{letter}]").replace("[^]", r"\^").replace(r"[\]", r"\\")
        }
        letter => letter.to_string(),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_so_that_nothing_ends_them() {
        assert_eq!(text("nginx -s quit"), "'nginx -s quit'");
        assert_eq!(text("it's"), r#""it's""#);
        assert_eq!(text("a\\b\n\"c\""), r#""a\\b\n\"c\"""#);
    }

    #[test]
    fn collections_may_be_empty() {
        assert_eq!((lines([]), map([])), ("[]".to_owned(), "{}".to_owned()));
        assert_eq!(texts(["a", "b"]), "['a', 'b']");
        assert_eq!(map([("a", "1".to_owned())]), "{\n  'a': 1\n}");
    }

    #[test]
    fn a_text_stays_itself_in_a_regular_expression() {
        assert_eq!(literal("a.b*c-d"), "a[.]b[*]c-d");
        assert_eq!(literal(r"^\"), r"\^\\");
    }
}
