//! The functions that a start and requests run through, by their names. The linker puts them beside each
//! other (`.ci/ordered-cc`), so that the system need not keep the rest of the program in memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
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
    play(stage, cluster, (&valgrind.map(str::to_owned), &[]), ask)?;
    for_people(&names(&fs::read_to_string(out.path())?))
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

/// Names as people and `.ci/ordered-cc` read them: without the hashes of crates, which are others with
/// another release of any of them, and which the short forms in a name depend on.
fn for_people(names: &BTreeSet<&str>) -> anyhow::Result<BTreeSet<String>> {
    let command = Command::new("c++filt").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut command = command.context("c++filt, of binutils")?;
    let mut input = command.stdin.take().context("c++filt")?;
    let lines = names.iter().copied().collect::<Vec<_>>().join("\n");
    let output = thread::scope(|scope| {
        scope.spawn(move || input.write_all(lines.as_bytes()));
        command.wait_with_output()
    })?;
    ensure!(output.status.success(), "c++filt: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.lines().map(without_hashes).collect())
}

/// `core[c1f1a4ba060b9bfa]::str` is `core::str`; lengths of arrays are no hashes.
fn without_hashes(name: &str) -> String {
    let mut parts = name.split('[');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if is_hash(hash) => short.push_str(rest),
            _ => {
                short.push('[');
                short.push_str(part);
            }
        }
    }
    short
}

fn is_hash(text: &str) -> bool {
    (9..=16).contains(&text.len()) && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_builds_with_other_hashes() {
        let name =
            "<tokio[16ff84d15f9bfadd]::time::Interval>::tick::<[u8; 32], alloc[abcdef012]::A>";
        assert_eq!(without_hashes(name), "<tokio::time::Interval>::tick::<[u8; 32], alloc::A>");
        assert_eq!(without_hashes("memcpy"), "memcpy");
    }
}
