//! An honest client during attacks: at least 99 of 100 of its requests are answered within a
//! second. Attackers and the honest client have the same address here, which is the harder case.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::json;

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{ClientTerms, Connection, body, head, pod, review};

/// Maximum number of connections; fewer than by default, so that few attackers are enough.
const PLACES: usize = 64;
const ATTACKERS: usize = 3 * PLACES;
const REQUESTS: usize = 100;
const SOON: Duration = Duration::from_secs(1);

/// Attackers of one kind, and the state of their attack.
pub(super) struct Attackers<'a> {
    pub(super) serve: &'a Serve,
    pub(super) is_over: &'a AtomicBool,
    /// Set once the attackers of a kind have tried to open their connections.
    pub(super) has_begun: &'a AtomicBool,
    /// Pause between two rounds: attackers are slow on purpose, and the honest client needs a
    /// processor too.
    pub(super) pause: Duration,
}

impl Attackers<'_> {
    /// Attacks repeatedly with this many connections. A connection that fails is opened again.
    pub(super) fn go_on<T>(
        &self,
        many: usize,
        open: impl Fn(&Serve) -> io::Result<T>,
        go_on: impl Fn(&mut T) -> io::Result<()>,
    ) {
        let mut all: Vec<Option<T>> = (0..many).map(|_| None).collect();
        while !self.is_over.load(Ordering::Relaxed) {
            for one in &mut all {
                if self.is_over.load(Ordering::Relaxed) {
                    return;
                }
                *one = match one.take() {
                    None => open(self.serve).ok(),
                    Some(mut open) => go_on(&mut open).is_ok().then_some(open),
                };
            }
            self.has_begun.store(true, Ordering::Relaxed);
            // Sleeps in short steps, so that the end of the attack is noticed soon.
            let until = Instant::now() + self.pause;
            while Instant::now() < until && !self.is_over.load(Ordering::Relaxed) {
                thread::sleep(self.pause.min(Duration::from_millis(20)));
            }
        }
    }
}

/// Returns how many requests of an honest client were answered within this time, alternately on a
/// connection that it keeps and on a new one.
fn answered_soon(serve: &Serve, soon: Duration) -> usize {
    let mut kept = None;
    (0..REQUESTS)
        .filter(|index| {
            let began = Instant::now();
            let answer =
                if index % 2 == 0 { answer(serve, &mut kept) } else { answer(serve, &mut None) };
            if let Err(error) = &answer {
                println!("request {index}: {error}");
                kept = None;
            }
            answer.is_ok_and(|allowed| allowed) && began.elapsed() <= soon
        })
        .count()
}

fn answer(serve: &Serve, connection: &mut Option<Connection>) -> io::Result<bool> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(Connection::open_with(serve, ClientTerms::default())?),
    };
    let body = body();
    connection.send([&head("/mutate", body.len()).into_bytes()[..], &body].concat())?;
    let answer = connection.answer()?;
    Ok(answer.status == 200 && answer.response().get("patch").is_some())
}

/// Attacks a server and asserts that an honest client is served. The machine may be busy with other
/// tests, so the time limit includes a multiple of the time for a request without attackers.
fn is_served_under(name: &str, serve: &Serve, attack: impl Fn(&Attackers<'_>) + Send) {
    let began = Instant::now();
    let alone = (0..10).map(|_| {
        let began = Instant::now();
        assert!(answer(serve, &mut None).unwrap());
        began.elapsed()
    });
    let soon = SOON + 5 * alone.max().unwrap();
    let (is_over, has_begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let answered = thread::scope(|scope| {
        let pause = Duration::from_millis(20);
        let attackers = Attackers { serve, is_over: &is_over, has_begun: &has_begun, pause };
        scope.spawn(move || attack(&attackers));
        while !has_begun.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
        let answered = answered_soon(serve, soon);
        is_over.store(true, Ordering::Relaxed);
        answered
    });
    println!("{name}: {answered} of {REQUESTS} within {soon:?}; {:?} in all", began.elapsed());
    assert!(answered * 100 >= REQUESTS * 99, "{name}: {answered} of {REQUESTS} within {soon:?}");
}

fn server(rest: &str) -> Serve {
    Serve::configured(&format!("server: {{maximumConnections: {PLACES}{rest}}}\n"))
}

pub(super) fn tls(serve: &Serve) -> io::Result<Connection> {
    Connection::open_with(serve, ClientTerms::default())
}

pub(super) fn slow_body(serve: &Serve) -> io::Result<Connection> {
    let mut connection = tls(serve)?;
    connection.send(head("/mutate", 100_000))?;
    Ok(connection)
}

#[test]
fn silent_connections() {
    let open = |serve: &Serve| {
        let stream = TcpStream::connect(serve.address)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let is_open = |stream: &mut TcpStream| match stream.read(&mut [0; 16]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    };
    let serve = server("");
    is_served_under("silent connections", &serve, |attack| attack.go_on(ATTACKERS, open, is_open));
    // Only connections, opened as fast as possible.
    let serve = server("");
    is_served_under("connection flood", &serve, |attack| {
        attack.go_on(
            500,
            |serve| TcpStream::connect(serve.address),
            |_| Err(io::ErrorKind::ConnectionAborted.into()),
        );
    });
}

#[test]
fn slow_heads_and_bodies() {
    let slow_head = |serve: &Serve| {
        let mut connection = tls(serve)?;
        connection.send("POST /mutate HTTP/1.1\r\nhost: x\r\nx: ")?;
        Ok(connection)
    };
    let one_byte = |connection: &mut Connection| connection.send("y");
    let serve = server("");
    is_served_under("slow heads", &serve, |attack| attack.go_on(ATTACKERS, slow_head, one_byte));
    let serve = server("");
    is_served_under("slow bodies", &serve, |attack| attack.go_on(ATTACKERS, slow_body, one_byte));
    let evicted = serve.metric("prestop_connections_closed_total{reason=\"evicted\"}");
    assert!(evicted > 0, "there were places for all of them");
}

/// File descriptors run out before the places for connections do.
#[test]
fn slow_bodies_without_file_descriptors() {
    let serve = server("");
    let limited = std::process::Command::new("prlimit")
        .args(["--pid", &serve.id().to_string(), "--nofile=64:64"])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        println!("skipped: prlimit is not there");
        return;
    }
    let one_byte = |connection: &mut Connection| connection.send("y");
    is_served_under("64 files", &serve, |attack| attack.go_on(ATTACKERS, slow_body, one_byte));
    // Evicted because of the maximum of connections, or because file descriptors ran out.
    assert!(serve.metric("prestop_connections_closed_total{reason=\"evicted\"}") > 0);
    assert_eq!(serve.get("/livez").0, 200);
}

#[test]
fn answers_that_are_not_read() {
    // An answer contains the UID of its review: a few of these are more than the socket buffers
    // hold.
    let long = String::from_utf8(body()).unwrap().replacen("0df28fbd", &"0".repeat(50_000), 1);
    let requests = (head("/mutate", long.len()) + &long).repeat(2);
    let open = |serve: &Serve| {
        let connection = tls(serve)?;
        set_socket_recv_buffer_size(connection.socket(), 2_048)?;
        connection.socket().set_nonblocking(true)?;
        Ok(connection)
    };
    let unread = |connection: &mut Connection| match connection.send(&requests) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    };
    let serve = server("");
    is_served_under("unread answers", &serve, |attack| attack.go_on(40, open, unread));
}

#[test]
fn an_answer_that_is_not_read_ends_the_connection() {
    let serve = server("");
    let mut connection = tls(&serve).unwrap();
    let body = body();
    let request = [&head("/mutate", body.len()).into_bytes()[..], &body].concat();
    connection.socket().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // Until all buffers are full.
    while connection.send(request.repeat(20)).is_ok() {}
    serve.wait_for_metric("prestop_connections_closed_total{reason=\"answer_timeout\"}", 1);
    assert_eq!(serve.metric("prestop_connections"), 0);
}

#[test]
fn a_client_of_the_administration_port_that_does_not_read_is_closed() {
    let serve = server("");
    let mut stream = TcpStream::connect(serve.administration).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    while stream.write_all(request.as_bytes()).is_ok() {}
    stream.set_write_timeout(None).unwrap();
    let began = Instant::now();
    // The client doesn't read, so the loop ends only when the server closes the connection.
    while stream.write_all(request.as_bytes()).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    assert_eq!(serve.get("/livez").0, 200);
}

/// Bodies that take all the memory for bodies and never end.
#[test]
fn huge_bodies() {
    let serve = server(", maximumBodyBytes: 1048576, maximumBodiesInFlightBytes: 4194304");
    let beginning = " ".repeat(1 << 20);
    let open = |serve: &Serve| {
        let mut connection = tls(serve)?;
        connection.send(head("/mutate", 1 << 20))?;
        connection.send(&beginning[1..])?;
        Ok(connection)
    };
    let closed = |connection: &mut Connection| {
        connection.socket().set_nonblocking(true)?;
        match connection.answer() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    is_served_under("huge bodies", &serve, |attack| attack.go_on(8, open, closed));
}

/// Returns a request that takes long to answer.
pub(super) fn poison() -> Vec<u8> {
    let mut poisoned = pod();
    let annotations: serde_json::Map<_, _> = (0..500)
        .map(|index| (format!("x{index}.prestop.dev/{}", "a".repeat(400)), json!("x")))
        .chain([(format!("x.prestop.dev/{}", "a".repeat(100_000)), json!("x"))])
        .collect();
    poisoned["metadata"]["annotations"] = annotations.into();
    let body = review(&poisoned).to_string().into_bytes();
    [&head("/mutate", body.len()).into_bytes()[..], &body].concat()
}

#[test]
fn poisonous_annotations() {
    let serve = server("");
    let request = poison();
    let ask = |connection: &mut Connection| {
        connection.send(&request)?;
        connection.answer().map(drop)
    };
    is_served_under("poisonous annotations", &serve, |attack| attack.go_on(4, tls, ask));
}

#[test]
fn malformed_heads_are_counted() {
    let serve = server("");
    for (index, malformed) in
        ["\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "POST /mutate HTTP/1.1\r\na b: c\r\n\r\n"]
            .into_iter()
            .enumerate()
    {
        let mut connection = tls(&serve).unwrap();
        connection.send(malformed).unwrap();
        let _ = connection.answer();
        serve.wait_for_metric(
            "prestop_connections_closed_total{reason=\"malformed_head\"}",
            u64::try_from(index).unwrap() + 1,
        );
    }
}

/// More connections of API servers than places: a new one evicts the one that was idle for longest.
#[test]
fn more_honest_connections_than_places() {
    let serve = server("");
    let mut all: Vec<Option<Connection>> = (0..2 * PLACES).map(|_| None).collect();
    for connection in &mut all {
        assert!(answer(&serve, connection).unwrap(), "a new one is served at once");
    }
    // The newest connections still have their places.
    for connection in &mut all[PLACES + PLACES / 2..] {
        assert!(answer(&serve, connection).unwrap());
    }
    let evicted = serve.metric("prestop_connections_closed_total{reason=\"evicted\"}");
    assert_eq!(evicted, u64::try_from(PLACES).unwrap());
}
