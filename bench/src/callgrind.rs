//! Instructions of a whole server for one request: the difference between 600 and 100 requests.
//! Whether runs can be compared depends on how copies are counted: see [`Copies`].

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use prestop_bench::reviews::Review;

use crate::client::Request;
use crate::contestants::Contestant;
use crate::process::Stage;

/// The requests whose instructions are compared.
pub(crate) const COUNTED: [Review; 3] = [Review::Small, Review::Large, Review::Patched];

const FEW: u32 = 100;
const MANY: u32 = 600;

/// The method by which the C library copies memory.
///
/// For copies of 4 KiB and more, glibc uses `rep movsb` if it is fast on the processor. The
/// processor executes it as one instruction; valgrind splits it and counts one instruction for each
/// byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    /// The method that glibc selects. A copy of 16 KiB then counts as 16,384 instructions, and whether
    /// `realloc` has to make it depends on the neighbours of a buffer in the heap, which depend on
    /// timing: the count for the large request differs by 5 % from run to run, and by more between
    /// processors.
    Selected,
    /// Always vector registers. Runs differ by at most 1.3 %, and copies with AVX2 and with SSE2 by
    /// 1.5 %.
    Vectors,
}

impl Copies {
    /// Returns the first words of the command.
    fn wrapper(self) -> &'static [&'static str] {
        match self {
            Self::Selected => &[],
            Self::Vectors => {
                &["env", "GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000"]
            }
        }
    }
}

/// Returns the number of instructions for one request.
pub(crate) fn per_request(
    contestant: Contestant,
    review: Review,
    copies: Copies,
    stage: &Stage<'_>,
) -> anyhow::Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    let count = |requests| {
        run(contestant, review, requests, copies, file.path(), stage)?;
        total(file.path())
    };
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok((many - few) / f64::from(MANY - FEW))
}

/// Returns functions with their number of instructions for one request, in descending order. Called
/// functions are not included, inlined ones are.
pub(crate) fn functions_per_request(
    review: Review,
    stage: &Stage<'_>,
) -> anyhow::Result<Vec<(f64, String)>> {
    let file = tempfile::NamedTempFile::new()?;
    let count = |requests| {
        run(Contestant::Prestop, review, requests, Copies::Vectors, file.path(), stage)?;
        by_function(file.path())
    };
    let (few, mut many) = (count(FEW)?, count(MANY)?);
    for (name, instructions) in few {
        *many.entry(name).or_default() -= instructions;
    }
    let requests = f64::from(MANY - FEW);
    let mut functions: Vec<_> =
        many.into_iter().map(|(name, instructions)| (instructions / requests, name)).collect();
    functions.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    Ok(functions)
}

fn by_function(file: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut annotate = Command::new("callgrind_annotate");
    // It prints a warning for each function without line numbers.
    annotate.args(["--threshold=100", "--auto=no"]).arg(file).stderr(Stdio::null());
    let output = annotate.output().context("callgrind_annotate")?;
    ensure!(output.status.success(), "callgrind_annotate: {}", output.status);
    let mut functions = BTreeMap::new();
    for line in str::from_utf8(&output.stdout)?.lines() {
        // `1,234 (0.56%)  file:function [program]`
        let Some((number, place)) = line.split_once("%)") else { continue };
        let Some((number, _)) = number.trim().split_once(' ') else { continue };
        let Ok(instructions) = number.replace(',', "").parse::<f64>() else { continue };
        let Some((_, function)) = place.split_once(':') else { continue };
        let name = function.split(" [").next().unwrap_or(function);
        *functions.entry(name.to_owned()).or_default() += instructions;
    }
    Ok(functions)
}

/// Writes callgrind's output for a server that answers this many requests.
fn run(
    contestant: Contestant,
    review: Review,
    requests: u32,
    copies: Copies,
    file: &Path,
    stage: &Stage<'_>,
) -> anyhow::Result<()> {
    let out = format!("--callgrind-out-file={}", file.display());
    let valgrind = ["valgrind", "--tool=callgrind", "--quiet", &out];
    let valgrind: Vec<_> =
        copies.wrapper().iter().chain(&valgrind).map(ToString::to_string).collect();
    // Avoids work that depends on the duration of the run.
    let seldom = ["--poll-interval", "3600"].map(str::to_owned);
    let arguments: &[_] = if contestant == Contestant::Prestop { &seldom } else { &[] };
    let server = stage.start_with(contestant, &valgrind, arguments)?;
    let request = Request::mutate(&review.committed()?);
    let mut connection = server.target.connect()?;
    for _ in 0..requests {
        connection.review(&request)?;
    }
    drop(connection);
    server.interrupt()
}

fn total(file: &Path) -> anyhow::Result<f64> {
    let text = fs::read_to_string(file)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: ")));
    Ok(line.context("callgrind wrote no total")?.trim().parse()?)
}
