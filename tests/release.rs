//! How releases are made: the owner, the image, the archives and what is generated for package managers. With a
//! program that is not the real one, so that nothing has to be built; `release/try` does it with real ones.

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

/// A program of this folder.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(folder.join(program)).args(arguments).current_dir(folder).output().unwrap()
}

/// The same; it has to succeed.
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

/// What git tracks here, in its own repository.
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
