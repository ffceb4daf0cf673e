//! Instructions of a whole server for one request: what 600 requests take more than 100. Repeated runs
//! differ by less than half a percent, whatever else the machine does.

use std::fs;
use std::path::Path;

use anyhow::Context;
use prestop_bench::reviews::Review;

use crate::client::Request;
use crate::contestants::Contestant;
use crate::process::Stage;

const FEW: u32 = 100;
const MANY: u32 = 600;

/// Instructions for one request.
pub(crate) fn per_request(
    contestant: Contestant,
    review: Review,
    stage: &Stage<'_>,
) -> anyhow::Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    let count = |requests| {
        run(contestant, review, requests, file.path(), stage)?;
        total(file.path())
    };
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok((many - few) / f64::from(MANY - FEW))
}

/// Writes callgrind's account of a server that answered so many requests.
pub(crate) fn run(
    contestant: Contestant,
    review: Review,
    requests: u32,
    file: &Path,
    stage: &Stage<'_>,
) -> anyhow::Result<()> {
    let out = format!("--callgrind-out-file={}", file.display());
    let valgrind = ["valgrind", "--tool=callgrind", "--quiet", &out].map(str::to_owned);
    // Nothing that depends on how long it takes.
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
