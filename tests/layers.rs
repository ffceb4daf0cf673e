//! Who may import whom (ARCHITECTURE.md). Reads the `use` lines, so that the map stays true.

use std::fs;
use std::path::{Path, PathBuf};

/// A module, and which modules of the crate its `crate::…` paths may name.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("view", &[]),
    ("duration", &[]),
    ("catalogue", &["duration"]),
    ("policy", &["catalogue"]),
    ("engine", &["policy", "catalogue", "duration", "view"]),
    ("admission", &["engine", "policy", "view"]),
    ("serving", &[]),
    ("config", &["policy", "serving", "catalogue", "duration"]),
    ("manifest", &[]),
    ("metrics", &["admission", "engine", "catalogue", "certificates"]),
    ("telemetry", &["admission", "engine", "serving"]),
    ("api", &[]),
    ("certificates", &["api"]),
    ("checks", &["api", "certificates", "policy"]),
    ("cluster", &["admission", "api", "engine", "policy"]),
    ("memory", &[]),
    ("reload", &[]),
    ("shutdown", &[]),
    ("server", &["admission", "metrics", "telemetry", "shutdown", "serving", "policy"]),
    ("rehearsal", &["catalogue"]),
    ("report", &["engine", "policy", "catalogue", "duration"]),
];

/// What the pure modules must not even name: no clock, files, network, environment or logging.
const SHELL: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "Instant",
    "SystemTime",
    "std::thread",
    "std::path",
    "tokio",
    "axum",
    "hyper::",
    "kube::",
    "rustls",
    "tracing",
    "println!",
    "eprintln!",
    "tempfile",
    "walkdir",
];

const PURE: &[&str] = &[
    "admission",
    "catalogue",
    "config",
    "duration",
    "engine",
    "manifest",
    "policy",
    "report",
    "serving",
    "view",
];

#[test]
fn each_module_imports_only_what_is_below_it() {
    for (module, text) in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for used in crate_paths(&text) {
            assert!(
                used == module || allowed.contains(&used.as_str()),
                "{module} imports crate::{used}"
            );
        }
    }
}

#[test]
fn every_module_has_its_place_on_the_map() {
    for (module, _) in sources() {
        let shell = ["main", "lib", "cli", "commands"].contains(&module.as_str());
        assert!(
            shell || MAY_IMPORT.iter().any(|(name, _)| *name == module),
            "{module} is not on the map"
        );
    }
}

/// The compiler does not miss a file that nobody names.
#[test]
fn every_file_is_a_module() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    for file in files(root) {
        let name = file.file_stem().unwrap().to_string_lossy();
        let folder = file.parent().unwrap();
        let parents = if folder == root {
            vec![root.join("lib.rs"), root.join("main.rs")]
        } else {
            vec![folder.with_extension("rs")]
        };
        let declares = |parent: &PathBuf| {
            let text = fs::read_to_string(parent).unwrap();
            text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")))
        };
        let is_root = folder == root && matches!(name.as_ref(), "lib" | "main");
        assert!(is_root || parents.iter().any(declares), "{}: no module", file.display());
    }
}

#[test]
fn only_the_call_of_malloc_trim_is_unsafe() {
    for (module, text) in sources() {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let unsafe_lines =
            lines.filter(|line| line.contains("unsafe {") || line.contains("unsafe fn")).count();
        assert_eq!(unsafe_lines, usize::from(module == "memory"), "{module}");
    }
}

#[test]
fn pure_modules_do_not_touch_the_world() {
    for (module, text) in sources() {
        if PURE.contains(&module.as_str()) {
            for word in SHELL {
                assert!(!text.contains(word), "{module} names {word}");
            }
        }
    }
}

/// Every source file without its tests, under the name of its top module.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let source = |path: PathBuf| {
        let relative = path.strip_prefix(root).unwrap().with_extension("");
        let module = relative.iter().next().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        (module, code)
    };
    let found: Vec<_> = files(root).into_iter().map(source).collect();
    assert!(found.len() > 5, "the sources were not found");
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

/// The first name behind each `crate::` outside of comments.
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
