//! Completions that shells and kubectl get while the user types.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{folder, stdout};

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: staging
contexts:
- {name: staging, context: {cluster: c}}
- {name: production, context: {cluster: c}}
";

/// Returns kubectl's completions for a line, through a link to prestop.
fn kubectl(home: &Path, words: &[&str]) -> Vec<String> {
    let link = home.join("kubectl_complete-prestop");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_prestop"), &link).unwrap();
    }
    let mut command = Command::new(&link);
    command.args(words).current_dir(home).env("HOME", home).env_remove("KUBECONFIG");
    let output = command.env_remove("KUBERNETES_SERVICE_HOST").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{words:?}");
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn kubectl_completes_commands_options_and_values() {
    let home = folder(&[(".kube/config", KUBECONFIG), ("web.yaml", ""), ("folder/x.yaml", "")]);
    let home = home.path();
    for (words, expected, directive) in [
        (&["cert"][..], "certificates\t", ":4"),
        (&["certificates", ""], "status\t", ":4"),
        (&["inject", "--kub"], "--kubernetes-version\t", ":4"),
        (&["inject", "-o", "json-"], "json-patch\t", ":4"),
        (&["inject", "we"], "web.yaml", ":4"),
        (&["inject", "fol"], "folder/", ":6"),
        (&["audit", "--explain", "quit-"], "quit-without-wait\t", ":4"),
        (&["audit", "-o", "git"], "gitlab\t", ":4"),
        (&["explain", "namespace-"], "namespace-not-enabled\t", ":4"),
        (&["catalogue", "rabb"], "rabbitmq\t", ":4"),
        (&["check", "--context", ""], "production", ":4"),
        (&["certificates", "status", "--context", "st"], "staging", ":4"),
    ] {
        let found = kubectl(home, words);
        assert!(found.iter().any(|line| line.starts_with(expected)), "{words:?}: {found:?}");
        assert_eq!(found.last().map(String::as_str), Some(directive), "{words:?}");
    }
    // Without a server, there are no completions and no error.
    assert_eq!(kubectl(home, &["check", "--namespace", ""]), [":0"]);
    assert_eq!(kubectl(home, &["explain", "no-such-code"]), [":0"]);
    // Each image is listed once.
    let images = kubectl(home, &["catalogue", "nginx"]);
    assert_eq!(images.iter().filter(|line| line.starts_with("nginx\t")).count(), 1, "{images:?}");
}

/// Completes in a real bash, with the script that prestop prints.
#[test]
fn bash_completes_by_the_script() {
    let home = folder(&[(".kube/config", KUBECONFIG)]);
    symlink(env!("CARGO_BIN_EXE_prestop"), home.path().join("prestop")).unwrap();
    let script = "source <(prestop completions bash)
        COMP_WORDS=(prestop check --context '') COMP_CWORD=3
        _clap_complete_prestop prestop '' --context 2>/dev/null
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script]).env("PATH", path).env("HOME", home.path());
    let said = stdout(&command.env_remove("KUBECONFIG").output().unwrap());
    let words: Vec<_> = said.split_whitespace().collect();
    assert_eq!(words, ["staging", "production"], "{said}");
}
