//! Hostile or broken clients: the server closes their connections, and an honest client beside them
//! is served.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};

use prestop_test_support::process::{PATIENCE, Serve, wait_until};
use prestop_test_support::wire::{ClientTerms, Connection, body, head};

/// Timeouts as short as the settings allow.
const SHORT: &str = "server: {handshakeTimeout: 1s, firstRequestTimeout: 1s, bodyTimeout: 1s}\n";

fn is_served(serve: &Serve) {
    let answer = Connection::open(serve).post(body());
    assert!(answer.response().get("patch").is_some());
}

/// Whether the server closes a plain connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    // TLS alerts may come first.
    match stream.read_to_end(&mut bytes) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn silent_connections_are_closed() {
    let serve = Serve::configured(SHORT);
    let mut silent = TcpStream::connect(serve.address).unwrap();
    let mut without_request = Connection::open(&serve);
    let mut half_hello = TcpStream::connect(serve.address).unwrap();
    half_hello.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    is_served(&serve);
    assert!(is_closed(&mut silent) && is_closed(&mut half_hello));
    assert!(without_request.is_closed_by_server());
    serve.wait_for_metric("prestop_tls_handshake_errors_total{reason=\"timeout\"}", 2);
    serve.wait_for_metric("prestop_connections_closed_total{reason=\"first_request_timeout\"}", 1);
}

#[test]
fn dribbled_heads_are_cut_off() {
    let serve = Serve::configured(SHORT);
    let mut dribble = Connection::open(&serve);
    dribble.send("POST /mutate HTTP/1.1\r\nhost: x\r\n").unwrap();
    let began = Instant::now();
    while dribble.send("x: y\r\n").is_ok() {
        assert!(began.elapsed() < PATIENCE, "it goes on for ever");
        thread::yield_now();
        if began.elapsed().as_millis() > 100 && dribble.is_closed_by_server() {
            break;
        }
    }
    is_served(&serve);
}

#[test]
fn bodies_that_stall_are_let_through_where_the_uid_is_known() {
    let serve = Serve::configured(SHORT);
    let body = body();
    for (sent, status) in [(body.len() - 1, 200), (300, 200), (0, 408), (10, 408)] {
        let mut connection = Connection::open(&serve);
        connection.send(head("/mutate", body.len())).unwrap();
        connection.send(&body[..sent]).unwrap();
        is_served(&serve);
        let answer = connection.answer().unwrap();
        assert_eq!(answer.status, status, "{sent} bytes");
        if status == 200 {
            let response = answer.response();
            assert_eq!(response["uid"], "0df28fbd-5f5f-11e8-bc74-36e6bb280816");
            assert_eq!(response["auditAnnotations"]["reason"], "deadline");
            assert_eq!(response.get("patch"), None);
        }
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.is_closed_by_server());
    }
    assert_eq!(serve.metric("prestop_shed_total"), 2);
}

#[test]
fn the_callers_own_deadline_is_kept() {
    let serve = Serve::start(&[]);
    let mut connection = Connection::open(&serve);
    let body = body();
    connection.send(head("/mutate?timeout=1s", body.len())).unwrap();
    connection.send(&body[..body.len() - 1]).unwrap();
    let began = Instant::now();
    let answer = connection.answer().unwrap();
    assert_eq!(answer.response()["auditAnnotations"]["reason"], "deadline");
    // The server's own limit would be five seconds.
    assert!(began.elapsed().as_millis() < 4_000);
}

#[test]
fn bodies_that_are_too_long_are_not_read() {
    let serve = Serve::configured("server: {maximumBodyBytes: 65536}\n");
    let mut announced = Connection::open(&serve);
    announced.send(head("/mutate", 65_537)).unwrap();
    let answer = announced.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    let mut huge = Connection::open(&serve);
    huge.send(head("/mutate", 1 << 40)).unwrap();
    assert_eq!(huge.answer().unwrap().status, 413);
    let mut chunked = Connection::open(&serve);
    let chunked_head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    chunked.send(chunked_head).unwrap();
    let piece = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    for _ in 0..9 {
        // The server may have refused the request already.
        let _ = chunked.send(&piece);
    }
    assert_eq!(chunked.answer().unwrap().status, 413);
    let mut exact = Connection::open(&serve);
    let padded = [body(), b" ".repeat(65_536 - body().len())].concat();
    assert!(exact.post(padded).response().get("patch").is_some());
    let mut small = Connection::open(&serve);
    let text = String::from_utf8(body()).unwrap();
    small.send(format!("{chunked_head}{:x}\r\n{text}\r\n0\r\n\r\n", text.len())).unwrap();
    assert!(small.answer().unwrap().response().get("patch").is_some());
    is_served(&serve);
}

/// Pods whose bodies exceed the available memory are admitted unchanged, not refused. A body that
/// occupies memory for longer than that of an honest client is evicted for the next one.
#[test]
fn pods_beyond_the_memory_go_through_unchanged_and_slow_bodies_make_room() {
    let serve = Serve::configured(
        "server: {maximumBodyBytes: 65536, maximumBodiesInFlightBytes: 65536, bodyTimeout: 30s}\n",
    );
    let padded = [body(), b" ".repeat(60_000)].concat();
    let mut slow = Connection::open(&serve);
    slow.send(head("/mutate", padded.len())).unwrap();
    slow.send(&padded[..padded.len() - 1]).unwrap();
    let mut other = Connection::open(&serve);
    wait_until("the slow body makes room", || {
        let response = other.post(&padded).response();
        let has_patch = response.get("patch").is_some();
        assert!(has_patch || response["auditAnnotations"]["reason"] == "overloaded");
        has_patch
    });
    assert!(slow.is_closed_by_server());
    assert_eq!(serve.metric("prestop_connections_closed_total{reason=\"evicted\"}"), 1);
}

/// More connections than places, so that each honest client needs the place of another client.
#[test]
fn a_thousand_idle_connections_and_two_thousand_half_handshakes_block_no_client() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    if maximum.is_some_and(|most| most < 4096) {
        println!("skipped: only {maximum:?} open files are allowed");
        return;
    }
    let serve = Serve::configured("server: {maximumConnections: 512}\n");
    let idle: Vec<_> = (0..1_000).map(|_| TcpStream::connect(serve.address).unwrap()).collect();
    is_served(&serve);
    let half_handshakes: Vec<_> = (0..2_000)
        .map(|_| {
            let mut stream = TcpStream::connect(serve.address).unwrap();
            // The first bytes of a ClientHello.
            let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
            stream
        })
        .collect();
    is_served(&serve);
    assert!(serve.metric("prestop_connections_closed_total{reason=\"evicted\"}") > 2_000);
    assert!(serve.metric("prestop_connections") <= 512);
    drop((idle, half_handshakes));
    is_served(&serve);
}

/// File descriptors run out before the places for connections do.
#[test]
fn without_file_descriptors_idle_connections_make_room() {
    let serve = Serve::start(&[]);
    let files = "--nofile=64:64";
    let limited = std::process::Command::new("prlimit")
        .args(["--pid", &serve.id().to_string(), files])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        println!("skipped: prlimit is not there");
        return;
    }
    let idle: Vec<_> = (0..200).map(|_| TcpStream::connect(serve.address).unwrap()).collect();
    is_served(&serve);
    drop(idle);
}

#[test]
fn what_is_not_our_tls_is_closed_and_counted() {
    let serve = Serve::start(&[]);
    let mut plain = TcpStream::connect(serve.address).unwrap();
    plain.write_all(b"POST /mutate HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(is_closed(&mut plain));
    serve.wait_for_metric("prestop_tls_handshake_errors_total{reason=\"not_tls\"}", 1);
    let old = ClientTerms { versions: vec![&TLS12], ..ClientTerms::default() };
    assert!(Connection::open_with(&serve, old).is_err());
    let other_protocol = ClientTerms { protocols: vec!["h2"], ..ClientTerms::default() };
    assert!(Connection::open_with(&serve, other_protocol).is_err());
    serve.wait_for_metric("prestop_tls_handshake_errors_total{reason=\"protocol\"}", 2);
    let gone = TcpStream::connect(serve.address).unwrap();
    gone.shutdown(Shutdown::Both).unwrap();
    serve.wait_for_metric("prestop_tls_handshake_errors_total{reason=\"closed\"}", 1);
    let without_protocol = ClientTerms { protocols: vec![], ..ClientTerms::default() };
    assert!(Connection::open_with(&serve, without_protocol).unwrap().post(body()).status == 200);
    is_served(&serve);
}

#[test]
fn tls_1_2_is_spoken_where_it_is_wanted() {
    let serve = Serve::configured("tls: {minVersion: \"1.2\"}\n");
    for version in [&TLS12, &TLS13] {
        let terms = ClientTerms { versions: vec![version], ..ClientTerms::default() };
        assert_eq!(Connection::open_with(&serve, terms).unwrap().post(body()).status, 200);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let serve = Serve::start(&[]);
    let mut connection = Connection::open(&serve);
    let text = String::from_utf8(body()).unwrap();
    let all: String = (0..100)
        .map(|index| {
            let text = text.replace("0df28fbd", &format!("{index:08}"));
            head("/mutate", text.len()) + &text
        })
        .collect();
    connection.send(all).unwrap();
    for index in 0..100 {
        let uid = connection.answer().unwrap().response()["uid"].clone();
        assert!(uid.as_str().unwrap().starts_with(&format!("{index:08}")), "{index}: {uid}");
    }
}

#[test]
fn heads_are_bounded() {
    let serve = Serve::start(&[]);
    for headers in ["x: y\r\n".repeat(1_000), format!("x: {}\r\n", "y".repeat(1 << 20))] {
        let mut connection = Connection::open(&serve);
        let sent = connection.send(format!("POST /mutate HTTP/1.1\r\nhost: x\r\n{headers}\r\n"));
        match connection.answer() {
            Ok(answer) => assert_eq!(answer.status, 431),
            // The server closes while much of the head is still on its way.
            Err(_) => assert!(sent.is_err() || headers.len() > 100_000),
        }
    }
    is_served(&serve);
}

/// If two parties disagree on where a request ends, one of them can see a request that was never sent.
#[test]
fn requests_of_unclear_length_are_refused() {
    let serve = Serve::start(&[]);
    let smuggled = "POST /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let body = String::from_utf8(body()).unwrap();
    let length = body.len();
    for headers in [
        format!("content-length: {length}\r\ncontent-length: 5\r\n"),
        format!("content-length: {length}, 5\r\n"),
        "content-length: -1\r\n".to_owned(),
        format!("content-length: +{length}\r\n"),
        "content-length: 99999999999999999999999\r\n".to_owned(),
        "content-length: 0x10\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        format!("content-length : {length}\r\n"),
        format!("x: y\r\n content-length: {length}\r\n"),
        format!("content-length\0: {length}\r\n"),
    ] {
        let mut connection = Connection::open(&serve);
        let request = format!(
            "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n{body}{smuggled}"
        );
        connection.send(request).unwrap();
        match connection.answer() {
            Ok(answer) => {
                assert!((400..500).contains(&answer.status), "{headers:?}: {}", answer.status);
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{headers:?}");
            }
        }
        assert!(connection.is_closed_by_server(), "{headers:?}: something came after it");
    }
    // RFC 9112, 6.1: with both headers, chunks count, and the connection ends after the answer.
    let mut both = Connection::open(&serve);
    let chunks = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    both.send(format!(
        "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{smuggled}"
    ))
    .unwrap();
    let answer = both.answer().unwrap();
    assert!(answer.status == 200 || answer.status == 400, "{}", answer.status);
    assert!(both.is_closed_by_server(), "a second request was seen");
    is_served(&serve);
}

/// Clients get the certificate that they trust, on which the other tests rely.
#[test]
fn the_certificate_made_in_memory_is_for_this_machine() {
    let serve = Serve::start(&[]);
    assert!(serve.authority.as_ref().is_some_and(|der: &CertificateDer<'_>| der.len() > 100));
    is_served(&serve);
}
