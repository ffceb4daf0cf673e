//! A diff, applied by `patch` and by `git apply`, gives the output of `-o yaml`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::{CONFIG_MAP, deployment, folder, run, stderr};

/// Applies the diff to the file with a tool and returns the result, or None if the tool is missing.
fn applied(name: &str, text: &str, diff: &[u8], tool: &[&str]) -> Option<String> {
    let folder = folder(&[(name, text)]);
    let mut child = Command::new(tool[0])
        .args(&tool[1..])
        .current_dir(folder.path())
        // Keeps git from finding a repository around the folder.
        .env("GIT_CEILING_DIRECTORIES", folder.path().parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), diff).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{tool:?}: {}{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        stderr(&output),
        String::from_utf8_lossy(diff)
    );
    Some(fs::read_to_string(folder.path().join(name)).unwrap())
}

fn check(name: &str, text: &str) {
    let folder = folder(&[(name, text)]);
    let path: &Path = folder.path();
    let [yaml, diff] = ["yaml", "diff"].map(|form| run(path, &["-q", "-o", form, name]).stdout);
    let yaml = String::from_utf8(yaml).unwrap();
    if diff.is_empty() {
        assert_eq!(yaml, text);
        return;
    }
    let in_place = run(path, &["-q", "-i", name]);
    assert!(in_place.status.success(), "{}", stderr(&in_place));
    assert_eq!(fs::read_to_string(path.join(name)).unwrap(), yaml, "--in-place and -o yaml");
    for tool in [&["patch", "-p0", "-s"][..], &["git", "apply", "-p0"]] {
        if let Some(result) = applied(name, text, &diff, tool) {
            assert_eq!(result, yaml, "{tool:?}");
        }
    }
}

#[test]
fn files_of_more_documents_have_one_diff() {
    let (a, b) = (deployment("a"), deployment("b"));
    check("web.yaml", &format!("{a}---\n{CONFIG_MAP}\n---\n{b}"));
    check("web.yaml", &format!("{a}---\na: 1\n---\n{b}"));
    check("my web.yaml", &format!("{a}---\n{b}---\n{CONFIG_MAP}").replace('\n', "\r\n"));
    let json =
        r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a","image":"b"}]}}"#;
    check("web.json", &format!("{json}{{}}{json}"));
    check("web.json", &format!("{json}\n{json}\n\n"));
    // Line breaks in YAML 1.1 only.
    let keys =
        b.replace("      labels:", "      annotations:\n        a\u{2028}b: c\n      labels:");
    check("web.yaml", &format!("{keys}---\n{keys}"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn diffs_of_any_documents_apply(
        parts in prop::collection::vec(prop::sample::select(vec![
            deployment("a"),
            deployment("b"),
            format!("{CONFIG_MAP}\n"),
            "a: 1\n".to_owned(),
            "# nothing\n".to_owned(),
            format!("apiVersion: v1\nkind: List\nitems:\n- {}", deployment("c").trim_end().replace('\n', "\n  ") + "\n"),
        ]), 1..6),
        with_final_line_break in any::<bool>(),
        line_break in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let text = parts.join("---\n");
        let text = if with_final_line_break { text.as_str() } else { text.trim_end() };
        check("web.yaml", &text.replace('\n', line_break));
    }
}
