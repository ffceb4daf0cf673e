//! Hostile connections of every kind at the same time, while an API server sends 200 requests a
//! second: within the memory limit of the chart, with limited connections and files, and also if
//! the log is not read.
//!
//! `just overload` runs it at full size: 3,000 connections for a minute each, with a release build.

mod kinds;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prestop_test_support::full_size::{Row, sized};
use prestop_test_support::process::{Serve, configuration, wait_until};
use prestop_test_support::program;
use prestop_test_support::wire::{ClientTerms, Connection, body, pod, review};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::attacks::Attackers;
use super::control_group::{Group, limit_bytes};
use super::steady::{Measured, Steady, milliseconds};

const PER_SECOND: u32 = 200;
const COMMAND: &str = "just overload";

/// Size of a run.
struct Size {
    hostile: usize,
    /// Time between two rounds of each kind of attack.
    pause: Duration,
    duration: Duration,
    /// Part of the configuration.
    places: &'static str,
    /// Time within which 99 of 100 honest requests have to be answered.
    soon: Duration,
}

fn size() -> Size {
    let small = Size {
        hostile: 300,
        pause: Duration::from_millis(500),
        duration: Duration::from_secs(5),
        places: "server: {maximumConnections: 128}\n",
        // Debug builds, next to other tests.
        soon: Duration::from_secs(2),
    };
    let full = Size {
        hostile: 3_000,
        pause: Duration::from_secs(5),
        duration: Duration::from_secs(60),
        places: "",
        soon: Duration::from_millis(100),
    };
    sized(small, full)
}

/// Returns how an honest client fares during the attack, and how often the attackers connected.
fn attacked(serve: &Serve, size: &Size) -> (Measured, usize) {
    let steady = Steady::new(serve, &body());
    let (is_over, has_begun) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let attackers =
            Attackers { serve, is_over: &is_over, has_begun: &has_begun, pause: size.pause };
        let attackers = scope.spawn(move || kinds::attack(&attackers, size.hostile));
        wait_until("the attackers", || has_begun.load(Ordering::Relaxed));
        let measured = steady.ask(PER_SECOND, size.duration);
        is_over.store(true, Ordering::Relaxed);
        (measured, attackers.join().unwrap())
    })
}

fn assert_served(what: &str, measured: &Measured, size: &Size) {
    assert_served_but(0, what, measured, size);
}

/// As [`assert_served`], except that this many requests may fail or be answered without a patch.
fn assert_served_but(most: usize, what: &str, measured: &Measured, size: &Size) {
    println!("{what}: {}", measured.in_words());
    let is_fine = measured.failures.len() + measured.unchanged <= most;
    assert!(is_fine, "{what}: {}: {:?}", measured.in_words(), measured.failures);
    assert!(measured.quantile(990) <= size.soon, "{what}: {}", measured.in_words());
}

/// Starts the program in a control group with the memory limit of the chart.
fn bounded(group: &Group, rest: &str) -> Serve {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prestop.yaml"), configuration(rest)).unwrap();
    let arguments = ["--kubernetes-version", "1.37", "--config", "{folder}/prestop.yaml"];
    Serve::launch_by(group.prestop(), folder, &arguments)
}

#[test]
#[ignore = "needs root; run: just test-tools, or at full size: just overload"]
fn an_honest_client_is_served_among_hostile_ones() {
    let (size, began) = (size(), Instant::now());
    let group = Group::new(limit_bytes()).unwrap();
    let mut serve = bounded(&group, size.places);
    let (measured, connected) = attacked(&serve, &size);
    assert!(!serve.has_ended(), "{} kills", group.kills());
    assert_eq!(group.kills(), 0);
    let peak = group.peak_bytes().map_or("unknown".to_owned(), megabytes);
    Row {
        what: "hostile connections of 12 kinds, 200 honest requests a second",
        command: COMMAND,
        took: began.elapsed(),
        figures: format!(
            "{} hostile connections at a time, {connected} made; {}; memory with page cache at most {peak} of {}",
            size.hostile,
            measured.in_words(),
            megabytes(limit_bytes())
        ),
    }
    .note();
    assert_served("hostile connections", &measured, &size);
}

/// The same if the process may have no more than 64 files.
#[test]
#[ignore = "needs root; run: just test-tools, or at full size: just overload"]
fn an_honest_client_is_served_among_hostile_ones_with_64_files() {
    let (size, began) = (size(), Instant::now());
    let group = Group::new(limit_bytes()).unwrap();
    let mut serve = bounded(&group, size.places);
    let id = serve.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &id, "--nofile=64:64"]).status();
    assert!(limited.unwrap().success());
    let (measured, connected) = attacked(&serve, &size);
    assert!(!serve.has_ended() && group.kills() == 0);
    Row {
        what: "the same with 64 file descriptors",
        command: COMMAND,
        took: began.elapsed(),
        figures: format!("{connected} hostile connections made; {}", measured.in_words()),
    }
    .note();
    // There are 32 places, and a new connection has its place for at least 25 ms: a slower client,
    // on a machine that is busy with its attackers, can be taken for one of them.
    assert_served_but(measured.count() / 1_000, "64 files", &measured, &size);
}

/// A namespace with 10,000 annotations, and pods of 1 MB among small ones.
#[test]
#[ignore = "needs root; run: just test-tools, or at full size: just overload"]
fn large_namespaces_and_pods_delay_nobody() {
    let (size, began) = (size(), Instant::now());
    let group = Group::new(limit_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let annotations: String =
        (0..10_000).map(|index| format!("    example.com/key-{index}: value\n")).collect();
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations:\n    prestop.dev/delay: 12s\n{annotations}"
    );
    fs::write(folder.path().join("namespaces.yaml"), namespace).unwrap();
    let arguments =
        ["--kubernetes-version", "1.37", "--namespaces-file", "{folder}/namespaces.yaml"];
    let serve = Serve::launch_by(group.prestop(), folder, &arguments);
    let mut large = pod();
    large["spec"]["containers"][0]["env"] =
        serde_json::json!([{"name": "LARGE", "value": "x".repeat(1_000_000)}]);
    let patch = Connection::open(&serve).post(body()).patch().to_string();
    assert!(patch.contains("{\"seconds\":12}"), "{patch}");
    let (small, large) = thread::scope(|scope| {
        let large = review(&large).to_string();
        let large = Steady::new(&serve, large.as_bytes());
        let large = scope.spawn(move || large.ask(5, size.duration));
        let small = Steady::new(&serve, &body()).ask(PER_SECOND, size.duration);
        (small, large.join().unwrap())
    });
    Row {
        what: "a namespace with 10,000 annotations, and 5 pods of 1 MB a second",
        command: COMMAND,
        took: began.elapsed(),
        figures: format!("small pods: {}; pods of 1 MB: {}", small.in_words(), large.in_words()),
    }
    .note();
    assert_served("small pods", &small, &size);
    assert_served("pods of 1 MB", &large, &size);
    assert_eq!(group.kills(), 0);
}

/// The log is not read, or its disk is full: lines are lost and counted, with no other effect.
#[test]
#[ignore = "takes half a minute; run: just test-tools, or at full size: just overload"]
fn a_log_that_nobody_takes_delays_nobody() {
    let (size, began) = (size(), Instant::now());
    let blocked = Serve::start(&["--kubernetes-version", "1.37"]);
    let unread = blocked.stop_reading();
    let steady = Steady::new(&blocked, &body());
    let mut measured = steady.ask(PER_SECOND, size.duration);
    // A pipe holds 64 KiB, and the program buffers at most 256 KiB.
    wait_until("lost lines", || {
        measured = steady.ask(PER_SECOND, size.duration);
        blocked.metric("prestop_log_lines_dropped_total") > 0
    });
    drop(unread);
    let full = OnFullDisk::start();
    let on_full_disk = full.ask(2_000);
    // Lines are written and counted in batches.
    wait_until("lines that could not be written", || full.failed_lines() >= 2_000);
    Row {
        what: "the log's pipe is blocked, then its disk is full",
        command: COMMAND,
        took: began.elapsed(),
        figures: format!(
            "blocked: {}, {} lines lost and counted; full: {} answers, the slowest {}, {} lines lost and counted",
            measured.in_words(),
            blocked.metric("prestop_log_lines_dropped_total"),
            on_full_disk.len(),
            milliseconds(on_full_disk.iter().max().copied().unwrap()),
            full.failed_lines()
        ),
    }
    .note();
    assert_served("a blocked pipe", &measured, &size);
    assert!(on_full_disk.iter().max().unwrap() < &(size.soon * 10), "{on_full_disk:?}");
}

/// The running program, with a standard error that is always full.
struct OnFullDisk {
    child: std::process::Child,
    address: std::net::SocketAddr,
    administration: std::net::SocketAddr,
    authority: CertificateDer<'static>,
}

impl OnFullDisk {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.crt");
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, administration) = (free(), free());
        let mut child = Command::new(program())
            .args(["serve", "--kubernetes-version", "1.37", "--listen", &address.to_string()])
            .args(["--admin-listen", &administration.to_string(), "--ca-out"])
            .arg(&authority)
            .stdin(Stdio::null())
            .stderr(File::create("/dev/full").unwrap())
            .spawn()
            .unwrap();
        wait_until("the program", || {
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            TcpStream::connect(administration).is_ok()
        });
        let authority = CertificateDer::from_pem_file(&authority).unwrap();
        Self { child, address, administration, authority }
    }

    /// Returns how long each answer took.
    fn ask(&self, count: usize) -> Vec<Duration> {
        let authority = Some(self.authority.clone());
        let mut connection = Connection::begin(self.address, authority, ClientTerms::default());
        (0..count)
            .map(|_| {
                let began = Instant::now();
                assert!(connection.post(body()).response().get("patch").is_some());
                began.elapsed()
            })
            .collect()
    }

    fn failed_lines(&self) -> u64 {
        let mut stream = TcpStream::connect(self.administration).unwrap();
        write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let mut lines = answer.lines();
        let line = lines.find_map(|line| line.strip_prefix("prestop_log_lines_failed_total "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for OnFullDisk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
