//! A replacement for the Service: accepts connections and passes them to ready replicas in turn. As
//! with kube-proxy, open connections stay with their replica.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use prestop_test_support::process::{Serve, wait_until};

/// Interval for checking whether replicas are ready.
const ASK_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Proxy {
    pub(super) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Addresses of the replicas for reviews and for readiness.
    replicas: Mutex<Vec<(SocketAddr, SocketAddr)>>,
    ready: Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    /// Number of directions of open connections.
    passing: AtomicUsize,
    is_over: AtomicBool,
}

impl Proxy {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<State> = Arc::default();
        thread::spawn({
            let state = state.clone();
            move || {
                for client in listener.incoming() {
                    if state.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let (Ok(client), Some(replica)) = (client, state.next()) else { continue };
                    // Without a server, the client's connection is closed.
                    if let Ok(replica) = TcpStream::connect(replica) {
                        state.join(&client, &replica);
                    }
                }
            }
        });
        thread::spawn({
            let state = state.clone();
            move || {
                while !state.is_over.load(Ordering::Relaxed) {
                    let replicas = state.replicas.lock().unwrap().clone();
                    let ready = replicas.iter().filter(|(_, admin)| is_ready(*admin));
                    let ready: Vec<_> = ready.map(|(address, _)| *address).collect();
                    *state.ready.lock().unwrap() = ready;
                    thread::sleep(ASK_EVERY);
                }
            }
        });
        Self { port, state }
    }

    pub(super) fn add(&self, serve: &Serve) {
        self.state.replicas.lock().unwrap().push((serve.address, serve.administration));
    }

    pub(super) fn remove(&self, serve: &Serve) {
        self.state.replicas.lock().unwrap().retain(|(address, _)| *address != serve.address);
    }

    pub(super) fn ready(&self) -> usize {
        self.state.ready.lock().unwrap().len()
    }

    /// Ends every connection, and waits until both sides have noticed. The caller ensures that no
    /// request is in flight.
    pub(super) fn cut(&self) {
        wait_until("the end of the connections", || {
            self.state.close();
            self.state.passing.load(Ordering::Relaxed) == 0
        });
    }
}

impl State {
    fn next(&self) -> Option<SocketAddr> {
        let ready = self.ready.lock().unwrap();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (!ready.is_empty()).then(|| ready[turn % ready.len()])
    }

    /// Shuts down every connection; it ends when the other side has done so too.
    fn close(&self) {
        for connection in self.open.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Write);
        }
    }

    fn join(self: &Arc<Self>, client: &TcpStream, replica: &TcpStream) {
        let twin = |stream: &TcpStream| stream.try_clone().unwrap();
        self.open.lock().unwrap().extend([twin(client), twin(replica)]);
        for (from, to) in [(twin(client), twin(replica)), (twin(replica), twin(client))] {
            self.passing.fetch_add(1, Ordering::Relaxed);
            let state = self.clone();
            thread::spawn(move || {
                pass(from, to);
                state.passing.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // If one direction ends, the other one is closed.
    let _ = to.shutdown(Shutdown::Write);
}

fn is_ready(administration: SocketAddr) -> bool {
    let patience = Duration::from_millis(500);
    let Ok(mut stream) = TcpStream::connect_timeout(&administration, patience) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(patience));
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        self.state.close();
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
