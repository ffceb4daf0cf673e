//! A replica stays within the memory limit of the chart, whatever it receives. Otherwise the kernel
//! kills it, so this needs a separate control group, which only root can create.

use std::thread;

use super::control_group::{Group, limit_bytes};
use prestop_test_support::process::Serve;
use prestop_test_support::wire::{Connection, body, head, pod, review};

/// Concurrent requests: as many as the API servers of a large cluster may send.
const AT_ONCE: usize = 25;
/// Just below `server.maximumBodyBytes`.
const LARGE_BYTES: usize = 7_300_000;

/// Returns the review of a pod with one text replaced by another.
fn with(place: &str, text: &str) -> Vec<u8> {
    String::from_utf8(body()).unwrap().replacen(place, text, 1).into_bytes()
}

fn containers(list: &str) -> Vec<u8> {
    let mut pod = pod();
    pod["spec"]["containers"] = "PLACE".into();
    review(&pod).to_string().replacen("\"PLACE\"", list, 1).into_bytes()
}

/// Returns the worst body of each kind, as far as it is known.
fn worst() -> Vec<(&'static str, Vec<u8>)> {
    let list = |item: &str, bytes: usize| vec![item; bytes / (item.len() + 1)].join(",");
    let metadata = |text: &str| with("\"metadata\":{", &format!("\"metadata\":{{{text},"));
    vec![
        ("a long list of ones", containers(&format!("[{}]", list("1", LARGE_BYTES)))),
        (
            "19,000 containers",
            containers(&format!("[{}]", list("{\"name\":\"a\",\"image\":\"nginx\"}", 635_000))),
        ),
        (
            "long arguments",
            containers(&format!(
                "[{}]",
                vec![format!("{{\"name\":\"a\",\"args\":[{}]}}", list("\"\"", 2_700)); 2_600]
                    .join(",")
            )),
        ),
        ("labels", metadata(&format!("\"labels\":{{{}}}", list("\"a\":\"\"", LARGE_BYTES)))),
        ("a long uid", with("0df28fbd-", &"\\u0001".repeat(LARGE_BYTES / 6))),
        ("not JSON", vec![b'['; LARGE_BYTES]),
    ]
}

#[test]
fn the_memory_of_the_chart_is_enough_whatever_comes() {
    let group = match Group::new(limit_bytes()) {
        Ok(group) => group,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::launch_by(group.prestop(), folder, &["--kubernetes-version", "1.37"]);
    for (name, body) in worst() {
        all_at_once(&serve, &body);
        assert!(!serve.has_ended(), "{name}: {} kills", group.kills());
        println!("{name}: {:?} bytes at most", group.peak_bytes());
    }
    holding_all_places(&serve);
    assert!(!serve.has_ended(), "slow connections: {} kills", group.kills());
    println!("with slow connections: {:?} bytes at most", group.peak_bytes());
    let answer = Connection::open(&serve).post(body());
    assert!(answer.response().get("patch").is_some());
    assert_eq!(group.kills(), 0);
    drop(serve);
}

/// Sends the body from many clients concurrently and waits for their answers.
fn all_at_once(serve: &Serve, body: &[u8]) {
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut connection = Connection::open(serve);
                // The server may refuse it before its end: it is too long, or other requests use
                // the memory.
                if connection.send(head("/mutate", body.len())).is_ok() {
                    let _ = connection.send(body);
                    let _ = connection.answer();
                }
            });
        }
    });
}

/// Uses all connections at the same time, each with as much of a head or a body as possible.
fn holding_all_places(serve: &Serve) {
    let long_head = format!("POST /mutate HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(30_000));
    let beginning = " ".repeat(70_000);
    let half = head("/mutate", LARGE_BYTES) + &beginning;
    let mut holding = Vec::new();
    for index in 0..1_100 {
        let mut connection = Connection::open(serve);
        // The connection may have been evicted in the meantime.
        let _ = connection.send(if index % 2 == 0 { &long_head } else { &half });
        holding.push(connection);
    }
    for connection in &mut holding {
        let _ = connection.send("y");
    }
}
