//! Checks the parts of ARCHITECTURE.md that the compiler does not. Crates separate the large parts;
//! this test reads the sources and checks the boundaries inside a crate, and that pure modules
//! don't use certain names.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module with the modules of its crate that its `crate::…` paths may name. Modules that are
/// not listed are not restricted.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("core/view", &[]),
    ("core/duration", &[]),
    ("core/nearest", &[]),
    ("core/catalogue", &["duration"]),
    ("core/policy", &["catalogue", "duration"]),
    ("core/fronts", &["catalogue", "duration"]),
    ("core/engine", &["fronts", "policy", "catalogue", "duration", "nearest", "view"]),
    ("core/audit", &["fronts", "engine", "policy", "catalogue", "duration", "nearest", "view"]),
    ("core/admission", &["audit", "fronts", "engine", "policy", "view"]),
    ("core/admission_policy", &["engine", "policy", "catalogue", "duration"]),
    ("prestop/config", &["webhook"]),
    ("prestop/webhook", &["cluster", "version"]),
    ("prestop/cluster", &[]),
];

/// Names that pure modules must not contain: no clock, files, network, environment, threads or
/// logging.
const SHELL: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::path",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "tokio",
    "tracing",
    "println!",
    "eprintln!",
];

const PURE: &[&str] = &["core/", "manifest/", "watch/", "prestop/config"];

#[test]
fn each_module_imports_only_what_is_below_it() {
    for source in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == source.module) else {
            continue;
        };
        let own = source.module.rsplit('/').next().unwrap_or_default();
        for used in crate_paths(&source.code) {
            assert!(
                used == own || allowed.contains(&used.as_str()),
                "{} imports crate::{used}",
                source.module
            );
        }
    }
}

/// The compiler ignores a file that no module declares.
#[test]
fn every_file_is_a_module() {
    for (_, root) in roots() {
        for file in files(&root) {
            let name = file.file_stem().unwrap().to_string_lossy();
            let folder = file.parent().unwrap();
            let parents = if folder == root {
                vec![root.join("lib.rs"), root.join("main.rs")]
            } else {
                vec![folder.with_extension("rs")]
            };
            let declares = |parent: &PathBuf| {
                let text = fs::read_to_string(parent).unwrap_or_default();
                text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")))
            };
            let is_root = folder == root && matches!(name.as_ref(), "lib" | "main");
            assert!(is_root || parents.iter().any(declares), "{}: no module", file.display());
        }
    }
}

#[test]
fn only_the_call_of_malloc_trim_is_unsafe() {
    for source in sources() {
        let lines = source.code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let unsafe_lines =
            lines.filter(|line| line.contains("unsafe {") || line.contains("unsafe fn")).count();
        let is_memory = source.file.ends_with("src/webhook/memory.rs");
        assert_eq!(unsafe_lines, usize::from(is_memory), "{}", source.file.display());
    }
}

#[test]
fn pure_modules_do_not_touch_the_world() {
    for source in sources() {
        if PURE.iter().any(|pure| source.module.starts_with(pure)) {
            for word in SHELL {
                assert!(!source.code.contains(word), "{} names {word}", source.file.display());
            }
        }
    }
}

/// A source file without its tests.
struct Source {
    /// Crate and top module: `core/engine`.
    module: String,
    file: PathBuf,
    code: String,
}

/// Returns the crates, each with the folder of its sources.
fn roots() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![("prestop".to_owned(), root.join("src"))];
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        found.push((name, folder.join("src")));
    }
    found
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for (name, root) in roots() {
        for file in files(&root) {
            let relative = file.strip_prefix(&root).unwrap().with_extension("");
            let top = relative.iter().next().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
            found.push(Source { module: format!("{name}/{top}"), file, code });
        }
    }
    assert!(found.len() > 100, "the sources were not found");
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Returns the first name after each `crate::` outside of comments.
fn crate_paths(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut names = Vec::new();
    for line in lines {
        for after in line.split("crate::").skip(1) {
            names.push(
                after
                    .chars()
                    .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                    .collect(),
            );
        }
    }
    names
}
