//! Tools for releases: the licences in NOTICES, the owner of the repository, and the workflows.
//! Nothing has to be built for these tests; `release/try` makes a whole release.

mod artifact_hub;
mod notices;
mod owner;
mod workflows;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program of the folder, in the folder.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(folder.join(program)).args(arguments).current_dir(folder).output().unwrap()
}

/// Runs a program of the folder that has to succeed. Returns its standard output.
fn done(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = run(folder, program, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Copies the files that git tracks here to a new repository.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in git(root(), &["ls-files", "-z"]).split('\0').filter(|file| !file.is_empty()) {
        let (from, to) = (root().join(file), folder.path().join(file));
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "--all"]);
    folder
}

fn read(file: PathBuf) -> String {
    fs::read_to_string(file).unwrap()
}
