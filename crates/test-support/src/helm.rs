//! helm and kubectl as processes of a test.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;
use tempfile::TempDir;

use crate::{built_tools, root};

/// The namespace of the documents and of `install.yaml`.
pub const NAMESPACE: &str = "prestop-system";

/// The folder of helm and kubectl, with a temporary home folder.
pub struct Tools {
    folder: PathBuf,
    home: TempDir,
}

impl Tools {
    /// Returns the tools that `tests/tools/install` built.
    pub fn find() -> Self {
        let folder = built_tools();
        let has_all = ["helm", "kubectl"].iter().all(|name| folder.join(name).exists());
        assert!(has_all, "no helm and kubectl: tests/tools/install builds them");
        Self { folder, home: tempfile::tempdir().unwrap() }
    }

    /// Returns a command that can use only the given cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command.env("HOME", self.home.path()).env_remove("KUBECONFIG").current_dir(root());
        command
    }

    /// Returns the objects that `helm template` renders from the chart with these additional
    /// arguments.
    pub fn render(&self, arguments: &[&str]) -> Vec<Value> {
        documents(&self.template(arguments))
    }

    /// Returns the same output as text.
    pub fn template(&self, arguments: &[&str]) -> String {
        let output = self.try_template(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub fn try_template(&self, arguments: &[&str]) -> Output {
        let mut command = self.command("helm");
        command.args(["template", "prestop", "charts/prestop", "--namespace", NAMESPACE]);
        command.args(arguments).output().unwrap()
    }

    /// Returns the folder with definitions of the kinds that the chart uses and a bare API server
    /// does not know.
    pub fn definitions(&self) -> PathBuf {
        self.folder.join("crds")
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Parses the objects of a text, without empty documents. A duplicate key is an error here,
/// although `prestop inject` accepts it.
pub fn documents(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
    };
    let mut all: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .unwrap_or_else(|error| panic!("{error} in\n{text}"));
    all.retain(|object| !object.is_null());
    all
}

/// Returns the object with this kind and name.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found =
        objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Returns the files of values with which the chart is tested: those in `ci`, and those for users.
pub fn values_files() -> Vec<String> {
    let mut files: Vec<_> = ["charts/prestop/ci", "charts/prestop"]
        .into_iter()
        .flat_map(|folder| {
            let entries = fs::read_dir(root().join(folder)).unwrap();
            entries.map(move |entry| format!("{folder}/{}", entry.unwrap().file_name().display()))
        })
        .filter(|file| file.ends_with("-values.yaml") || file.contains("/values-"))
        .collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    files
}
