//! Measures prestop, a floor, and the usual alternatives: see docs/performance.md, and bench/run,
//! which builds everything first.
//!
//! - `run`: every figure, in rounds that take turns; `figures`: the results; `report`: their page
//! - `curves`: growth of costs; `api`, `control_plane`: through a real API server
//! - `page`, `chart`: output of the results; `wrk`: the same measurement with another client
//! - `gate`: figures that may not get worse, from `callgrind`, exact counts and sizes
//! - `agreement`: check that the contestants do the same work
//! - `contestants`, `process`, `certificates`: the servers that are measured
//! - `client`, `load`: the API server's side

// A benchmark prints its results.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod agreement;
mod api;
mod callgrind;
mod certificates;
mod chart;
mod client;
mod contestants;
mod control_plane;
mod curves;
mod figures;
mod gate;
mod load;
mod page;
mod process;
mod report;
mod run;
mod wrk;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use prestop_bench::reviews::Review;

use crate::process::{Cores, Stage};
use crate::run::{Bench, Effort};

/// Minimum number of instructions per request for a function that is listed.
const LEAST_OF_A_PROFILE: f64 = 20.0;

/// Measures prestop beside a floor and beside what is used today.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the contestants are.
    #[arg(long)]
    contestants: PathBuf,
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure everything.
    Run {
        /// One short round: to try it, not to quote it.
        #[arg(long)]
        quick: bool,
    },
    /// How costs grow with containers, namespaces and requests.
    Curves {
        /// Fewer points, once.
        #[arg(long)]
        quick: bool,
    },
    /// The creation of pods through a real API server.
    Api {
        /// 200 pods each instead of 5,000.
        #[arg(long)]
        quick: bool,
    },
    /// Compare what can be counted with the baseline.
    Gate {
        /// Write the baseline instead.
        #[arg(long)]
        update: bool,
    },
    /// Print the functions of prestop by their instructions.
    Profile {
        /// The request.
        #[arg(default_value = "small")]
        review: Size,
    },
    /// Write the requests again.
    Bodies,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    Small,
    Large,
    Huge,
    Patched,
}

fn main() -> anyhow::Result<()> {
    let Arguments { contestants: folder, command } = Arguments::parse();
    match command {
        Task::Run { quick } => measure(&folder, quick),
        Task::Curves { quick } => curves::run(&Stage::new(&folder, Cores::Apart)?, quick),
        Task::Api { quick } => api::run(&Stage::new(&folder, Cores::All)?, quick),
        Task::Gate { update } => gate::run(&Stage::new(&folder, Cores::Apart)?, update),
        Task::Profile { review } => profile(&Stage::new(&folder, Cores::Apart)?, review.into()),
        Task::Bodies => {
            for review in Review::ALL {
                fs::write(review.file(), review.generate()?)?;
            }
            Ok(())
        }
    }
}

fn measure(folder: &Path, quick: bool) -> anyhow::Result<()> {
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let bench = Bench { stage: Stage::new(folder, Cores::Apart)?, effort };
    agreement::check(&bench.stage)?;
    let figures = bench.run()?;
    report::write(&figures, &effort)
}

/// Prints the profile of a program with symbols.
fn profile(stage: &Stage<'_>, review: Review) -> anyhow::Result<()> {
    for (instructions, function) in callgrind::functions_per_request(review, stage)? {
        if instructions >= LEAST_OF_A_PROFILE {
            println!("{instructions:8.0}  {function}");
        }
    }
    Ok(())
}

impl From<Size> for Review {
    fn from(size: Size) -> Self {
        match size {
            Size::Small => Self::Small,
            Size::Large => Self::Large,
            Size::Huge => Self::Huge,
            Size::Patched => Self::Patched,
        }
    }
}
