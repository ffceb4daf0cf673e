//! `prestop inject` over one stream of 10,000 Deployments: wall time and peak memory, beside a
//! program that reads the same documents with the same library and writes them as they are.
//! `cargo bench --bench stream`

// A benchmark may end by panicking, and is there to print.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use prestop_manifest::Documents;

const ROUNDS: usize = 3;
const POLL: Duration = Duration::from_millis(2);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, path] = &arguments[..]
        && mode == "pass-through"
    {
        return pass_through(path);
    }
    let folder = tempfile::tempdir().unwrap();
    println!("deployments  MB  program       wall s (min)  peak MB  times pass-through");
    for count in [1_000, 10_000] {
        let path = folder.path().join(format!("{count}.yaml"));
        let path = path.to_str().unwrap();
        generate(path, count);
        let megabytes = fs::metadata(path).unwrap().len() / 1_000_000;
        let itself = std::env::current_exe().unwrap();
        let pass = measure(|| {
            let mut command = Command::new(&itself);
            command.args(["pass-through", path]);
            command
        });
        let inject = measure(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_prestop"));
            command.args(["inject", "--quiet", path]);
            command
        });
        for (name, (wall, peak)) in [("pass-through", pass), ("inject", inject)] {
            let (seconds, ratio) = (wall.as_secs_f64(), wall.as_secs_f64() / pass.0.as_secs_f64());
            println!(
                "{count:11}  {megabytes:2}  {name:12}  {seconds:12.2}  {:7.1}  {ratio:.2}",
                peak / 1000.0
            );
        }
    }
}

/// Reads each document as a value and writes its text.
fn pass_through(path: &str) {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for document in Documents::new(BufReader::new(File::open(path).unwrap())) {
        let document = document.unwrap();
        assert!(document.value().unwrap().is_some());
        out.write_all(document.text.as_bytes()).unwrap();
    }
}

/// The shortest wall time and the largest peak memory in kB, of some rounds.
fn measure(command: impl Fn() -> Command) -> (Duration, f64) {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        let mut child = command().stdout(Stdio::null()).spawn().unwrap();
        let mut peak = 0.0_f64;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_kilobytes(&child).unwrap_or_default());
            std::thread::sleep(POLL);
        }
        (start.elapsed(), peak)
    });
    rounds.reduce(|(wall, peak), (other, more)| (wall.min(other), peak.max(more))).unwrap()
}

fn peak_kilobytes(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Deployments of 3 KB, as charts write them.
fn generate(path: &str, count: usize) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    for number in 0..count {
        writeln!(
            out,
            "---\n# Deployment {number}\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-{number}\n  \
             labels: {{app: web}}\nspec:\n  selector:\n    matchLabels: {{app: web}}\n  template:\n    metadata:\n      \
             labels:\n        app: web\n    spec:\n      containers:\n        - name: web\n          image: nginx:1.{}\n          env:",
            number % 30
        )
        .unwrap();
        for variable in 0..40 {
            writeln!(out, "            - name: VARIABLE_{variable}\n              value: \"value {variable} of {number}\"").unwrap();
        }
        writeln!(out, "          resources:\n            limits: {{cpu: 500m, memory: 128Mi}}")
            .unwrap();
    }
}
