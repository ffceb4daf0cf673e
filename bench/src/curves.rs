//! Growth of costs: with the containers of a pod, with the namespaces of a cluster, and with the
//! number of requests that have been answered.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use prestop_bench::reviews::{Review, with_containers};

use crate::chart::{self, Lines, short};
use crate::client::{Connection, Request};
use crate::contestants::Contestant;
use crate::figures::{Spread, microseconds};
use crate::load;
use crate::page;
use crate::process::{Running, Stage};

const CONTAINERS: [u32; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];
const NAMESPACES: [u32; 5] = [1, 10, 100, 1_000, 10_000];
const REQUESTS: [u32; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
/// Few connections; otherwise the largest bodies would wait for each other longer than the server
/// waits for a body.
const CONNECTIONS: usize = 2;
const MEASURED: Duration = Duration::from_millis(600);

/// Points of a curve: position and value.
type Points = Vec<(f64, f64)>;

/// Measures the curves and writes the results.
pub(crate) fn run(stage: &Stage<'_>, quick: bool) -> anyhow::Result<()> {
    let rounds = if quick { 1 } else { 3 };
    let (table, prestop, floor) = containers(stage, rounds)?;
    let mut text = format!(
        "Measured on {}\n\n![How costs grow](performance-curves.svg)\n\n{table}",
        page::machine()
    );
    let (table, namespaces) = namespaces(stage, rounds)?;
    text += &table;
    let (table, memory) = requests(stage)?;
    text += &table;
    let pictures = [
        Lines {
            title: "CPU time of a request, µs".to_owned(),
            across: "containers in the pod".to_owned(),
            series: vec![("prestop".to_owned(), prestop), ("floor".to_owned(), floor)],
        },
        Lines {
            title: "CPU time of a request, µs".to_owned(),
            across: "namespaces in the cluster".to_owned(),
            series: vec![("prestop".to_owned(), namespaces)],
        },
        Lines {
            title: "Memory, MB".to_owned(),
            across: "requests answered".to_owned(),
            series: vec![("prestop".to_owned(), memory)],
        },
    ];
    page::write_picture("performance-curves.svg", &chart::lines("How costs grow", &pictures))?;
    print!("{text}");
    page::write_part("curves", &text)
}

/// Returns the CPU time for a request, the smallest of several rounds.
fn cpu(server: &Running, request: &Request, rounds: usize) -> anyhow::Result<f64> {
    let connect = |_| server.target.connect();
    let mut connections: Vec<Connection> =
        (0..CONNECTIONS).map(connect).collect::<anyhow::Result<_>>()?;
    load::closed_loop(&mut connections, request, MEASURED / 4).context("warming up")?;
    let mut values = Vec::new();
    for _ in 0..rounds {
        let before = server.cpu()?;
        let latencies = load::closed_loop(&mut connections, request, MEASURED)?;
        #[allow(clippy::cast_precision_loss)]
        values.push(microseconds(server.cpu()?.saturating_sub(before)) / latencies.len() as f64);
    }
    Ok(Spread::of(values).map_or(0.0, |spread| spread.minimum))
}

fn containers(stage: &Stage<'_>, rounds: usize) -> anyhow::Result<(String, Points, Points)> {
    let mut table = "| containers | body | floor | prestop | prestop above the floor, for 1 KB |\n|---|---|---|---|---|\n".to_owned();
    let (mut prestop, mut floor) = (Points::new(), Points::new());
    let servers = [stage.start(Contestant::Floor)?, stage.start(Contestant::Prestop)?];
    for count in CONTAINERS {
        let body = with_containers(usize::try_from(count)?)?;
        let request = Request::mutate(&body);
        eprintln!("{count} containers");
        let [below, above] =
            [cpu(&servers[0], &request, rounds)?, cpu(&servers[1], &request, rounds)?];
        #[allow(clippy::cast_precision_loss)]
        let kilobytes = body.len() as f64 / 1e3;
        let _ = writeln!(
            table,
            "| {count} | {} KB | {} µs | {} µs | {:.2} µs |",
            short(kilobytes),
            short(below),
            short(above),
            (above - below) / kilobytes
        );
        floor.push((f64::from(count), below));
        prestop.push((f64::from(count), above));
    }
    Ok((table + "\n", prestop, floor))
}

fn namespaces(stage: &Stage<'_>, rounds: usize) -> anyhow::Result<(String, Points)> {
    let mut table =
        "| namespaces | CPU time of a request | memory, idle |\n|---|---|---|\n".to_owned();
    let mut points = Points::new();
    let request = Request::mutate(&Review::Small.committed()?);
    let folder = tempfile::tempdir()?;
    for count in NAMESPACES {
        let file = folder.path().join(format!("{count}.yaml"));
        fs::write(&file, manifests(count))?;
        let arguments = ["--namespaces-file".to_owned(), file.display().to_string()];
        let server = stage.start_with(Contestant::Prestop, &[], &arguments)?;
        server.target.connect()?.review(&request)?;
        let idle = server.resident_bytes()?;
        eprintln!("{count} namespaces");
        let cpu = cpu(&server, &request, rounds)?;
        let _ = writeln!(table, "| {count} | {} µs | {:.1} MB |", short(cpu), idle / 1e6);
        points.push((f64::from(count), cpu));
    }
    Ok((table + "\n", points))
}

/// Returns manifests of namespaces with their own settings; the namespace of the requests is the
/// last one.
fn manifests(count: u32) -> String {
    let name =
        |number| if number + 1 == count { "shop".to_owned() } else { format!("team-{number}") };
    (0..count).fold(String::new(), |mut text, number| {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n  labels: {{prestop.dev/inject: enabled}}\n  \
             annotations: {{prestop.dev/delay: 10s}}\n",
            name(number)
        );
        text
    })
}

fn requests(stage: &Stage<'_>) -> anyhow::Result<(String, Points)> {
    let mut table = "| requests answered | memory |\n|---|---|\n".to_owned();
    let mut points = Points::new();
    let request = Request::mutate(&Review::Large.committed()?);
    let server = stage.start(Contestant::Prestop)?;
    let mut connection = server.target.connect()?;
    let mut answered = 0;
    for count in REQUESTS {
        while answered < count {
            connection.review(&request)?;
            answered += 1;
        }
        let bytes = server.resident_bytes()?;
        let _ = writeln!(table, "| {count} | {:.1} MB |", bytes / 1e6);
        points.push((f64::from(count), bytes / 1e6));
    }
    Ok((table, points))
}
