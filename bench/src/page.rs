//! Output of results: the generated parts of docs/performance.md, between marks, so that the text
//! around them is kept; and charts next to it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::process::version_of;

/// Returns the folder of the documents.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Replaces the part with this name.
pub(crate) fn write_part(name: &str, text: &str) -> anyhow::Result<()> {
    let file = folder().join("performance.md");
    let page = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let page = with_part(&page, name, text)
        .with_context(|| format!("{} has no part `{name}`", file.display()))?;
    fs::write(&file, page)?;
    eprintln!("written: the part `{name}` of docs/performance.md");
    Ok(())
}

/// Writes a chart next to the page.
pub(crate) fn write_picture(name: &str, svg: &str) -> anyhow::Result<()> {
    fs::write(folder().join(name), svg)?;
    eprintln!("written: docs/{name}");
    Ok(())
}

fn with_part(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) =
        (format!("<!-- begin: bench/run {name} -->"), format!("<!-- end: {name} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", text.trim()))
}

/// Describes the machine in a sentence.
pub(crate) fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let kibibytes: u64 = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse().ok()
        })
        .unwrap_or_default();
    let versions = [
        version_of("uname", "-sr"),
        version_of("rustc", "--version"),
        version_of("go", "version"),
        version_of("valgrind", "--version"),
        commit(),
    ];
    let versions: Vec<_> = versions.into_iter().flatten().collect();
    format!(
        "{model}, {cores} cores, {} GB; {}.",
        kibibytes / 1_000_000,
        versions.join(", ").replace(" version go version", "")
    )
}

fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    (!text.trim().is_empty()).then(|| format!("commit {}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_is_replaced() {
        let page = "a\n<!-- begin: bench/run x -->\nold\n<!-- end: x -->\nb\n";
        let new = with_part(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- begin: bench/run x -->\nnew\n<!-- end: x -->\nb\n");
        assert_eq!(with_part(&new, "x", "new"), Some(new));
        assert_eq!(with_part(page, "y", ""), None);
    }
}
