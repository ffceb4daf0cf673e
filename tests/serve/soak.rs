//! A server that answers steadily for hours: its memory, files and latencies don't grow, and each
//! answer has its log line. `just soak` runs it at full size.

use std::fs;
use std::time::{Duration, Instant};

use prestop_test_support::full_size::{Row, is_full, sized, sized_seconds};
use prestop_test_support::process::Serve;
use prestop_test_support::wire::body;

use super::steady::{Measured, Steady, milliseconds};

/// Number of parts of the run, which are compared with each other.
const PARTS: u32 = 10;

/// Text in the log line of each changed pod.
const LINE: &str = "\"decision\":\"injected\"";

/// Resources of the process at one moment.
struct Taken {
    resident_kibibytes: u64,
    files: usize,
}

impl Taken {
    fn by(serve: &Serve) -> Self {
        let process = format!("/proc/{}", serve.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident_kibibytes = line.trim().trim_end_matches(" kB").parse().unwrap();
        let files = fs::read_dir(format!("{process}/fd")).unwrap().count();
        Self { resident_kibibytes, files }
    }
}

#[test]
#[ignore = "takes half a minute; run: just test-tools, or for two hours: just soak"]
fn nothing_grows_while_reviews_are_answered_for_long() {
    let per_second = sized(200, 500);
    let duration = sized_seconds("PRESTOP_SOAK_SECONDS", 20, 7_200);
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let steady = Steady::new(&serve, &body());
    // Warm-up: creates all threads, connections and buffers.
    let mut asked = steady.ask(per_second, duration / PARTS).count();
    let mut told = serve.take_lines(LINE);
    let (began, first) = (Instant::now(), Taken::by(&serve));
    let mut parts: Vec<(Measured, Taken)> = Vec::new();
    for _ in 0..PARTS {
        let measured = steady.ask(per_second, duration / PARTS);
        asked += measured.count();
        told += serve.take_lines(LINE);
        println!("{}", measured.in_words());
        parts.push((measured, Taken::by(&serve)));
    }
    let took = began.elapsed();
    let without_line = asked - told_lines(&serve, told, asked);
    let p99 = |part: &(Measured, Taken)| part.0.quantile(990);
    let (lowest, highest) =
        (parts.iter().map(p99).min().unwrap(), parts.iter().map(p99).max().unwrap());
    let last = &parts.last().unwrap().1;
    let grown = i128::from(last.resident_kibibytes) - i128::from(first.resident_kibibytes);
    let failed: usize = parts.iter().map(|(measured, _)| measured.failures.len()).sum();
    let files = parts.iter().map(|(_, taken)| taken.files);
    let (fewest, most) = (files.clone().min().unwrap(), files.max().unwrap());
    Row {
        what: "soak",
        command: "just soak",
        took,
        figures: format!(
            "{per_second} reviews a second, {asked} in all, {failed} failed; memory {} KiB, then {grown:+} KiB; {} files, then {fewest} to {most}; p99 of each tenth {} to {}; {without_line} log lines lost",
            first.resident_kibibytes,
            first.files,
            milliseconds(lowest),
            milliseconds(highest)
        ),
    }
    .note();
    assert_eq!((failed, without_line), (0, 0));
    assert!(grown < 5 * 1024, "{grown} KiB more");
    // Connections that are idle for long are closed, and new ones opened.
    assert!(most <= first.files + 32, "{} files, then {most}", first.files);
    // Not asserted on a machine that is busy with other tests.
    let last = parts.last().unwrap().0.quantile(990);
    let early = parts[0].0.quantile(990);
    assert!(!is_full() || last < 2 * early + Duration::from_millis(5), "{early:?}, then {last:?}");
}

/// Returns how many answers have their log line, after waiting for lines that are still missing.
fn told_lines(serve: &Serve, mut told: usize, asked: usize) -> usize {
    let until = Instant::now() + Duration::from_secs(20);
    while told < asked && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
        told += serve.take_lines(LINE);
    }
    told
}
