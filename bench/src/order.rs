//! The functions that a start and requests run through, by their names. The linker puts them beside each
//! other (`.ci/ordered-cc`), so that the system need not keep the rest of the program in memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, ensure};
use prestop_bench::reviews::Review;

use crate::client::{Request, Target};
use crate::process::Stage;
use crate::scene::{Cluster, play};

/// Of each kind. The first ones run through what later ones do not.
const REQUESTS: usize = 3;

/// Writes `.ci/link-order`.
pub(crate) fn run(stage: &Stage<'_>) -> anyhow::Result<()> {
    let cluster = Cluster::start(stage)?;
    // First what always runs, then what a cluster adds.
    let always = functions(stage, None)?;
    let cluster = functions(stage, Some(&cluster))?;
    let names: Vec<_> = always.iter().chain(cluster.difference(&always)).collect();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.ci/link-order");
    let mut text = String::new();
    for name in &names {
        text.push_str(name);
        text.push('\n');
    }
    fs::write(&file, text)?;
    println!("{} functions: {}", names.len(), file.display());
    Ok(())
}

/// What runs from the start to the end of a server.
fn functions(stage: &Stage<'_>, cluster: Option<&Cluster>) -> anyhow::Result<BTreeSet<String>> {
    let out = tempfile::NamedTempFile::new()?;
    let file = format!("--callgrind-out-file={}", out.path().display());
    let valgrind = ["valgrind", "--tool=callgrind", "--quiet", "--demangle=no", &file];
    play(stage, cluster, &valgrind, ask)?;
    readable(&names(&fs::read_to_string(out.path())?))
}

fn ask(target: &Target) -> anyhow::Result<()> {
    for review in Review::ALL {
        let request = Request::mutate(&review.committed()?);
        for _ in 0..REQUESTS {
            target.connect()?.review(&request)?;
        }
    }
    Ok(())
}

/// The functions in callgrind's account.
fn names(account: &str) -> BTreeSet<&str> {
    let functions = account.lines().filter_map(|line| {
        let (_, name) =
            line.strip_prefix("fn=(").or_else(|| line.strip_prefix("cfn=("))?.split_once(") ")?;
        // Calls of itself have a number.
        Some(name.split('\'').next().unwrap_or(name))
    });
    functions.filter(|name| !name.starts_with("0x") && !name.starts_with('(')).collect()
}

/// As `.ci/ordered-cc` looks for them.
fn readable(names: &BTreeSet<&str>) -> anyhow::Result<BTreeSet<String>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/readable-names");
    let command = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut command = command.with_context(|| program.display().to_string())?;
    let mut input = command.stdin.take().context("an input")?;
    let lines = names.iter().copied().collect::<Vec<_>>().join("\n");
    let output = thread::scope(|scope| {
        scope.spawn(move || input.write_all(lines.as_bytes()));
        command.wait_with_output()
    })?;
    ensure!(output.status.success(), "{}: {}", program.display(), output.status);
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_builds_with_other_hashes() {
        let name =
            "<tokio[16ff84d15f9bfadd]::time::Interval>::tick::<[u8; 32], alloc[abcdef012]::A>";
        let short = "<tokio::time::Interval>::tick::<[u8; 32], alloc::A>";
        let mangled = "_RNvNtCs1YpWxAoA4rx_5tokio4time4tick";
        let names = readable(&BTreeSet::from([name, mangled, "memcpy"])).unwrap();
        assert_eq!(
            names,
            BTreeSet::from([short, "tokio::time::tick", "memcpy"].map(str::to_owned))
        );
    }
}
