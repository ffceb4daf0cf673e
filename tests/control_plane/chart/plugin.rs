//! The plugin for Helm 4, in the Helm that `tests/tools/install` built.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use prestop_test_support::command::feed;
use prestop_test_support::helm::{Tools, documents, object, text};
use prestop_test_support::root;

const PLUGIN: &str = "examples/helm-post-renderer";

/// Helm with the plugin, and a chart with one ordinary Deployment.
struct Installed {
    tools: Tools,
    chart: TempDir,
}

impl Installed {
    fn new() -> Self {
        let tools = Tools::find();
        let chart = tempfile::tempdir().unwrap();
        fs::create_dir(chart.path().join("templates")).unwrap();
        let about = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
        fs::write(chart.path().join("Chart.yaml"), about).unwrap();
        let template = chart.path().join("templates/web.yaml");
        fs::copy(root().join("examples/nginx.yaml"), template).unwrap();
        let installed = Self { tools, chart };
        let output = installed.helm(&["plugin", "install", PLUGIN]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        installed
    }

    /// Runs Helm with prestop in the `PATH`.
    fn helm(&self, arguments: &[&str]) -> Output {
        let folder = Path::new(env!("CARGO_BIN_EXE_prestop")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        self.tools.command("helm").args(arguments).env("PATH", path).output().unwrap()
    }

    fn template(&self, arguments: &[&str]) -> Output {
        let chart = self.chart.path().to_str().unwrap();
        self.helm(&[&["template", "web", chart], arguments].concat())
    }
}

fn inject(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prestop"));
    let output = feed(command.arg("inject").args(arguments).arg("-"), input);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn helm_4_injects_by_the_plugin() {
    let installed = Installed::new();
    let plain = installed.template(&[]);
    let injected = installed.template(&["--post-renderer", "prestop"]);
    assert!(injected.status.success(), "{}", text(&injected.stderr));
    let (plain, injected) = (text(&plain.stdout), text(&injected.stdout));
    assert_eq!(documents(&injected), documents(&inject(&["--quiet"], &plain)));
    let container = |objects: &str, arguments: &str| {
        let objects = documents(objects);
        let spec = object(&objects, "Deployment", "web")["spec"]["template"]["spec"].clone();
        spec["containers"][0].pointer(arguments).cloned()
    };
    assert!(container(&plain, "/lifecycle").is_none());
    assert!(container(&injected, "/lifecycle/preStop").is_some());
    // Further arguments are passed to prestop.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prestop.yaml");
    fs::write(
        &file,
        "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\ndefaults: {delay: 17s}\n",
    )
    .unwrap();
    let argument = format!("--config={}", file.display());
    let further =
        installed.template(&["--post-renderer", "prestop", "--post-renderer-args", &argument]);
    assert!(text(&further.stdout).contains("\"delay\":17"), "{}", text(&further.stderr));
}

/// Helm hides a plugin's standard error; the README explains how to see problems.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn problems_are_seen_in_a_report() {
    let installed = Installed::new();
    let path = installed.chart.path().join("templates/web.yaml");
    let odd = fs::read_to_string(&path).unwrap().replacen(
        "        app: web\n    spec:",
        "        app: web\n      annotations:\n        prestop.dev/delay: soon\n    spec:",
        1,
    );
    fs::write(&path, odd).unwrap();
    let injected = installed.template(&["--post-renderer", "prestop"]);
    assert!(injected.status.success(), "{}", text(&injected.stderr));
    let rendered = text(&installed.template(&[]).stdout);
    let report = inject(&["--output", "report"], &rendered);
    assert!(report.contains("prestop.dev/delay: not a duration"), "{report}");
    // If prestop fails, Helm fails too, and nothing is installed.
    let failed = installed.template(&[
        "--post-renderer",
        "prestop",
        "--post-renderer-args",
        "--config=missing.yaml",
    ]);
    assert!(!failed.status.success() && failed.stdout.is_empty());
}

#[test]
fn the_plugin_has_the_version_of_the_program() {
    let plugin = documents(&fs::read_to_string(root().join(PLUGIN).join("plugin.yaml")).unwrap());
    assert_eq!(plugin[0]["version"], env!("CARGO_PKG_VERSION"));
}

/// By the names of its files, by which kubectl finds a plugin.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn kubectl_runs_prestop_as_a_plugin_and_completes_it() {
    let tools = Tools::find();
    let folder = tempfile::tempdir().unwrap();
    for name in ["kubectl-prestop", "kubectl_complete-prestop"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_prestop"), folder.path().join(name))
            .unwrap();
    }
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let kubectl = |arguments: &[&str]| {
        let output = tools.command("kubectl").args(arguments).env("PATH", &path).output().unwrap();
        (text(&output.stdout), text(&output.stderr))
    };
    let (version, _) = kubectl(&["prestop", "version"]);
    assert!(version.starts_with(concat!("prestop ", env!("CARGO_PKG_VERSION"))), "{version}");
    let (_, wrong) = kubectl(&["prestop", "inject", "--bogus"]);
    assert!(wrong.contains("Usage: kubectl prestop inject"), "{wrong}");
    let (completed, _) = kubectl(&["__complete", "prestop", "audit", "-o", "git"]);
    assert!(completed.contains("gitlab\t") && completed.ends_with(":4\n"), "{completed}");
    let (completed, _) = kubectl(&["__complete", "prestop", "certif"]);
    assert!(completed.contains("certificates\t"), "{completed}");
}
