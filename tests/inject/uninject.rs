//! `prestop uninject` and `inject --renew`: the injected text is removed again, byte for byte.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use prestop_test_support::cases::cases;
use prestop_test_support::program;

/// Cases that are rewritten as a whole, because an anchor around the pod is also used elsewhere.
/// The layout of a whole document doesn't fit in an annotation, which `uninject` reports.
const WRITTEN_ANEW: [&str; 3] =
    ["text-aliased-lifecycle", "text-aliased-template", "text-anchors-and-merge-keys"];

fn prestop(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, input).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    Command::new(program())
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::from(file))
        .output()
        .unwrap()
}

/// Returns the arguments of a case, and those of them that `uninject` accepts.
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
        if !injected.status.success() {
            continue;
        }
        let mut uninject = vec!["uninject", "-"];
        uninject.extend(kinds.iter().map(String::as_str));
        let undone = prestop(&case, &uninject, &injected.stdout);
        compared += 1;
        assert!(undone.status.success(), "{name}: {}", text(&undone.stderr));
        if WRITTEN_ANEW.contains(&name.as_str()) {
            let told = text(&undone.stderr);
            assert!(
                told.contains(": the layout of the document was not recorded"),
                "{name}: {told}"
            );
        } else if undone.stdout != input {
            let (input, undone) = (text(&input), text(&undone.stdout));
            let diff = similar::TextDiff::from_lines(&input, &undone);
            failures.push(format!("{name}:\n{}", diff.unified_diff().header("before", "after")));
        }
    }
    assert!(compared >= 150, "only {compared} cases");
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
    assert!(!text(&injected.stderr).contains("rewritten"), "{}", text(&injected.stderr));
    assert!(text(&injected.stdout).contains("original"), "{}", text(&injected.stdout));
    let undone = prestop(folder.path(), &["uninject", "-"], &injected.stdout);
    assert_eq!(text(&undone.stdout), EXTENDED);
    let report = prestop(folder.path(), &["uninject", "-", "-o", "report"], &injected.stdout);
    let report = text(&report.stdout);
    assert!(report.contains("uninjected; grace period 40s -> 30s"), "{report}");
    assert!(report.contains("its original hook is restored"), "{report}");
    assert!(report.ends_with("1 workload: 1 to uninject, 0 skipped, 0 problems\n"), "{report}");
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
fn a_text_that_was_too_long_is_rewritten_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let comment = format!("        exec:\n          # {}\n", "c".repeat(5000));
    let long = EXTENDED.replacen("        exec:\n", &comment, 1);
    let injected = prestop(folder.path(), &["inject", "-"], long.as_bytes());
    let undone = prestop(folder.path(), &["uninject", "-"], &injected.stdout);
    let (told, result) = (text(&undone.stderr), text(&undone.stdout));
    assert!(told.contains("spec.containers.0.lifecycle.preStop is rewritten"), "{told}");
    assert!(told.starts_with("-: line "), "{told}");
    assert!(result.contains("          - nginx\n") && !result.contains("prestop.dev/status"));
    // The text of the other hook is restored.
    assert!(result.ends_with("        sleep:\n          seconds: 3\n"), "{result}");
}

#[test]
fn later_passes_keep_what_the_first_one_kept() {
    let folder = tempfile::tempdir().unwrap();
    let inject = |arguments: &[&str], input: &[u8]| {
        prestop(folder.path(), &[&["inject", "-"], arguments].concat(), input)
    };
    let first = inject(&[], EXTENDED.as_bytes()).stdout;
    assert_eq!(text(&inject(&[], &first).stdout), text(&first));
    assert!(inject(&["--renew", "--check"], &first).status.success());
    // Another image with a different hook; and a container that is added later.
    let more = "  - name: more\n    image: registry.example/more:1\n    lifecycle: ~ # none\n";
    let change = |pod: &str| format!("{}{more}", pod.replace("nginx:1.15", "nginx:1.27"));
    let grown = text(&first);
    let (containers, rest) = grown.split_once("  terminationGracePeriodSeconds").unwrap();
    let grown = format!("{}  terminationGracePeriodSeconds{rest}", change(containers));
    for arguments in [&["--renew"][..], &[]] {
        let again = inject(arguments, grown.as_bytes());
        let undone = prestop(folder.path(), &["uninject", "-"], &again.stdout);
        assert_eq!(text(&undone.stdout), change(EXTENDED), "{arguments:?}");
    }
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

/// Kubernetes refuses such a pod, but a manifest can contain it.
#[test]
fn the_hook_of_an_author_stays_if_two_containers_have_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: web\n    lifecycle:\n      preStop:\n        sleep:\n          seconds: 10\n  - name: web\n    image: registry.example/web:1\n";
    let injected = prestop(folder.path(), &["inject", "-"], pod.as_bytes()).stdout;
    let undone = prestop(folder.path(), &["uninject", "-"], &injected);
    assert_eq!(text(&undone.stdout), text(&injected));
    assert!(text(&undone.stderr).contains("status-not-trusted"), "{}", text(&undone.stderr));
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
    // Another image, whose stop signal is graceful, so the hook needs no wait.
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
fn a_comma_in_front_of_an_entry_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let input = r#"{"apiVersion": "v1", "kind": "Pod"
, "metadata": {"name": "web"}
, "spec": {"containers": [{"name": "web"
  , "image": "app:1"}]}}
"#;
    let injected = prestop(folder.path(), &["inject", "-"], input.as_bytes());
    let injected = text(&injected.stdout);
    // As formatters write it that put commas in front.
    let last = injected.replace(", \"lifecycle\"", "\n  , \"lifecycle\"");
    assert_ne!(last, injected);
    let undone = prestop(folder.path(), &["uninject", "-"], last.as_bytes());
    assert_eq!(text(&undone.stdout), input.replace("app:1\"", "app:1\"\n  "));
    let before = last.replace("10}}}", "10}}}\n  , \"tty\": true");
    assert_ne!(before, last);
    let undone = prestop(folder.path(), &["uninject", "-"], before.as_bytes());
    let expected = input.replace("app:1\"", "app:1\"\n  , \"tty\": true");
    assert_eq!(text(&undone.stdout), expected);
}

#[test]
fn a_renewal_keeps_the_order_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let renew = |input: &str| {
        let renewed = prestop(folder.path(), &["inject", "--renew", "-"], input.as_bytes());
        assert!(renewed.status.success(), "{}", text(&renewed.stderr));
        text(&renewed.stdout)
    };
    // The annotations behind the status were added later. Their problems are recorded in their order.
    let unknown = |name: &str| format!("    delay.prestop.dev/{name}: 5s\n");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n{}spec:\n  containers:\n  - name: web\n    image: nginx:1.15\n",
        unknown("one")
    );
    let first = text(&prestop(folder.path(), &["inject", "-"], pod.as_bytes()).stdout);
    let more = format!("{}{}spec:", unknown("two"), unknown("three"));
    let renewed = renew(&first.replace("spec:", &more));
    let places = ["one", "two", "three"]
        .map(|name| renewed.find(&format!("annotation delay.prestop.dev/{name}")));
    assert!(places.is_sorted() && places[0].is_some(), "{renewed}");
    assert_eq!(renew(&renewed), renewed);
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
