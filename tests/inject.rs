//! `prestop inject` on realistic files, folders and lists: the output parses to the same objects,
//! diffs apply, and no temporary files remain.

mod diffs;
mod folders;
mod lists;
mod uninject;

use std::path::Path;
use std::process::{Command, Output};

use prestop_test_support::command::{feed, folder, stderr, stdout};
use prestop_test_support::program;

/// Returns a complete Deployment with this name.
fn deployment(name: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
      - name: web # the main one
        image: registry.example.com/shop/{name}:4.2.0
"
    )
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  k: v";

fn prestop(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).arg("inject").args(arguments).env_remove("NO_COLOR");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    prestop(folder, arguments).output().unwrap()
}

fn piped(arguments: &[&str], input: &str) -> Output {
    feed(&mut prestop(Path::new("."), arguments), input)
}
