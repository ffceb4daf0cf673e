//! The two scripts: the short one delays, quits and waits; the long one also measures. Both are
//! constants, and every value is an argument.

use std::sync::LazyLock;

use crate::view::Known;

/// The name of the scripts (`$0`) in error messages.
pub(super) const NAME: &str = "prestop";

/// The commented source of the short script.
const QUIT: &str = include_str!("../hook.sh");
/// The commented source of the long script.
const DRAIN: &str = include_str!("../drain.sh");
/// The line of the long script that is replaced by the short script.
const QUIT_LINE: &str = "@quit@\n";

/// A script as it is in pods.
pub(super) struct Script {
    text: String,
    /// The script as a JSON string. Escaping it takes longer than writing the rest of a hook.
    json: String,
}

impl Script {
    fn of(text: String) -> Self {
        let json = serde_json::Value::from(text.as_str()).to_string();
        Self { text, json }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the script as a JSON string.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    fn known(&'static self) -> Known {
        Known { json: &self.json, value: &self.text }
    }
}

/// Returns the script `quit`.
pub(super) fn quit() -> &'static Script {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::of(without_comments(QUIT)));
    &SCRIPT
}

/// Returns the script `drain`.
pub(super) fn drain() -> &'static Script {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
        let text = without_comments(DRAIN).replace(QUIT_LINE, &without_comments(QUIT));
        Script::of(text)
    });
    &SCRIPT
}

/// The scripts, for readers of JSON that contains prestop's hooks. The short script is first,
/// because it is in most pods.
pub(crate) fn known_scripts() -> &'static [Known] {
    static KNOWN: LazyLock<[Known; 2]> = LazyLock::new(|| [quit().known(), drain().known()]);
    &*KNOWN
}

fn without_comments(source: &str) -> String {
    let code =
        source.lines().filter(|line| !line.trim_start().starts_with('#') && !line.is_empty());
    let mut script = String::with_capacity(source.len());
    for line in code {
        script.push_str(line);
        script.push('\n');
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_in_pods_have_no_comments() {
        for script in [quit(), drain()] {
            let text = script.text();
            assert!(!text.lines().any(|line| line.trim_start().starts_with('#')), "{text}");
            assert!(!text.contains('@'.to_string().as_str()) || text.contains("$@"), "{text}");
        }
        assert!(quit().text().starts_with("sleep "), "{}", quit().text());
        assert!(drain().text().contains(quit().text()));
        assert!(!drain().text().contains("@quit@"));
    }
}
