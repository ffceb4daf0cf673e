//! `prestop uninject` and `inject --renew`: what was injected comes out again, byte for byte.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use prestop_test_support::cases::cases;

/// Cases whose result does not show what stood there: an empty mapping on a line of its own or with white
/// space in it comes back as `{}`, a key that is `null` is gone, and so is a status that was overwritten.
/// A status with two containers of one name is not believed; Kubernetes has no such pods.
const DIFFERENT: [&str; 9] = [
    "annotations-missing-null",
    "duplicate-container-names",
    "grace-missing",
    "lifecycle-null-pre-stop-null",
    "status-not-trusted",
    "text-edits-of-odd-layouts",
    "text-empty-map-on-its-own-line",
    "text-helm-output",
    "text-tags-and-types",
];

fn prestop(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, input).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    Command::new(env!("CARGO_BIN_EXE_prestop"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::from(file))
        .output()
        .unwrap()
}

/// The arguments of a case, and those of them that `uninject` has.
fn arguments(case: &Path) -> (Vec<String>, Vec<String>) {
    let text = fs::read_to_string(case.join("arguments")).unwrap_or_default();
    let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
    let kinds = all.windows(2).filter(|pair| pair[0] == "--kind").flatten().cloned().collect();
    if case.join("config.yaml").exists() {
        all.extend(["--config".to_owned(), "config.yaml".to_owned()]);
    }
    (all, kinds)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_every_golden_case_injects_comes_out_again() {
    let mut compared = 0;
    let mut failures = Vec::new();
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let input = ["input.yaml", "input.json"].map(|file| fs::read(case.join(file)).ok());
        let input = input.into_iter().flatten().next().unwrap();
        let (all, kinds) = arguments(&case);
        let mut inject = vec!["inject", "-"];
        inject.extend(all.iter().map(String::as_str).filter(|it| *it != "--check"));
        let injected = prestop(&case, &inject, &input);
        let is_rewritten = text(&injected.stderr).contains("was written anew");
        if !injected.status.success() || is_rewritten || name.contains("own-hook") {
            continue;
        }
        let mut uninject = vec!["uninject", "-"];
        uninject.extend(kinds.iter().map(String::as_str));
        let undone = prestop(&case, &uninject, &injected.stdout);
        compared += 1;
        let is_same = undone.status.success() && undone.stdout == input;
        if is_same == DIFFERENT.contains(&name.as_str()) {
            let (input, undone) = (text(&input), text(&undone.stdout));
            let diff = similar::TextDiff::from_lines(&input, &undone);
            failures.push(format!("{name}:\n{}", diff.unified_diff().header("before", "after")));
        }
    }
    assert!(compared >= 100, "only {compared} cases");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const EXTENDED: &str = r#"# a pod
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    prestop.dev/own-hook: extend # for all
spec:
  containers:
  - name: web # first
    image: nginx:1.15
    lifecycle: # its hook
      preStop:
        exec:
          command:
          - nginx
          - "-s"
          - quit
    ports:
    - containerPort: 80
  # behind it
  - name: app
    lifecycle:
      preStop:
        sleep:
          seconds: 3
"#;

#[test]
fn hooks_of_the_author_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let injected = prestop(folder.path(), &["inject", "-"], EXTENDED.as_bytes());
    assert!(!text(&injected.stderr).contains("written anew"), "{}", text(&injected.stderr));
    assert!(text(&injected.stdout).contains("original"), "{}", text(&injected.stdout));
    let undone = prestop(folder.path(), &["uninject", "-"], &injected.stdout);
    assert_eq!(text(&undone.stdout), EXTENDED);
    let report = prestop(folder.path(), &["uninject", "-", "-o", "report"], &injected.stdout);
    let report = text(&report.stdout);
    assert!(report.contains("uninjected; grace period 40s -> 30s"), "{report}");
    assert!(report.contains("the hook of its author is there again"), "{report}");
    assert!(report.ends_with("1 workload: 1 to uninject, 0 left alone, 0 problems\n"), "{report}");
}

#[test]
fn a_hook_that_was_too_large_to_be_kept_stays_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let long = EXTENDED.replace("quit\n", &format!("{}\n", "q".repeat(5000)));
    let injected = prestop(folder.path(), &["inject", "-"], long.as_bytes());
    assert!(text(&injected.stdout).contains("fnv1a:"), "{}", text(&injected.stdout));
    let undone = prestop(folder.path(), &["uninject", "-"], &injected.stdout);
    assert_eq!(undone.stdout, injected.stdout);
    assert!(text(&undone.stderr).contains("original-not-kept"), "{}", text(&undone.stderr));
}

#[test]
fn what_is_not_proved_to_be_ours_stays() {
    let folder = tempfile::tempdir().unwrap();
    let injected = prestop(folder.path(), &["inject", "-"], EXTENDED.as_bytes());
    let changed =
        text(&injected.stdout).replace("GracePeriodSeconds: 40", "GracePeriodSeconds: 41");
    for (input, told) in [(EXTENDED, ""), (changed.as_str(), "status-not-trusted")] {
        let undone = prestop(folder.path(), &["uninject", "-"], input.as_bytes());
        assert_eq!(text(&undone.stdout), input);
        assert!(text(&undone.stderr).contains(told), "{}", text(&undone.stderr));
    }
}

#[test]
fn hooks_are_renewed_where_anything_changed() {
    let folder = tempfile::tempdir().unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: web\n    image: nginx:1.15\n";
    let injected = prestop(folder.path(), &["inject", "-"], pod.as_bytes()).stdout;
    let renew = |more: &[&str], input: &[u8]| {
        let all = [&["inject", "--renew", "-"], more].concat();
        prestop(folder.path(), &all, input)
    };
    let same = renew(&["--check"], &injected);
    assert!(same.status.success(), "{}", text(&same.stderr));
    assert_eq!(renew(&[], &injected).stdout, injected);
    // Another image, whose stop signal is graceful: there is nothing to wait for.
    let newer = text(&injected).replace("nginx:1.15", "nginx:1.27");
    let kept = prestop(folder.path(), &["inject", "-"], newer.as_bytes()).stdout;
    assert_eq!(text(&kept), newer);
    assert_eq!(renew(&["--check"], newer.as_bytes()).status.code(), Some(1));
    let renewed = renew(&[], newer.as_bytes()).stdout;
    let expected = prestop(
        folder.path(),
        &["inject", "-"],
        pod.replace("nginx:1.15", "nginx:1.27").as_bytes(),
    );
    assert_eq!(text(&renewed), text(&expected.stdout));
    let patch = renew(&["-o", "json-patch"], newer.as_bytes()).stdout;
    let patch: serde_json::Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(patch["patch"][0]["op"], "remove", "{patch}");
}

#[test]
fn files_are_written_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, EXTENDED).unwrap();
    assert!(prestop(folder.path(), &["inject", "-i", "."], b"").status.success());
    assert_ne!(fs::read_to_string(&file).unwrap(), EXTENDED);
    let check = prestop(folder.path(), &["uninject", "--check", "-f", "web.yaml"], b"");
    assert_eq!(check.status.code(), Some(1));
    assert!(text(&check.stderr).contains("has hooks of prestop"), "{}", text(&check.stderr));
    assert!(prestop(folder.path(), &["uninject", "-i", "."], b"").status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), EXTENDED);
}
