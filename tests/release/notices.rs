//! NOTICES has the licence of every crate that is distributed.

use std::collections::BTreeSet;

use super::*;

const TARGETS: [&str; 5] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-gnu",
];

/// Returns name and version of the third-party crates in the program for a target, without those
/// that only its build needs.
fn crates(target: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "prestop", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{p}", "--target", target])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let name_and_version = |line: &str| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    };
    let is_of_others = |name: &String| !name.starts_with("prestop");
    text(&output.stdout).lines().filter_map(name_and_version).filter(is_of_others).collect()
}

#[test]
#[ignore = "needs all crates of Cargo.lock; run: just test-tools"]
fn the_notices_are_those_of_the_lock_file() {
    let notices = read(root().join("NOTICES"));
    let named: BTreeSet<_> =
        notices.lines().filter_map(|line| line.strip_prefix("  - ")).map(str::to_owned).collect();
    let shipped: BTreeSet<_> = TARGETS.iter().flat_map(|target| crates(target)).collect();
    let advice = "release/tools cargo-about && release/notices";
    let missing: Vec<_> = shipped.difference(&named).collect();
    assert!(missing.is_empty(), "NOTICES lacks {missing:?}: {advice}");
    assert!(shipped.len() > 100, "{} crates", shipped.len());
    // Removed crates must not be listed; macros that are needed only to compile the program may be.
    let lock = read(root().join("Cargo.lock"));
    for gone in &named {
        let (name, version) = gone.split_once(' ').unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry), "NOTICES has {gone}, which is not used any more: {advice}");
    }
}
