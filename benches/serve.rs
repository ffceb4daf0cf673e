//! What a request costs: `prestop serve` beside a floor, which is the same server (TLS, HTTP,
//! routes) that reads the body and answers a constant. Both run on one core, the client on another.
//!
//! `cargo bench --bench serve` prints a table: CPU time per request, memory idle and at its peak, time
//! from start to first answer, instructions per request (where valgrind is installed), and what
//! stays of the memory after a thousand connections (`-- burst` prints that alone). Ratios hold on any machine; the rest on one.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    missing_docs
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::routing::post;
use prestop::certificates::{ServedCertificate, ephemeral};
use prestop::server::tls::{Acceptor, Terms};
use prestop::server::{Server, Transport};
use prestop::serving::{Limits, TlsVersion};
use prestop::shutdown;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

const ROUNDS: usize = 5;
const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 8;
const REVIEW: &str = include_str!("../examples/admission-review.json");

fn main() {
    if std::env::args().any(|argument| argument == "floor") {
        floor();
        return;
    }
    let program = env!("CARGO_BIN_EXE_prestop");
    let this = std::env::current_exe().unwrap().display().to_string();
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--kubernetes-version",
        "1.37",
    ];
    let contestants: [(&str, Vec<&str>); 2] =
        [("floor", vec![this.as_str(), "floor"]), ("prestop", [&[program][..], &serve].concat())];
    if std::env::args().any(|argument| argument == "burst") {
        burst(&contestants[1].1);
        return;
    }
    println!("binary: {:.1} MB", fs::metadata(program).unwrap().len() as f64 / 1e6);
    for (name, body) in [("5.6 KB", small()), ("39 KB", large())] {
        println!(
            "\nbody of {name} ({} bytes), {REQUESTS} requests over {CONNECTIONS} connections, {ROUNDS} rounds",
            body.len()
        );
        let mut medians = Vec::new();
        let mut rounds = vec![Vec::new(); contestants.len()];
        for _ in 0..ROUNDS {
            for (index, (_, command)) in contestants.iter().enumerate() {
                rounds[index].push(round(command, &body));
            }
        }
        for ((name, command), mut results) in contestants.iter().zip(rounds) {
            results.sort_by(|a, b| a.cpu_microseconds.total_cmp(&b.cpu_microseconds));
            let median = results[results.len() / 2];
            println!(
                "{name:8} CPU {:6.1} us ({:.1}..{:.1})  p50 {:4} us  p99 {:5} us  memory {:.1} MB idle, {:.1} MB peak  start {:.1} ms",
                median.cpu_microseconds,
                results[0].cpu_microseconds,
                results[results.len() - 1].cpu_microseconds,
                median.p50.as_micros(),
                median.p99.as_micros(),
                median.idle_kilobytes / 1e3,
                median.peak_kilobytes / 1e3,
                median.start.as_secs_f64() * 1e3,
            );
            medians.push(median.cpu_microseconds);
            if let Some(instructions) = instructions(command, &body) {
                println!("{name:8} {instructions} instructions per request");
            }
        }
        println!("CPU, prestop to floor: {:.2}", medians[1] / medians[0]);
    }
    println!(
        "\nmemory of prestop before, at, and 30 s after a burst of 1000 connections with 39 KB each"
    );
    burst(&contestants[1].1);
}

/// One run of one program.
#[derive(Clone, Copy)]
struct Result {
    cpu_microseconds: f64,
    p50: Duration,
    p99: Duration,
    idle_kilobytes: f64,
    peak_kilobytes: f64,
    start: Duration,
}

struct Running {
    child: Child,
    address: SocketAddr,
    authority: CertificateDer<'static>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(wrapper: &[&str], command: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.crt");
    let mut all: Vec<&str> = wrapper.to_vec();
    all.extend(command);
    let mut child = Command::new(all[0])
        .args(&all[1..])
        .arg("--ca-out")
        .arg(&authority)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line =
        lines.find_map(|line| line.ok().filter(|line| line.contains("\"address\""))).unwrap();
    // Log lines must not fill the pipe.
    thread::spawn(move || lines.for_each(drop));
    let value: Value = serde_json::from_str(&line).unwrap();
    let address = value["address"].as_str().unwrap().parse().unwrap();
    let authority = CertificateDer::from_pem_file(&authority).unwrap();
    Running { child, address, authority }
}

fn round(command: &[&str], body: &[u8]) -> Result {
    let began = Instant::now();
    let running = start(&["taskset", "-c", "0"], command);
    drop(requests(&running, body, 1));
    let first_answer = began.elapsed();
    let idle_kilobytes = kilobytes(&running, "VmRSS");
    let warm_up = REQUESTS / 20;
    parallel(&running, body, warm_up);
    let before = cpu_nanoseconds(running.child.id());
    let mut latencies = parallel(&running, body, REQUESTS);
    let spent = cpu_nanoseconds(running.child.id()) - before;
    latencies.sort_unstable();
    Result {
        cpu_microseconds: spent as f64 / 1e3 / latencies.len() as f64,
        p50: latencies[latencies.len() / 2],
        p99: latencies[latencies.len() * 99 / 100],
        idle_kilobytes,
        peak_kilobytes: kilobytes(&running, "VmHWM"),
        start: first_answer,
    }
}

fn parallel(running: &Running, body: &[u8], count: usize) -> Vec<Duration> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| requests(running, body, count / CONNECTIONS)))
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// Requests one after the other over one connection.
fn requests(running: &Running, body: &[u8], count: usize) -> Vec<Duration> {
    let mut stream = connect(running);
    (0..count)
        .map(|_| {
            let began = Instant::now();
            request(&mut stream, body);
            began.elapsed()
        })
        .collect()
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(running: &Running) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(running.authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(running.address).unwrap();
    socket.set_nodelay(true).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

fn request(stream: &mut Stream, body: &[u8]) {
    let head = format!(
        "POST /mutate?timeout=2s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "the server closed");
        answer.extend_from_slice(&piece[..length]);
        if is_whole(&answer) {
            break;
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    answer.len() >= end + 4 + length.parse::<usize>().unwrap()
}

/// CPU time of all threads.
fn cpu_nanoseconds(id: u32) -> u64 {
    fs::read_dir(format!("/proc/{id}/task"))
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

fn kilobytes(running: &Running, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Instructions of the whole server, one request more against the same without it.
fn instructions(command: &[&str], body: &[u8]) -> Option<u64> {
    Command::new("valgrind").arg("--version").output().ok()?;
    let count = |requests_sent: usize| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let out = format!("--callgrind-out-file={}", file.path().display());
        let running = start(&["valgrind", "--tool=callgrind", &out, "-q"], command);
        drop(requests(&running, body, requests_sent));
        let id = running.child.id().to_string();
        Command::new("kill").args(["-s", "INT", &id]).status().unwrap();
        let mut running = running;
        running.child.wait().unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let total = text.lines().find_map(|line| {
            line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: "))
        });
        total.unwrap().trim().parse::<u64>().unwrap()
    };
    Some((count(600) - count(100)) / 500)
}

fn burst(command: &[&str]) {
    let running = start(&["taskset", "-c", "0"], command);
    let body = large();
    drop(requests(&running, &body, 1));
    let before = kilobytes(&running, "VmRSS");
    let mut streams: Vec<_> = (0..1_000).map(|_| connect(&running)).collect();
    for stream in &mut streams {
        request(stream, &body);
    }
    let peak = kilobytes(&running, "VmHWM");
    drop(streams);
    thread::sleep(Duration::from_secs(30));
    let after = kilobytes(&running, "VmRSS");
    println!(
        "\nmemory of prestop before, at, and 30 s after a burst of 1000 connections with 39 KB each"
    );
    println!("{:.1} MB, {:.1} MB, {:.1} MB", before / 1e3, peak / 1e3, after / 1e3);
}

fn small() -> Vec<u8> {
    let mut review: Value = serde_json::from_str(REVIEW).unwrap();
    let object = &mut review["request"]["object"];
    let variables: Vec<_> = (0..12).map(variable).collect();
    object["spec"]["containers"][0]["env"] = json!(variables);
    fill(&mut review, 5_624)
}

fn large() -> Vec<u8> {
    let mut review: Value = serde_json::from_str(REVIEW).unwrap();
    let spec = &mut review["request"]["object"]["spec"];
    let first = spec["containers"][0].clone();
    let containers: Vec<_> = (0..5)
        .map(|index| {
            let mut container = first.clone();
            container["name"] = json!(format!("container-{index}"));
            container["image"] = json!(format!("registry.example.com/shop/service-{index}:1.2.3"));
            let variables: Vec<_> = (0..21).map(|place| variable(index * 21 + place)).collect();
            container["env"] = json!(variables);
            container
        })
        .collect();
    spec["initContainers"] = json!([containers[0]]);
    spec["containers"] = json!(containers);
    let fields = review["request"]["object"]["metadata"]["managedFields"][0].clone();
    let fields: Vec<_> = std::iter::repeat_n(fields, 10).collect();
    review["request"]["object"]["metadata"]["managedFields"] = json!(fields);
    fill(&mut review, 38_970)
}

fn variable(index: usize) -> Value {
    json!({"name": format!("SETTING_{index}"), "value": format!("value of setting number {index}")})
}

/// As long as the real ones that the figures of others were measured with.
fn fill(review: &mut Value, bytes: usize) -> Vec<u8> {
    let length = review.to_string().len() + ",\"annotations\":{\"note\":\"\"}".len();
    assert!(length <= bytes, "{length}");
    review["request"]["object"]["metadata"]["annotations"] =
        json!({"note": "x".repeat(bytes - length)});
    review.to_string().into_bytes()
}

/// The same server, without a thought.
fn floor() {
    let path = std::env::args().skip_while(|argument| argument != "--ca-out").nth(1).unwrap();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true},
    });
    let answer = answer.to_string();
    let (authority, leaf) = ephemeral(SystemTime::now()).unwrap();
    fs::write(path, authority.certificate_pem()).unwrap();
    let certificate = ServedCertificate::none();
    certificate.serve(leaf.certified);
    let answers =
        move |_: axum::body::Bytes| async move { ([("content-type", "application/json")], answer) };
    let router = Router::new().route("/mutate", post(answers));
    let terms = Terms::new(TlsVersion::V1_3, certificate, None).unwrap();
    let limits = Limits::default();
    let transport = Transport::Tls(Arc::new(Acceptor::new(terms)));
    let server = Server { transport, router, limits, metrics: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        eprintln!("{{\"address\":\"{}\"}}", listener.local_addr().unwrap());
        let (mut signals, shutdown) = shutdown::Signals::take().unwrap();
        let serving = tokio::spawn(server.serve(listener, shutdown, Duration::from_secs(1)));
        signals.drain(Duration::ZERO, |_| {}).await;
        serving.await.unwrap();
    });
}
