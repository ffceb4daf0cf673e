//! What the compiler learns from (`bench/run train`): an instrumented program starts, serves, is asked as API
//! servers ask, and injects. Weighted as a cluster would: requests are what there is most of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use prestop_bench::reviews::Review;

use crate::client::{Request, Target};
use crate::contestants::Contestant;
use crate::load;
use crate::process::Stage;
use crate::scene::{Cluster, play};

/// As many as an API server keeps.
const CONNECTIONS: usize = 25;
/// For each kind of request.
const DURATION: Duration = Duration::from_secs(3);
/// In a cluster: requests are the same there.
const SHORT: Duration = Duration::from_millis(200);
/// Connections for one request each.
const NEW_CONNECTIONS: usize = 100;
/// Manifests of one stream.
const MANIFESTS: usize = 200;

/// Runs the instrumented program; it writes what it counted into `counts`.
pub(crate) fn run(stage: &Stage<'_>, counts: &Path) -> anyhow::Result<()> {
    let counted = into(counts);
    let wrapper = ["env", &counted];
    play(stage, None, &wrapper, |target| ask(target, DURATION))?;
    let cluster = Cluster::start(stage)?;
    play(stage, Some(&cluster), &wrapper, |target| ask(target, SHORT))?;
    let mut inject = Command::new("env");
    inject.arg(&counted).arg(Contestant::Prestop.program(stage.folder));
    inject.args(["inject", "--quiet"]).arg(manifests(counts)?);
    let status = inject.stdout(Stdio::null()).status().context("inject")?;
    ensure!(status.success(), "inject: {status}");
    Ok(())
}

/// The same for the floor, which has no more than requests.
pub(crate) fn run_floor(stage: &Stage<'_>, counts: &Path) -> anyhow::Result<()> {
    let floor = stage.start_with(Contestant::Floor, &["env".to_owned(), into(counts)], &[])?;
    ask(&floor.target, DURATION)?;
    floor.interrupt()
}

/// The variable that says where counts are written.
fn into(counts: &Path) -> String {
    format!("LLVM_PROFILE_FILE={}/%p-%m.profraw", counts.display())
}

fn ask(target: &Target, duration: Duration) -> anyhow::Result<()> {
    for review in Review::ALL {
        let request = Request::mutate(&review.committed()?);
        let mut connections =
            (0..CONNECTIONS).map(|_| target.connect()).collect::<anyhow::Result<Vec<_>>>()?;
        load::closed_loop(&mut connections, &request, duration)?;
    }
    let request = Request::mutate(&Review::Small.committed()?);
    for _ in 0..NEW_CONNECTIONS {
        target.connect()?.review(&request)?;
    }
    Ok(())
}

/// The example, many times.
fn manifests(folder: &Path) -> anyhow::Result<PathBuf> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/nginx.yaml");
    let document = fs::read_to_string(&example).with_context(|| example.display().to_string())?;
    let file = folder.join("manifests.yaml");
    fs::write(&file, vec![document; MANIFESTS].join("\n---\n"))?;
    Ok(file)
}
