//! Words of a command line.

/// Quotes a word for a POSIX shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns a kind as kubectl accepts it: with its group if other groups have kinds of the same
/// name.
pub(super) fn kind(api_version: &str, kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match api_version.split_once('/') {
        None | Some(("apps", _)) => kind,
        Some((group, version)) => format!("{kind}.{version}.{group}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{kind, quoted};

    #[test]
    fn kinds_are_those_of_kubectl() {
        assert_eq!(kind("apps/v1", "StatefulSet"), "statefulset");
        assert_eq!(kind("v1", "Pod"), "pod");
        assert_eq!(kind("argoproj.io/v1alpha1", "Rollout"), "rollout.v1alpha1.argoproj.io");
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(quoted("shop/web.yaml"), "shop/web.yaml");
        assert_eq!(quoted("daemon off;"), "'daemon off;'");
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(quoted(""), "''");
    }
}
