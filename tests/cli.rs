//! The program as its users run it: arguments, files, pipes, exit codes.

mod audit;
mod completion;
mod fronts;
mod function;
mod statuses;
mod version;
mod words;
mod wrong;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use prestop_test_support::command::{feed, folder, stderr, stdout};
use prestop_test_support::program;

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web # the shop's front
spec:
  selector:
    matchLabels: {app: web}
  template:
    spec:
      containers:
      - name: web
        image: nginx:1.15
";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
const BROKEN: &str = "a: [\n";

fn prestop(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn run(arguments: &[&str]) -> Output {
    prestop(arguments).output().unwrap()
}

fn piped(arguments: &[&str], input: &str) -> Output {
    feed(&mut prestop(arguments), input)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_pipe_ends_where_it_began_plus_the_hook() {
    let output = piped(&["inject", "-"], &format!("{SERVICE}---\n{DEPLOYMENT}"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = stdout(&output);
    assert!(result.starts_with(SERVICE) && result.contains("name: web # the shop's front"));
    assert!(result.contains("preStop:") && result.contains("terminationGracePeriodSeconds: 40"));
    assert_eq!(stderr(&output), "prestop: 1 workload: 1 to inject, 0 skipped, 0 problems\n");
    let again = piped(&["inject", "--check", "-"], &result);
    assert_eq!(again.status.code(), Some(0));
}

#[test]
fn check_finds_what_has_no_hook_and_changes_nothing() {
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    let output = run(&["inject", "--check", text(folder.path())]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).contains("Deployment default/web has no hook yet"));
    assert_eq!(fs::read_to_string(folder.path().join("web.yaml")).unwrap(), DEPLOYMENT);
    let diff = run(&["inject", "--check", "-o", "diff", text(folder.path())]);
    assert_eq!(diff.status.code(), Some(1));
    assert!(stdout(&diff).contains("+      terminationGracePeriodSeconds: 40"));
}

#[test]
fn files_are_written_in_place_each_only_as_a_whole() {
    let broken = format!("{DEPLOYMENT}---\n{BROKEN}");
    let folder = folder(&[
        ("a.yaml", DEPLOYMENT),
        ("b.yml", &broken),
        ("c.json", "{}"),
        ("d/e.yaml", DEPLOYMENT),
    ]);
    let output = run(&["inject", "--in-place", text(folder.path())]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), ""));
    assert!(
        stderr(&output).contains("b.yml: nothing was written for this file"),
        "{}",
        stderr(&output)
    );
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("a.yaml").contains("preStop") && read("d/e.yaml").contains("preStop"));
    assert_eq!((read("b.yml"), read("c.json")), (broken, "{}".to_owned()));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 4, "temporary files were left: {left:?}");
}

#[cfg(unix)]
#[test]
fn a_file_written_in_place_keeps_its_mode_and_a_link_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder(&[("real.yaml", DEPLOYMENT)]);
    let (real, link) = (folder.path().join("real.yaml"), folder.path().join("link.yaml"));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.yaml", &link).unwrap();
    let output = run(&["inject", "--in-place", text(&link)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("preStop"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_broken_file_gives_nothing_and_the_others_are_done() {
    let folder = folder(&[("1.yaml", BROKEN), ("2.yaml", SERVICE), ("3.yaml", DEPLOYMENT)]);
    for form in ["yaml", "diff", "json-patch", "report", "json"] {
        let output = run(&["inject", "-o", form, text(folder.path())]);
        assert_eq!(output.status.code(), Some(3), "{form}");
        assert!(stderr(&output).contains("1.yaml: "), "{form}: {}", stderr(&output));
        assert!(stdout(&output).contains("web"), "{form}: {}", stdout(&output));
    }
    let output = stdout(&run(&["inject", text(folder.path())]));
    assert!(
        output.starts_with(SERVICE) && output.contains("\n---\napiVersion: apps/v1\n"),
        "{output}"
    );
}

#[test]
fn wrong_usage_is_exit_status_2_and_missing_input_3() {
    for arguments in [
        &["inject"][..],
        &["inject", "--in-place", "-"],
        &["inject", "--check", "--in-place", "x"],
        &["inject", "-o", "toml", "x"],
        &["inject", "--kubernetes-version", "new", "-"],
        &["frobnicate"],
        &["inject", "--config", "/nonexistent.yaml", "-"],
    ] {
        assert_eq!(piped(arguments, "").status.code(), Some(2), "{arguments:?}");
    }
    let missing = run(&["inject", "/nonexistent.yaml"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(stderr(&missing).contains("/nonexistent.yaml: "), "{}", stderr(&missing));
    let empty = folder(&[("notes.txt", "x")]);
    assert_eq!(run(&["inject", text(empty.path())]).status.code(), Some(3));
}

#[test]
fn the_json_report_is_one_object_whatever_the_input() {
    let folder = folder(&[("a.yaml", DEPLOYMENT), ("b.yaml", SERVICE), ("c.yaml", DEPLOYMENT)]);
    for (paths, items) in [(vec![text(folder.path())], 2), (vec!["-"], 0)] {
        let output = piped(&[&["inject", "-o", "json"][..], &paths[..]].concat(), "");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["kind"], "InjectReport");
        assert_eq!(report["items"].as_array().map(Vec::len), Some(items));
        assert_eq!(report["summary"]["workloads"], items);
    }
}

#[test]
fn patches_apply_to_the_workload_they_name() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        DEPLOYMENT.trim_end().replace('\n', "\n  ")
    );
    let output = piped(&["inject", "-o", "json-patch", "-"], &list);
    let line: serde_json::Value = serde_json::from_str(stdout(&output).trim_end()).unwrap();
    assert_eq!(line["target"]["name"], "web");
    assert_eq!(line["patch"][0]["path"], "/spec/template/spec/containers/0/lifecycle");
}

#[test]
fn colours_are_for_terminals_and_those_who_ask() {
    let ask = |more: &[&str]| {
        stdout(&piped(&[&["inject", "-o", "diff"][..], more, &["-"]].concat(), DEPLOYMENT))
    };
    assert!(!ask(&[]).contains('\u{1b}'));
    assert!(ask(&["--color", "always"]).contains("\u{1b}[32m+"));
    assert!(!ask(&["--color", "never"]).contains('\u{1b}'));
}

#[test]
fn namespaces_of_the_input_hold_wherever_they_stand() {
    let namespace = |label: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n  labels: {{prestop.dev/inject: {label}}}\n  annotations: {{prestop.dev/delay: 7s}}\n"
        )
    };
    let delay = |arguments: &[&str], text: &str| {
        let output =
            stdout(&piped(&[&["inject", "-o", "report"][..], arguments, &["-"]].concat(), text));
        output
            .lines()
            .find_map(|line| line.trim().strip_prefix("delay ").map(|rest| rest.trim().to_owned()))
    };
    let after = format!("{DEPLOYMENT}---\n{}", namespace("enabled"));
    assert!(delay(&[], &after).unwrap().starts_with("7s (from namespace-annotation)"));
    assert!(delay(&["--only-enabled"], &after).is_some());
    assert_eq!(delay(&["--only-enabled"], DEPLOYMENT), None);
    assert_eq!(delay(&[], &format!("{}---\n{DEPLOYMENT}", namespace("disabled"))), None);
}

#[test]
fn the_catalogue_says_which_entry_an_image_gets_and_why() {
    let output = run(&["catalogue", "nginx:1.15", "example.com/app:1"]);
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    assert!(said.contains("nginx:1.15: profile nginx (matches library/nginx)"), "{said}");
    assert!(
        said.contains("https://") && said.contains("example.com/app:1: no profile matches"),
        "{said}"
    );
    assert_eq!(run(&["catalogue", "Not An Image"]).status.code(), Some(3));
    let all = stdout(&run(&["catalogue"]));
    assert!(all.lines().count() > 70 && all.contains("rabbitmq"), "{all}");
}

#[test]
fn the_catalogue_knows_the_programs_and_roles_of_images() {
    let explained = |image: &str| stdout(&run(&["catalogue", image]));
    let hardened = explained("dhi.io/nginx:1.31-debian13");
    assert!(hardened.contains("programs shell: no; sleep: yes"), "{hardened}");
    assert!(hardened.contains("role     front"), "{hardened}");
    let fpm = explained("php:7.0-fpm");
    assert!(fpm.contains("role     backend") && fpm.contains("stop     by TERM"), "{fpm}");
    let unknown = explained("example.com/app:1");
    assert!(unknown.contains("programs shell and sleep: not known"), "{unknown}");
    let all = stdout(&run(&["catalogue"]));
    assert!(all.contains("(tags *apache*)") && all.contains("(containers istio-proxy)"), "{all}");
    let output = run(&["catalogue", "-o", "json", "dhi.io/nginx:1"]);
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let image = &read["images"][0];
    assert_eq!(
        (&image["programs"]["shell"], &image["profile"]["role"]),
        (&"absent".into(), &"front".into())
    );
    let link = image["stop"]["link"].as_str().unwrap();
    assert!(link.contains("docker-hardened-images/catalog"), "{link}");
    // The profile's own link is not repeated.
    assert!(!hardened.contains("drops its requests\n           http"), "{hardened}");
    let old = explained("nginx:1.15");
    let stop =
        "drops its requests\n           https://github.com/nginx/docker-nginx/commit/16ec71e";
    assert!(old.contains(stop), "{old}");
}

#[test]
fn config_check_says_what_is_wrong_and_where() {
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/prestop.yaml");
    let bad = folder(&[(
        "prestop.yaml",
        "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\ndefaults:\n  dealy: 5s\n",
    )]);
    let bad = bad.path().join("prestop.yaml");
    let output = run(&["config", "check", good, text(&bad)]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).ends_with("examples/prestop.yaml: ok\n"), "{}", stdout(&output));
    let said = stderr(&output);
    assert!(
        said.contains("prestop.yaml:4:3: defaults.dealy: unknown field; did you mean delay?"),
        "{said}"
    );
    let schema: serde_json::Value =
        serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn long_help_says_what_a_command_does() {
    for (command, part) in
        [("inject", "by the same rules as the webhook"), ("serve", "Never refuses a pod")]
    {
        let help =
            stdout(&run(&[command, "--help"])).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(part), "{command}: {help}");
    }
}

#[test]
fn completions_and_the_manual_are_there() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&run(&["completions", shell]));
        assert!(script.contains("PRESTOP_COMPLETE"), "{shell}: {script}");
    }
    let manual = stdout(&run(&["man"]));
    assert!(manual.starts_with('.') && manual.contains("in\\-place"), "{manual}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child =
        prestop(&["catalogue"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
