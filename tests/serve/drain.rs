//! Shutdown: no request is lost, and the server exits in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prestop_test_support::process::{Serve, wait_until};
use prestop_test_support::wire::{Connection, body, head};

/// Counts of the answers that clients got.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    /// Answers that asked the client to reconnect.
    closing: AtomicUsize,
}

/// Sends a request. Returns whether the connection can be used again.
fn request(connection: &mut Connection, seen: &Seen) -> bool {
    let answer = connection.post(body());
    assert!(answer.response().get("patch").is_some());
    seen.answered.fetch_add(1, Ordering::Relaxed);
    let is_closing = answer.header("connection") == Some("close");
    seen.closing.fetch_add(usize::from(is_closing), Ordering::Relaxed);
    !is_closing
}

/// Clients as in a cluster: some keep their connections, some connect for each request. They
/// continue for a while after the first SIGTERM, until they learn that this server is shutting
/// down.
#[test]
fn no_request_is_lost_while_the_server_drains() {
    let mut serve = Serve::configured("server: {drainDelay: 3s, drainTimeout: 5s}\n");
    let (seen, withdrawn) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let shared = Arc::new((serve.address, serve.authority.clone()));
    let clients: Vec<_> = (0..8)
        .map(|index| {
            let (seen, withdrawn, shared) = (seen.clone(), withdrawn.clone(), shared.clone());
            thread::spawn(move || {
                let connect = || {
                    Connection::begin(
                        shared.0,
                        shared.1.clone(),
                        prestop_test_support::wire::ClientTerms::default(),
                    )
                };
                let mut connection = connect();
                while !withdrawn.load(Ordering::Relaxed) {
                    let due = Instant::now() + Duration::from_millis(40);
                    let keeps = index % 2 == 0;
                    if !request(&mut connection, &seen) || !keeps {
                        connection = connect();
                    }
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            })
        })
        .collect();
    wait_until("requests", || seen.answered.load(Ordering::Relaxed) >= 100);
    assert_eq!(serve.get("/readyz").0, 200);
    let told = Instant::now();
    serve.signal("TERM");
    wait_until("not ready", || serve.get("/readyz").0 == 503);
    assert!(serve.get("/readyz").1.contains("[-]shutdown failed: the server is draining"));
    assert_eq!(serve.get("/livez").0, 200);
    let before = seen.answered.load(Ordering::Relaxed);
    wait_until("requests while draining", || seen.answered.load(Ordering::Relaxed) >= before + 100);
    withdrawn.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a request failed");
    }
    assert!(seen.closing.load(Ordering::Relaxed) > 0, "nobody was asked to connect elsewhere");
    let status = serve.ended();
    assert_eq!(status.code(), Some(0), "{}", serve.log());
    let took = told.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn a_request_that_has_begun_is_finished() {
    let mut serve = Serve::configured("server: {drainDelay: 0, drainTimeout: 5s}\n");
    let mut connection = Connection::open(&serve);
    let body = body();
    connection.send(head("/mutate", body.len())).unwrap();
    connection.send(&body[..100]).unwrap();
    serve.wait_for_metric("prestop_admission_in_flight", 1);
    serve.signal("TERM");
    serve.wait_for_line("stopping: finishing open requests");
    connection.send(&body[100..]).unwrap();
    let answer = connection.answer().unwrap();
    assert!(answer.response().get("patch").is_some());
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(serve.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT")] {
        let mut serve = Serve::configured("server: {drainDelay: 10m}\n");
        serve.signal(first);
        serve.wait_for_line("draining: still accepting requests");
        let began = Instant::now();
        serve.signal(second);
        assert_eq!(serve.ended().code(), Some(1), "{}", serve.log());
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_second_signal_ends_what_hangs() {
    let mut serve =
        Serve::configured("server: {drainDelay: 0, drainTimeout: 10m, bodyTimeout: 30s}\n");
    let mut stalled = Connection::open(&serve);
    stalled.send(head("/mutate", 1000)).unwrap();
    serve.wait_for_metric("prestop_admission_in_flight", 1);
    serve.signal("INT");
    serve.wait_for_line("stopping: finishing open requests");
    assert!(!serve.has_ended());
    serve.signal("INT");
    assert_eq!(serve.ended().code(), Some(1));
}

#[test]
fn what_hangs_is_given_up_at_the_end_of_the_drain_timeout() {
    let mut serve =
        Serve::configured("server: {drainDelay: 0, drainTimeout: 1s, bodyTimeout: 30s}\n");
    let mut stalled = Connection::open(&serve);
    stalled.send(head("/mutate", 1000)).unwrap();
    serve.wait_for_metric("prestop_admission_in_flight", 1);
    serve.signal("TERM");
    assert_eq!(serve.ended().code(), Some(0));
    assert!(serve.line("requests were still in flight at the end of the drain timeout").is_some());
}

/// Ctrl-C on an idle server ends it immediately, without the drain delay.
#[test]
fn an_interrupt_does_not_wait_for_anybody() {
    let mut serve = Serve::configured("server: {drainDelay: 10m}\n");
    let _idle = Connection::open(&serve).post(body());
    serve.signal("INT");
    assert_eq!(serve.ended().code(), Some(0));
}
