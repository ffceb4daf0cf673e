//! Exit statuses: the help texts list those that occur, and `prestop --help` lists those of all
//! commands together.

use std::collections::BTreeSet;

use super::{DEPLOYMENT, folder, piped, run, stderr, stdout, text};

/// A manifest with findings.
const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit/golden/shop.yaml");

pub(super) fn help(command: &[&str]) -> String {
    stdout(&run(&[command, &["--help"]].concat()))
}

/// Returns the subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// Returns every command without subcommands.
pub(super) fn commands() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for name in subcommands(&help(&[])) {
        let below = subcommands(&help(&[&name]));
        if below.is_empty() {
            found.push(vec![name]);
        } else {
            found.extend(below.into_iter().map(|it| vec![name.clone(), it]));
        }
    }
    found
}

/// Returns the numbers in `Exit status: 0 done, 1 …`.
fn statuses(help: &str) -> BTreeSet<i32> {
    let Some((_, list)) = help.split_once("Exit status: ") else { return BTreeSet::new() };
    let mut words = list.split_whitespace();
    let mut found = BTreeSet::from([words.next().unwrap().parse().unwrap()]);
    let mut before = "";
    for word in words {
        if let (true, Ok(status)) = (before.ends_with(','), word.parse()) {
            found.insert(status);
        }
        before = word;
    }
    found
}

#[test]
fn the_list_of_all_is_that_of_each_command() {
    let all = commands();
    assert!(all.len() >= 12, "{all:?}");
    let mut together = BTreeSet::new();
    for command in &all {
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let own = statuses(&help(&command));
        assert!(
            own.is_superset(&BTreeSet::from([0, 2])),
            "{command:?} has no exit statuses: {own:?}"
        );
        let unknown = run(&[&command[..], &["--no-such-option"]].concat());
        assert_eq!(unknown.status.code(), Some(2), "{command:?}");
        together.extend(own);
    }
    let listed = statuses(&help(&[]));
    if cfg!(all(feature = "rehearse", target_os = "linux")) {
        assert_eq!(listed, together);
    } else {
        assert!(listed.is_superset(&together));
    }
}

#[test]
fn each_status_that_happens_is_in_the_help_of_its_command() {
    let folder = folder(&[
        ("web.yaml", DEPLOYMENT),
        ("broken.yaml", "a: ["),
        (
            "config.yaml",
            "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\ndefaults: {delay: soon}\n",
        ),
    ]);
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let (web, broken, config) = (path("web.yaml"), path("broken.yaml"), path("config.yaml"));
    for (line, expected) in [
        (vec!["inject", &web], 0),
        (vec!["inject", "--check", &web], 1),
        (vec!["inject", "--config", &config, &web], 2),
        (vec!["inject", &broken], 3),
        (vec!["uninject", "--check", &web], 0),
        (vec!["uninject", &broken], 3),
        (vec!["audit", SHOP], 1),
        (vec!["audit", "--fail-on", "never", SHOP], 0),
        (vec!["audit", &broken], 3),
        (vec!["fronts", &web], 0),
        (vec!["fronts", &broken], 3),
        (vec!["check", "--kubeconfig", &path("none")], 3),
        (vec!["certificates", "status", "--kubeconfig", &path("none")], 3),
        (vec!["catalogue", "nginx"], 0),
        (vec!["catalogue", "Not An Image"], 3),
        (vec!["explain", "own-hook"], 0),
        (vec!["explain", "nonsense"], 3),
        (vec!["config", "check", &config], 3),
        (vec!["config", "schema"], 0),
        (vec!["version"], 0),
    ] {
        let output = piped(&line, "");
        assert_eq!(output.status.code(), Some(expected), "{line:?}: {}", stderr(&output));
        let length = if matches!(line[0], "certificates" | "config") { 2 } else { 1 };
        assert!(statuses(&help(&line[..length])).contains(&expected), "{line:?}");
    }
}

/// Once, in any form of output.
#[test]
fn the_summary_of_inject_is_reported_once() {
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    let file = folder.path().join("web.yaml");
    let told = |arguments: &[&str]| {
        let output = run(&[&["inject"][..], arguments, &[text(&file)]].concat());
        format!("{}{}", stdout(&output), stderr(&output)).matches("1 workload: 1 to inject").count()
    };
    for form in ["yaml", "diff", "json-patch", "report"] {
        assert_eq!((told(&["-o", form]), told(&["--check", "-o", form])), (1, 1), "{form}");
    }
    assert_eq!((told(&["--check"]), told(&["-o", "json"]), told(&["-q"])), (1, 0, 0));
}
