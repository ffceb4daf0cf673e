//! `--url`: requests that are sent during the watch.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// A server that answers each request with 200, or with 503 while `fails` is set, and closes the
/// connection.
struct Server {
    address: SocketAddr,
    fails: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (fails, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (own, count) = (fails.clone(), failed.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let status = if own.load(Ordering::SeqCst) {
                    count.fetch_add(1, Ordering::SeqCst);
                    "503 Service Unavailable"
                } else {
                    "200 OK"
                };
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, fails, failed }
    }
}

#[test]
fn lost_requests_are_counted_and_make_the_exit_status_1() {
    let api = FakeApi::start();
    let server = Server::start();
    let url = format!("http://{}/healthz", server.address);
    let watch =
        Watch::synced(&api, &["-o", "json", "--url", &url, "--rate", "50", "--timeout", "20s"]);
    server.fails.store(true, Ordering::SeqCst);
    wait_until("some failures", || server.failed.load(Ordering::SeqCst) >= 5);
    server.fails.store(false, Ordering::SeqCst);
    watch.wait_for(&["\"kind\":\"LostRequests\""]);
    let Ended { status, out, .. } = watch.interrupt();
    assert_eq!(status, 1);
    let objects = objects(&out);
    let requests = objects.iter().find(|it| it["kind"] == "Requests").unwrap();
    // The watch counts as many lost requests as the server.
    let failed = server.failed.load(Ordering::SeqCst);
    assert_eq!(requests["lost"], failed, "{requests:#}");
    assert_eq!(requests["causes"], json!({"errorStatus": failed}));
    let (new, kept) = (&requests["newConnections"], &requests["keptConnections"]);
    let sum = |field: &str| new[field].as_u64().unwrap() + kept[field].as_u64().unwrap();
    assert_eq!(json!(sum("sent")), requests["sent"]);
    assert_eq!(json!(sum("lost")), requests["lost"]);
}

#[test]
fn without_a_loss_the_exit_status_is_0_and_the_text_says_so() {
    let api = FakeApi::start();
    let server = Server::start();
    let url = format!("http://{}/", server.address);
    let watch = Watch::start(&api, &["--for", "4s", "--url", &url, "--timeout", "20s"]);
    let Ended { status, out, .. } = watch.ended();
    assert_eq!(status, 0, "{out:?}");
    let line = out.iter().find(|line| line.contains(" requests to http://")).unwrap();
    assert!(line.ends_with(": 0 lost"), "{line}");
    assert!(!out.iter().any(|line| line.contains("requests are not counted")), "{out:?}");
}

#[test]
fn a_server_that_does_not_answer_before_the_watch_is_bad_input() {
    let api = FakeApi::start();
    let server = Server::start();
    server.fails.store(true, Ordering::SeqCst);
    let url = format!("http://{}/", server.address);
    let Ended { status, told, .. } = Watch::start(&api, &["--url", &url]).ended();
    assert_eq!(status, 3);
    assert!(told[0].contains("error status; it has to answer before the watch begins"), "{told:?}");
}
