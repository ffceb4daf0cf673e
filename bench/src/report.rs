//! The page of a comparison: tables, goals, and a chart.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use prestop_bench::reviews::Review;

use crate::chart::{self, Bars, short};
use crate::contestants::Contestant;
use crate::figures::{Figure, Figures, Spread};
use crate::gate;
use crate::load::CONNECTIONS;
use crate::page;
use crate::run::{BURST, CROWD, Effort, PER_SECOND};

/// Prints the tables and writes them with their chart.
pub(crate) fn write(figures: &Figures, effort: &Effort) -> anyhow::Result<()> {
    let text = [
        format!("Measured on {}\n", page::machine()),
        goals(figures),
        "![CPU time of a request](performance.svg)\n".to_owned(),
        cpu(figures),
        latencies(figures),
        memory(figures),
        others(figures, effort),
    ]
    .join("\n");
    print!("{text}");
    page::write_picture("performance.svg", &picture(figures))?;
    page::write_part("run", &text)
}

/// Prints a spread as `1.23 (1.20 to 1.31)`.
fn spread(value: Option<Spread>, digits: usize) -> String {
    value.map_or_else(
        || "–".to_owned(),
        |Spread { minimum, median, maximum }| {
            format!("{median:.digits$} ({minimum:.digits$} to {maximum:.digits$})")
        },
    )
}

fn median(value: Option<Spread>) -> f64 {
    value.map_or(f64::NAN, |spread| spread.median)
}

fn cpu(figures: &Figures) -> String {
    let mut text = "### CPU time of a request\n\nMedian, and how many times the floor's: median (smallest to largest of the rounds).\n\n\
                    | | small, 5.6 KB | | large, 39 KB | | huge, 250 KB | | nothing to do | |\n|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for contestant in Contestant::ALL {
        let _ = write!(text, "| {} |", contestant.name());
        for review in Review::ALL {
            let figure = Figure::Cpu(review.name());
            let ratio = figures.ratio(figure, contestant, Contestant::Floor);
            match figures.spread(figure, contestant) {
                None => text += " | |",
                Some(value) if contestant == Contestant::Floor => {
                    let _ = write!(text, " {} µs | 1 |", short(value.median));
                }
                Some(value) => {
                    let _ = write!(text, " {} µs | {} |", short(value.median), spread(ratio, 2));
                }
            }
        }
        text += "\n";
    }
    text
}

fn latencies(figures: &Figures) -> String {
    let mut text = format!(
        "### Latency\n\nSmall body, medians of the rounds; milliseconds. {PER_SECOND} requests a second in an open loop, and {BURST} at \
         once, most of which need a new connection, as they would from an API server.\n\n\
         | | {PER_SECOND}/s p50 | p99 | p99.9 | {BURST} at once p50 | p99 | p99.9 |\n|---|---|---|---|---|---|---|\n"
    );
    for contestant in Contestant::PROGRAMS {
        let _ = write!(text, "| {} |", contestant.name());
        for figure in [
            Figure::OpenP50,
            Figure::OpenP99,
            Figure::OpenP999,
            Figure::BurstP50,
            Figure::BurstP99,
            Figure::BurstP999,
        ] {
            let _ = write!(text, " {:.2} |", median(figures.spread(figure, contestant)) / 1e3);
        }
        text += "\n";
    }
    text
}

fn memory(figures: &Figures) -> String {
    let mut text = format!(
        "### Memory, start, size\n\nMB, medians. Peak with {CONNECTIONS} connections and the small body; with {CROWD} connections and the large \
         one; 30 s after those were closed. Anonymous is what is no page of the program's file, which the system may drop. The first answer is counted from before the program is started, with a certificate from files.\n\n\
         | | idle | of it anonymous | peak, {CONNECTIONS} | peak, {CROWD} | 30 s after | first answer, median | 9 of 10 within | new TLS connection and request, CPU | program |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    for contestant in Contestant::PROGRAMS {
        let megabytes = |figure| median(figures.spread(figure, contestant)) / 1e6;
        let start = figures.spread(Figure::FirstAnswer, contestant);
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} ms | {:.1} ms | {} µs | {:.1} MB |",
            contestant.name(),
            megabytes(Figure::IdleMemory),
            megabytes(Figure::AnonymousMemory),
            megabytes(Figure::PeakMemory(Review::Small.name())),
            megabytes(Figure::CrowdMemory),
            megabytes(Figure::LaterMemory),
            median(start) / 1e3,
            figures.quantile(Figure::FirstAnswer, contestant, 0.9) / 1e3,
            short(median(figures.spread(Figure::FreshConnection, contestant))),
            megabytes(Figure::Binary),
        );
    }
    text
}

fn others(figures: &Figures, effort: &Effort) -> String {
    let logging = |review: Review| {
        let figure = Figure::Cpu(review.name());
        spread(figures.ratio(figure, Contestant::Prestop, Contestant::Quiet), 2)
    };
    let mut text = format!(
        "### Log lines and counters\n\nprestop with a line for each pod and counters by namespace, over prestop without them: {} with the \
         small body, {} with the large one.\n\n",
        logging(Review::Small),
        logging(Review::Large)
    );
    let _ = write!(
        text,
        "### This run\n\n{} rounds of {:.1} s (closed loop), {} of {} s (open loop), {} bursts and {} new connections a round, {} starts. ",
        effort.rounds,
        effort.measured.as_secs_f64(),
        effort.fewer_rounds,
        effort.open.as_secs(),
        effort.bursts,
        effort.fresh,
        effort.starts
    );
    let others = figures.spread(Figure::Others(Review::Small.name()), Contestant::Prestop);
    let _ = writeln!(
        text,
        "Other programs and the kernel's own work took {:.0} to {:.0} % of the server's core while prestop was measured.",
        others.map_or(0.0, |spread| spread.minimum) * 100.0,
        others.map_or(0.0, |spread| spread.maximum) * 100.0
    );
    let by_wrk = |review: Review| {
        let figure = Figure::Wrk(review.name());
        spread(figures.ratio(figure, Contestant::Prestop, Contestant::Floor), 2)
    };
    if figures.spread(Figure::Wrk(Review::Small.name()), Contestant::Floor).is_some() {
        let _ = writeln!(
            text,
            "CPU time of prestop, times the floor's, with wrk as the client: {} (small), {} (large).",
            by_wrk(Review::Small),
            by_wrk(Review::Large)
        );
    }
    text
}

/// Returns the table of goals and current values.
fn goals(figures: &Figures) -> String {
    let counted: BTreeMap<String, f64> = fs::read_to_string(gate::baseline_file())
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let counted = |name: &str| counted.get(name).copied().unwrap_or(f64::NAN);
    let ratio = |review: Review, of, to| median(figures.ratio(Figure::Cpu(review.name()), of, to));
    let (floor, prestop) = (Contestant::Floor, Contestant::Prestop);
    let controller = Contestant::ControllerRuntime;
    let megabytes = |figure| median(figures.spread(figure, prestop)) / 1e6;
    let p99 = figures.difference(Figure::OpenP99, prestop, floor);
    let start = figures.quantile(Figure::FirstAnswer, prestop, 0.9);
    let engine = "allocations, read + decide + patch";
    let mut text = "| figure (small / large body) | goal | now |\n|---|---|---|\n".to_owned();
    let mut row = |name: &str, goal: &str, values: &[(f64, f64, Wanted)], digits: usize| {
        let shown: Vec<_> = values.iter().map(|(value, ..)| format!("{value:.digits$}")).collect();
        let is_met = values.iter().all(|(value, goal, wanted)| wanted.is_met(*value, *goal));
        let missed = if is_met { "" } else { " (missed)" };
        let _ = writeln!(text, "| {name} | {goal} | {}{missed} |", shown.join(" / "));
    };
    let (small, large) = (Review::Small, Review::Large);
    row(
        "instructions, times the floor's (counted)",
        "≤ 2.2 / ≤ 2.0",
        &[
            (counted(gate::GOAL_SMALL), 2.2, Wanted::AtMost),
            (counted(gate::GOAL_LARGE), 2.0, Wanted::AtMost),
        ],
        2,
    );
    row(
        "CPU time, times the floor's",
        "≤ 1.35 / ≤ 1.6",
        &[
            (ratio(small, prestop, floor), 1.35, Wanted::AtMost),
            (ratio(large, prestop, floor), 1.6, Wanted::AtMost),
        ],
        2,
    );
    row(
        "CPU time of controller-runtime, times prestop's",
        "≥ 50 / ≥ 100",
        &[
            (ratio(small, controller, prestop), 50.0, Wanted::AtLeast),
            (ratio(large, controller, prestop), 100.0, Wanted::AtLeast),
        ],
        0,
    );
    row(
        "allocations: read, decide, patch (counted)",
        "≤ 4 / ≤ 5",
        &[
            (counted(&format!("{engine}, small")), 4.0, Wanted::AtMost),
            (counted(&format!("{engine}, large")), 5.0, Wanted::AtMost),
        ],
        0,
    );
    row(
        "p99 at 1,000 requests a second above the floor's, ms",
        "≤ 0.5",
        &[(median(p99) / 1e3, 0.5, Wanted::AtMost)],
        2,
    );
    row(
        "memory: idle; peak with 8 connections; 30 s after 1,000, MB",
        "≤ 8; ≤ 10; ≤ 10",
        &[
            (megabytes(Figure::IdleMemory), 8.0, Wanted::AtMost),
            (megabytes(Figure::PeakMemory(small.name())), 10.0, Wanted::AtMost),
            (megabytes(Figure::LaterMemory), 10.0, Wanted::AtMost),
        ],
        1,
    );
    row(
        "from start to first answer, 9 of 10 within, ms",
        "≤ 6",
        &[(start / 1e3, 6.0, Wanted::AtMost)],
        1,
    );
    row(
        "static program of the image, MB",
        "≤ 10",
        &[(megabytes(Figure::Binary), 10.0, Wanted::AtMost)],
        1,
    );
    text
}

/// Direction of a goal.
#[derive(Clone, Copy)]
enum Wanted {
    AtMost,
    AtLeast,
}

impl Wanted {
    fn is_met(self, value: f64, goal: f64) -> bool {
        match self {
            Self::AtMost => value <= goal,
            Self::AtLeast => value >= goal,
        }
    }
}

fn picture(figures: &Figures) -> String {
    let value =
        |review: Review, contestant| median(figures.spread(Figure::Cpu(review.name()), contestant));
    let groups: Vec<_> = Contestant::PROGRAMS
        .iter()
        .map(|contestant| Bars {
            name: contestant.name().to_owned(),
            values: vec![value(Review::Small, *contestant), value(Review::Large, *contestant)],
        })
        .collect();
    let series = ["5.6 KB, 1 container", "39 KB, 5 containers"];
    chart::bars("CPU time of a request, logarithmic", &series, &groups, " µs", 1.0)
}
