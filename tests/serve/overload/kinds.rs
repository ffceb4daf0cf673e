//! All kinds of hostile connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{Connection, body, head};
use rustix::process::setpriority_process;

use crate::serve::attacks::{Attackers, poison, slow_body, tls};

/// Number of connections of the kinds that are expensive for the attacker too.
const FEW: usize = 10;
const SLOW_HEAD: &str = "POST /mutate HTTP/1.1\r\nhost: x\r\nx: ";
const CHUNKED: &str = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
const HUGE_BYTES: usize = 7_000_000;

/// An attack of one kind, with its share of the connections.
type Kind<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs all kinds at the same time until the attack is over. Returns how often they connected.
pub(super) fn attack(attackers: &Attackers<'_>, hostile: usize) -> usize {
    let connected = Connected::default();
    let mut kinds = silent(attackers, &connected, hostile / 10);
    kinds.extend(slow(attackers, &connected, hostile / 10));
    kinds.extend(rude(attackers, &connected, hostile / 10));
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || {
                // Lowers the priority of this thread only: real attackers have their own machines.
                setpriority_process(None, 10).unwrap();
                kind();
            });
        }
    });
    connected.0.into_inner()
}

/// Number of connections that the attackers opened.
#[derive(Default)]
struct Connected(AtomicUsize);

impl Connected {
    fn stream(&self, serve: &Serve) -> io::Result<TcpStream> {
        self.0.fetch_add(1, Ordering::Relaxed);
        TcpStream::connect(serve.address)
    }

    fn secure(&self, serve: &Serve) -> io::Result<Connection> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tls(serve)
    }

    fn begun(&self, serve: &Serve, beginning: &str) -> io::Result<Connection> {
        let mut connection = self.secure(serve)?;
        connection.send(beginning)?;
        Ok(connection)
    }
}

/// Kinds that connect and send no request.
fn silent<'a>(all: &'a Attackers<'a>, connected: &'a Connected, share: usize) -> Vec<Kind<'a>> {
    let half_hello = |serve: &Serve| {
        let mut stream = connected.stream(serve)?;
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])?;
        Ok(stream)
    };
    vec![
        Box::new(move || all.go_on(share, |serve| connected.stream(serve), is_open)),
        Box::new(move || all.go_on(share, half_hello, is_open)),
        Box::new(move || all.go_on(share, |serve| connected.secure(serve), is_open_inside)),
        Box::new(move || all.go_on(share - 2 * FEW, |serve| connected.stream(serve), |_| gone())),
    ]
}

/// Kinds that send or read as slowly as possible.
fn slow<'a>(all: &'a Attackers<'a>, connected: &'a Connected, share: usize) -> Vec<Kind<'a>> {
    let one_byte = |connection: &mut Connection| connection.send("y");
    let slow_body = |serve: &Serve| {
        connected.0.fetch_add(1, Ordering::Relaxed);
        slow_body(serve)
    };
    let unread = |connection: &mut Connection| {
        connection.socket().set_nonblocking(true)?;
        match connection.send(request()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    };
    let chunk = |connection: &mut Connection| connection.send("1\r\n \r\n");
    vec![
        Box::new(move || all.go_on(share, |serve| connected.begun(serve, SLOW_HEAD), one_byte)),
        Box::new(move || all.go_on(share, slow_body, one_byte)),
        Box::new(move || all.go_on(share, |serve| connected.begun(serve, CHUNKED), chunk)),
        Box::new(move || all.go_on(share, |serve| connected.secure(serve), unread)),
    ]
}

/// Kinds whose requests are invalid or expensive.
fn rude<'a>(all: &'a Attackers<'a>, connected: &'a Connected, share: usize) -> Vec<Kind<'a>> {
    let before_the_answer = |connection: &mut Connection| {
        connection.send(request())?;
        connection.socket().shutdown(Shutdown::Both)?;
        gone()
    };
    let plain = |stream: &mut TcpStream| {
        stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: x\r\n\r\n")?;
        gone()
    };
    let poison = poison();
    let poisoned = move |connection: &mut Connection| {
        connection.send(&poison)?;
        connection.answer().map(drop)
    };
    let huge = |serve: &Serve| {
        let mut connection = connected.secure(serve)?;
        connection.send(head("/mutate", HUGE_BYTES))?;
        // Everything but the last part.
        for _ in 1..HUGE_BYTES / 10_000 {
            connection.send([b' '; 10_000])?;
        }
        Ok(connection)
    };
    vec![
        Box::new(move || all.go_on(share, |serve| connected.secure(serve), before_the_answer)),
        Box::new(move || all.go_on(share, |serve| connected.stream(serve), plain)),
        Box::new(move || all.go_on(FEW, |serve| connected.secure(serve), poisoned)),
        Box::new(move || all.go_on(FEW, huge, is_open_inside)),
    ]
}

fn request() -> Vec<u8> {
    let body = body();
    [head("/mutate", body.len()).into_bytes(), body].concat()
}

/// Returns an error, so that the connection is not kept.
fn gone() -> io::Result<()> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

fn is_open(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    match stream.read(&mut [0; 16]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn is_open_inside(connection: &mut Connection) -> io::Result<()> {
    connection.socket().set_nonblocking(true)?;
    match connection.answer() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
