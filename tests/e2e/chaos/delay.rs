//! Faults of the network between the API server and the webhook, on this node: cut by a rule of
//! iptables, or slow. Not every kernel has netem, so slow connections go through a relay in this
//! process, which forwards each piece later.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// Source ports of the relay, which nothing else uses: outside of the node's range of local ports.
const OWN_PORTS: std::ops::RangeInclusive<u16> = 20_000..=29_999;

/// A rule of iptables, which is removed on drop.
pub(super) struct Rule(Vec<String>);

impl Rule {
    /// Drops packets to the webhook's pods, so that open connections of the API server end as well.
    pub(super) fn cut(pods: &str, port: u16) -> Self {
        let port = port.to_string();
        Self::add(&["filter", "OUTPUT", "-p", "tcp", "-d", pods, "--dport", &port, "-j", "DROP"])
    }

    /// Redirects new connections to the Service to the relay.
    fn redirected(service: SocketAddrV4, to: u16) -> Self {
        let own = format!("{}:{}", OWN_PORTS.start(), OWN_PORTS.end());
        let (address, port) = (service.ip().to_string(), service.port().to_string());
        Self::add(&[
            "nat",
            "OUTPUT",
            "-p",
            "tcp",
            "-d",
            &address,
            "--dport",
            &port,
            "!",
            "--sport",
            &own,
            "-j",
            "REDIRECT",
            "--to-ports",
            &to.to_string(),
        ])
    }

    /// Adds a rule to a table and a chain.
    fn add(rule: &[&str]) -> Self {
        let rule = Self(rule.iter().map(|&part| part.to_owned()).collect());
        assert!(rule.run("-I"), "iptables {:?}", rule.0);
        rule
    }

    fn run(&self, verb: &str) -> bool {
        let (table, rest) = self.0.split_first().unwrap();
        let command = ["-w", "-t", table, verb];
        Command::new("iptables").args(command).args(rest).status().unwrap().success()
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.run("-D");
    }
}

/// Delays the data of new connections to the webhook's Service by this time, until it is dropped.
pub(super) struct Slow {
    _rule: Rule,
    is_over: Arc<AtomicBool>,
    port: u16,
}

impl Slow {
    pub(super) fn start(service: SocketAddrV4, by: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let ended = is_over.clone();
        thread::spawn(move || {
            let mut own_ports = OWN_PORTS.cycle();
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let own = own_ports.next().unwrap();
                thread::spawn(move || join(&client, own, service, by));
            }
        });
        Self { _rule: Rule::redirected(service, port), is_over, port }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Delays requests but not answers, like a delay on one interface.
fn join(client: &TcpStream, own: u16, service: SocketAddrV4, by: Duration) {
    let Ok(server) = connected(own, service) else { return };
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || pass(from, to, by));
    if let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) {
        pass(from, to, Duration::ZERO);
    }
}

fn connected(own: u16, service: SocketAddrV4) -> rustix::io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new([0, 0, 0, 0].into(), own))?;
    connect(&socket, &service)?;
    Ok(TcpStream::from(socket))
}

fn pass(mut from: TcpStream, mut to: TcpStream, by: Duration) {
    let (late, pieces) = channel::<(Instant, Vec<u8>)>();
    let writing = thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if late.send((Instant::now() + by, bytes[..count].to_vec())).is_err() {
            break;
        }
    }
    drop(late);
    let _ = writing.join();
}
