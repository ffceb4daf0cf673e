//! XML text for reports in `JUnit` format.

/// Escapes text for use as content or in quotes. Control characters except line breaks and tabs
/// become `?`, since XML allows hardly any of them.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            '\u{FFFE}' | '\u{FFFF}' => out.push('?'),
            letter if letter.is_control() => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_is_xml() {
        let text = "a<b> & \"c\"\u{0}\u{1b}\u{85}\u{ffff}\nü";
        assert_eq!(escaped(text), "a&lt;b&gt; &amp; &quot;c&quot;????\nü");
    }
}
