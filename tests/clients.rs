//! prestop in other tools, each run for real: the claims in `docs/tools.md` and `examples` are
//! true. The tools are installed by `tests/tools/clients/install`.

mod action;
mod rendering;
mod repository;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use prestop_test_support::command::{stderr, stdout};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder with prestop and the tools as users have them, for `PATH`.
struct Programs {
    folder: TempDir,
}

impl Programs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, to: &Path| {
            assert!(to.exists(), "{}: run tests/tools/clients/install", to.display());
            symlink(to, folder.path().join(name)).unwrap();
        };
        link("prestop", Path::new(env!("CARGO_BIN_EXE_prestop")));
        let clients =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root("target"), PathBuf::from);
        let clients = clients.join("tools/clients");
        link("helm", &clients.join("helm3"));
        for name in ["kustomize", "actionlint"] {
            link(name, &clients.join(name));
        }
        for name in ["pre-commit", "check-jsonschema"] {
            link(name, &clients.join("python/bin").join(name));
        }
        Self { folder }
    }

    /// Returns a command for a program that finds the others, in a folder; its home is empty.
    fn command(&self, name: &str, folder: &Path) -> Command {
        let mut command = Command::new(name);
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("HOME", self.folder.path()).current_dir(folder);
        command
    }

    fn run(&self, line: &str, folder: &Path) -> Output {
        let words: Vec<_> = line.split(' ').collect();
        self.command(words[0], folder).args(&words[1..]).output().unwrap()
    }

    /// Returns the output of a program that must succeed.
    fn prints(&self, line: &str, folder: &Path) -> String {
        let output = self.run(line, folder);
        assert!(output.status.success(), "{line}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }
}

fn documents(text: &str) -> Vec<Value> {
    let read: Result<Vec<Value>, _> = serde_saphyr::from_multiple(text);
    let read = read.unwrap_or_else(|error| panic!("{error}\n{text}"));
    read.into_iter().filter(|document| !document.is_null()).collect()
}

/// Returns the delay that prestop recorded in the only Deployment.
fn delay(text: &str) -> Option<i64> {
    let documents = documents(text);
    let web = documents.iter().find(|it| it["kind"] == "Deployment").unwrap();
    let status =
        web.pointer("/spec/template/metadata/annotations/prestop.dev~1status")?.as_str()?;
    let status: Value = serde_json::from_str(status).unwrap();
    assert!(web.pointer("/spec/template/spec/containers/0/lifecycle/preStop").is_some());
    status["containers"][0]["delay"].as_i64()
}

/// Returns the blocks in a language in a section of `docs/tools.md`.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root("docs/tools.md")).unwrap();
    let (_, text) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let blocks = text.split("```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")));
    blocks.map(str::to_owned).collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn example() -> String {
    fs::read_to_string(root("examples/nginx.yaml")).unwrap()
}
